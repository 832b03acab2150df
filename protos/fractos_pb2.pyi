from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
REMEMBERED_FIELD_NUMBER: _ClassVar[int]
remembered: _descriptor.FieldDescriptor

class BigInteger(_message.Message):
    __slots__ = ("negative", "magnitude", "memory")
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    MAGNITUDE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    negative: bool
    magnitude: bytes
    memory: Memory
    def __init__(self, negative: _Optional[bool] = ..., magnitude: _Optional[bytes] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data", "memory")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    memory: Memory
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class Memory(_message.Message):
    __slots__ = ("owner", "object", "offset", "size", "digest", "capability")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    owner: str
    object: bytes
    offset: int
    size: int
    digest: bytes
    capability: Capability
    def __init__(self, owner: _Optional[str] = ..., object: _Optional[bytes] = ..., offset: _Optional[int] = ..., size: _Optional[int] = ..., digest: _Optional[bytes] = ..., capability: _Optional[_Union[Capability, _Mapping]] = ...) -> None: ...

class Capability(_message.Message):
    __slots__ = ("links", "seal")
    LINKS_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedScalarFieldContainer[bytes]
    seal: bytes
    def __init__(self, links: _Optional[_Iterable[bytes]] = ..., seal: _Optional[bytes] = ...) -> None: ...

class Link(_message.Message):
    __slots__ = ("nonce", "expires_at", "service", "operation", "node", "client_id", "arguments", "set", "object", "offset", "size", "rights")
    NONCE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    nonce: bytes
    expires_at: float
    service: str
    operation: str
    node: str
    client_id: str
    arguments: bytes
    set: _containers.RepeatedScalarFieldContainer[str]
    object: bytes
    offset: int
    size: int
    rights: int
    def __init__(self, nonce: _Optional[bytes] = ..., expires_at: _Optional[float] = ..., service: _Optional[str] = ..., operation: _Optional[str] = ..., node: _Optional[str] = ..., client_id: _Optional[str] = ..., arguments: _Optional[bytes] = ..., set: _Optional[_Iterable[str]] = ..., object: _Optional[bytes] = ..., offset: _Optional[int] = ..., size: _Optional[int] = ..., rights: _Optional[int] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("id", "operation", "arguments", "node", "needs", "edges", "output", "process", "memories", "capability", "epoch", "reply", "leave")
    ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    id: int
    operation: str
    arguments: bytes
    node: str
    needs: int
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    output: bool
    process: str
    memories: _containers.RepeatedCompositeFieldContainer[Argument]
    capability: Capability
    epoch: int
    reply: bool
    leave: bool
    def __init__(self, id: _Optional[int] = ..., operation: _Optional[str] = ..., arguments: _Optional[bytes] = ..., node: _Optional[str] = ..., needs: _Optional[int] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., output: _Optional[bool] = ..., process: _Optional[str] = ..., memories: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., capability: _Optional[_Union[Capability, _Mapping]] = ..., epoch: _Optional[int] = ..., reply: _Optional[bool] = ..., leave: _Optional[bool] = ...) -> None: ...

class Edge(_message.Message):
    __slots__ = ("to", "bindings")
    TO_FIELD_NUMBER: _ClassVar[int]
    BINDINGS_FIELD_NUMBER: _ClassVar[int]
    to: int
    bindings: _containers.RepeatedCompositeFieldContainer[Binding]
    def __init__(self, to: _Optional[int] = ..., bindings: _Optional[_Iterable[_Union[Binding, _Mapping]]] = ...) -> None: ...

class Binding(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class Argument(_message.Message):
    __slots__ = ("name", "memory")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    name: str
    memory: Memory
    def __init__(self, name: _Optional[str] = ..., memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("name", "steps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, name: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("run_id", "attempt", "deadline", "home", "steps", "sender", "bound", "trail", "sent_at", "memories", "began_at", "arrival", "traceparent")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    BEGAN_AT_FIELD_NUMBER: _ClassVar[int]
    ARRIVAL_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    attempt: int
    deadline: float
    home: str
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    sender: int
    bound: bytes
    trail: _containers.RepeatedCompositeFieldContainer[Hop]
    sent_at: float
    memories: _containers.RepeatedCompositeFieldContainer[Argument]
    began_at: float
    arrival: Arrival
    traceparent: str
    def __init__(self, run_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., deadline: _Optional[float] = ..., home: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., sender: _Optional[int] = ..., bound: _Optional[bytes] = ..., trail: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., sent_at: _Optional[float] = ..., memories: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., began_at: _Optional[float] = ..., arrival: _Optional[_Union[Arrival, _Mapping]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class Arrival(_message.Message):
    __slots__ = ("source", "frame_bytes", "value_bytes", "output_bytes", "reply")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FRAME_BYTES_FIELD_NUMBER: _ClassVar[int]
    VALUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    source: str
    frame_bytes: int
    value_bytes: int
    output_bytes: int
    reply: bool
    def __init__(self, source: _Optional[str] = ..., frame_bytes: _Optional[int] = ..., value_bytes: _Optional[int] = ..., output_bytes: _Optional[int] = ..., reply: _Optional[bool] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("step", "node", "attempt", "sent_at", "received_at", "started_at", "finished_at", "request_bytes", "response_bytes", "output", "fetched_bytes", "arrivals")
    STEP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    FETCHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ARRIVALS_FIELD_NUMBER: _ClassVar[int]
    step: int
    node: str
    attempt: int
    sent_at: float
    received_at: float
    started_at: float
    finished_at: float
    request_bytes: int
    response_bytes: int
    output: bytes
    fetched_bytes: int
    arrivals: _containers.RepeatedCompositeFieldContainer[Arrival]
    def __init__(self, step: _Optional[int] = ..., node: _Optional[str] = ..., attempt: _Optional[int] = ..., sent_at: _Optional[float] = ..., received_at: _Optional[float] = ..., started_at: _Optional[float] = ..., finished_at: _Optional[float] = ..., request_bytes: _Optional[int] = ..., response_bytes: _Optional[int] = ..., output: _Optional[bytes] = ..., fetched_bytes: _Optional[int] = ..., arrivals: _Optional[_Iterable[_Union[Arrival, _Mapping]]] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "began_at", "home", "reason")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    BEGAN_AT_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    number: int
    began_at: float
    home: str
    reason: str
    def __init__(self, number: _Optional[int] = ..., began_at: _Optional[float] = ..., home: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("status", "message", "step", "operation", "node", "attempt", "causes", "log_file", "definite", "retry_after_s", "field", "hop")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CAUSES_FIELD_NUMBER: _ClassVar[int]
    LOG_FILE_FIELD_NUMBER: _ClassVar[int]
    DEFINITE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    status: str
    message: str
    step: int
    operation: str
    node: str
    attempt: int
    causes: _containers.RepeatedScalarFieldContainer[str]
    log_file: str
    definite: bool
    retry_after_s: float
    field: str
    hop: Hop
    def __init__(self, status: _Optional[str] = ..., message: _Optional[str] = ..., step: _Optional[int] = ..., operation: _Optional[str] = ..., node: _Optional[str] = ..., attempt: _Optional[int] = ..., causes: _Optional[_Iterable[str]] = ..., log_file: _Optional[str] = ..., definite: _Optional[bool] = ..., retry_after_s: _Optional[float] = ..., field: _Optional[str] = ..., hop: _Optional[_Union[Hop, _Mapping]] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("run_id", "attempt", "step", "trail", "failure", "lost", "deadline", "owner", "reply", "output_bytes")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    attempt: int
    step: int
    trail: _containers.RepeatedCompositeFieldContainer[Hop]
    failure: Failure
    lost: bool
    deadline: float
    owner: Owner
    reply: Reply
    output_bytes: int
    def __init__(self, run_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., step: _Optional[int] = ..., trail: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., lost: _Optional[bool] = ..., deadline: _Optional[float] = ..., owner: _Optional[_Union[Owner, _Mapping]] = ..., reply: _Optional[_Union[Reply, _Mapping]] = ..., output_bytes: _Optional[int] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("response", "memories", "value_bytes")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    MEMORIES_FIELD_NUMBER: _ClassVar[int]
    VALUE_BYTES_FIELD_NUMBER: _ClassVar[int]
    response: bytes
    memories: _containers.RepeatedCompositeFieldContainer[Argument]
    value_bytes: int
    def __init__(self, response: _Optional[bytes] = ..., memories: _Optional[_Iterable[_Union[Argument, _Mapping]]] = ..., value_bytes: _Optional[int] = ...) -> None: ...

class Owner(_message.Message):
    __slots__ = ("address", "epoch")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    address: str
    epoch: int
    def __init__(self, address: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[FinishedRun]
    def __init__(self, runs: _Optional[_Iterable[_Union[FinishedRun, _Mapping]]] = ...) -> None: ...

class FinishedRun(_message.Message):
    __slots__ = ("run_id", "deadline", "drop")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    deadline: float
    drop: bool
    def __init__(self, run_id: _Optional[bytes] = ..., deadline: _Optional[float] = ..., drop: _Optional[bool] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("request", "completion", "finished")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    request: Request
    completion: Completion
    finished: Finished
    def __init__(self, request: _Optional[_Union[Request, _Mapping]] = ..., completion: _Optional[_Union[Completion, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ...) -> None: ...

class Frames(_message.Message):
    __slots__ = ("frames", "proof")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedScalarFieldContainer[bytes]
    proof: bytes
    def __init__(self, frames: _Optional[_Iterable[bytes]] = ..., proof: _Optional[bytes] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("accepted", "epoch", "challenge", "proof")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    epoch: int
    challenge: bytes
    proof: bytes
    def __init__(self, accepted: _Optional[int] = ..., epoch: _Optional[int] = ..., challenge: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class CreateMemoryRequest(_message.Message):
    __slots__ = ("size", "data", "publish")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    size: int
    data: bytes
    publish: bool
    def __init__(self, size: _Optional[int] = ..., data: _Optional[bytes] = ..., publish: _Optional[bool] = ...) -> None: ...

class CreateMemoryResponse(_message.Message):
    __slots__ = ("memory",)
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class ReadMemoryRequest(_message.Message):
    __slots__ = ("memory",)
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class ReadMemoryResponse(_message.Message):
    __slots__ = ("data", "digest")
    DATA_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    digest: bytes
    def __init__(self, data: _Optional[bytes] = ..., digest: _Optional[bytes] = ...) -> None: ...

class CopyMemoryRequest(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: Memory
    target: Memory
    def __init__(self, source: _Optional[_Union[Memory, _Mapping]] = ..., target: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class CopyMemoryResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PublishMemoryRequest(_message.Message):
    __slots__ = ("memory",)
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class PublishMemoryResponse(_message.Message):
    __slots__ = ("memory",)
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class ReleaseMemoryRequest(_message.Message):
    __slots__ = ("memory",)
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    memory: Memory
    def __init__(self, memory: _Optional[_Union[Memory, _Mapping]] = ...) -> None: ...

class ReleaseMemoryResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("capability",)
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    capability: Capability
    def __init__(self, capability: _Optional[_Union[Capability, _Mapping]] = ...) -> None: ...

class RevokeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Revocation(_message.Message):
    __slots__ = ("service", "id", "expires_at")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    service: str
    id: bytes
    expires_at: float
    def __init__(self, service: _Optional[str] = ..., id: _Optional[bytes] = ..., expires_at: _Optional[float] = ...) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ("revocation",)
    REVOCATION_FIELD_NUMBER: _ClassVar[int]
    revocation: Revocation
    def __init__(self, revocation: _Optional[_Union[Revocation, _Mapping]] = ...) -> None: ...

class ConfirmResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("links", "memory_objects", "memory_bytes")
    LINKS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_OBJECTS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    links: _containers.RepeatedCompositeFieldContainer[LinkCount]
    memory_objects: int
    memory_bytes: int
    def __init__(self, links: _Optional[_Iterable[_Union[LinkCount, _Mapping]]] = ..., memory_objects: _Optional[int] = ..., memory_bytes: _Optional[int] = ...) -> None: ...

class LinkCount(_message.Message):
    __slots__ = ("peer", "frames_sent", "frame_bytes_sent", "memory_mapped", "memory_streamed")
    PEER_FIELD_NUMBER: _ClassVar[int]
    FRAMES_SENT_FIELD_NUMBER: _ClassVar[int]
    FRAME_BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_MAPPED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_STREAMED_FIELD_NUMBER: _ClassVar[int]
    peer: str
    frames_sent: int
    frame_bytes_sent: int
    memory_mapped: int
    memory_streamed: int
    def __init__(self, peer: _Optional[str] = ..., frames_sent: _Optional[int] = ..., frame_bytes_sent: _Optional[int] = ..., memory_mapped: _Optional[int] = ..., memory_streamed: _Optional[int] = ...) -> None: ...

class DescribeNodeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NodeDescription(_message.Message):
    __slots__ = ("name", "id", "address", "pid", "started_at", "now", "cpu_s", "resident_bytes", "steps_waiting", "steps_running", "steps_done", "steps_failed", "runs_ended", "runs_failed", "runs_in_flight", "epoch", "state_folder", "state_bytes", "log_file", "traffic", "memory_limit_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STEPS_WAITING_FIELD_NUMBER: _ClassVar[int]
    STEPS_RUNNING_FIELD_NUMBER: _ClassVar[int]
    STEPS_DONE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FAILED_FIELD_NUMBER: _ClassVar[int]
    RUNS_ENDED_FIELD_NUMBER: _ClassVar[int]
    RUNS_FAILED_FIELD_NUMBER: _ClassVar[int]
    RUNS_IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FOLDER_FIELD_NUMBER: _ClassVar[int]
    STATE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOG_FILE_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    id: str
    address: str
    pid: int
    started_at: float
    now: float
    cpu_s: float
    resident_bytes: int
    steps_waiting: int
    steps_running: int
    steps_done: int
    steps_failed: int
    runs_ended: int
    runs_failed: int
    runs_in_flight: int
    epoch: int
    state_folder: str
    state_bytes: int
    log_file: str
    traffic: CountResponse
    memory_limit_bytes: int
    def __init__(self, name: _Optional[str] = ..., id: _Optional[str] = ..., address: _Optional[str] = ..., pid: _Optional[int] = ..., started_at: _Optional[float] = ..., now: _Optional[float] = ..., cpu_s: _Optional[float] = ..., resident_bytes: _Optional[int] = ..., steps_waiting: _Optional[int] = ..., steps_running: _Optional[int] = ..., steps_done: _Optional[int] = ..., steps_failed: _Optional[int] = ..., runs_ended: _Optional[int] = ..., runs_failed: _Optional[int] = ..., runs_in_flight: _Optional[int] = ..., epoch: _Optional[int] = ..., state_folder: _Optional[str] = ..., state_bytes: _Optional[int] = ..., log_file: _Optional[str] = ..., traffic: _Optional[_Union[CountResponse, _Mapping]] = ..., memory_limit_bytes: _Optional[int] = ...) -> None: ...

class WatchNodeRequest(_message.Message):
    __slots__ = ("one_of",)
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    one_of: int
    def __init__(self, one_of: _Optional[int] = ...) -> None: ...

class NodeEvent(_message.Message):
    __slots__ = ("kind", "at", "run_id", "attempt", "step", "operation", "source", "bytes", "started_at", "detail")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[NodeEvent.Kind]
        REQUEST_RECEIVED: _ClassVar[NodeEvent.Kind]
        STEP_DONE: _ClassVar[NodeEvent.Kind]
        STEP_FAILED: _ClassVar[NodeEvent.Kind]
        RUN_ACCEPTED: _ClassVar[NodeEvent.Kind]
        RUN_REPEATED: _ClassVar[NodeEvent.Kind]
        RUN_ENDED: _ClassVar[NodeEvent.Kind]
        COMPLETION_RECEIVED: _ClassVar[NodeEvent.Kind]
    KIND_UNSPECIFIED: NodeEvent.Kind
    REQUEST_RECEIVED: NodeEvent.Kind
    STEP_DONE: NodeEvent.Kind
    STEP_FAILED: NodeEvent.Kind
    RUN_ACCEPTED: NodeEvent.Kind
    RUN_REPEATED: NodeEvent.Kind
    RUN_ENDED: NodeEvent.Kind
    COMPLETION_RECEIVED: NodeEvent.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    kind: NodeEvent.Kind
    at: float
    run_id: bytes
    attempt: int
    step: int
    operation: str
    source: str
    bytes: int
    started_at: float
    detail: str
    def __init__(self, kind: _Optional[_Union[NodeEvent.Kind, str]] = ..., at: _Optional[float] = ..., run_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., step: _Optional[int] = ..., operation: _Optional[str] = ..., source: _Optional[str] = ..., bytes: _Optional[int] = ..., started_at: _Optional[float] = ..., detail: _Optional[str] = ...) -> None: ...

class NodeEvents(_message.Message):
    __slots__ = ("events", "missed")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[NodeEvent]
    missed: int
    def __init__(self, events: _Optional[_Iterable[_Union[NodeEvent, _Mapping]]] = ..., missed: _Optional[int] = ...) -> None: ...

class ShapeRequest(_message.Message):
    __slots__ = ("serial", "rules", "racks")
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    RACKS_FIELD_NUMBER: _ClassVar[int]
    serial: int
    rules: _containers.RepeatedCompositeFieldContainer[LinkRule]
    racks: _containers.RepeatedCompositeFieldContainer[Rack]
    def __init__(self, serial: _Optional[int] = ..., rules: _Optional[_Iterable[_Union[LinkRule, _Mapping]]] = ..., racks: _Optional[_Iterable[_Union[Rack, _Mapping]]] = ...) -> None: ...

class ShapeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LinkRule(_message.Message):
    __slots__ = ("source", "target", "latency_ms", "jitter_ms", "bandwidth_mbit", "loss", "cut")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_MBIT_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    latency_ms: float
    jitter_ms: float
    bandwidth_mbit: float
    loss: float
    cut: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., latency_ms: _Optional[float] = ..., jitter_ms: _Optional[float] = ..., bandwidth_mbit: _Optional[float] = ..., loss: _Optional[float] = ..., cut: _Optional[bool] = ...) -> None: ...

class Rack(_message.Message):
    __slots__ = ("name", "nodes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    name: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

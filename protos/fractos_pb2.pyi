from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
REMEMBERED_FIELD_NUMBER: _ClassVar[int]
remembered: _descriptor.FieldDescriptor

class BigInteger(_message.Message):
    __slots__ = ("negative", "magnitude")
    NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    MAGNITUDE_FIELD_NUMBER: _ClassVar[int]
    negative: bool
    magnitude: bytes
    def __init__(self, negative: _Optional[bool] = ..., magnitude: _Optional[bytes] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("dtype", "shape", "data")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Step(_message.Message):
    __slots__ = ("id", "operation", "arguments", "node", "needs", "edges", "output", "process", "epoch")
    ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    id: int
    operation: str
    arguments: bytes
    node: str
    needs: int
    edges: _containers.RepeatedCompositeFieldContainer[Edge]
    output: bool
    process: str
    epoch: int
    def __init__(self, id: _Optional[int] = ..., operation: _Optional[str] = ..., arguments: _Optional[bytes] = ..., node: _Optional[str] = ..., needs: _Optional[int] = ..., edges: _Optional[_Iterable[_Union[Edge, _Mapping]]] = ..., output: _Optional[bool] = ..., process: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

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

class Graph(_message.Message):
    __slots__ = ("name", "steps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    def __init__(self, name: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ("run_id", "attempt", "deadline", "home", "steps", "sender", "bound", "trail", "sent_at")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    HOME_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    BOUND_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    SENT_AT_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    attempt: int
    deadline: float
    home: str
    steps: _containers.RepeatedCompositeFieldContainer[Step]
    sender: int
    bound: bytes
    trail: _containers.RepeatedCompositeFieldContainer[Hop]
    sent_at: float
    def __init__(self, run_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., deadline: _Optional[float] = ..., home: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[Step, _Mapping]]] = ..., sender: _Optional[int] = ..., bound: _Optional[bytes] = ..., trail: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., sent_at: _Optional[float] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("step", "node", "attempt", "sent_at", "received_at", "started_at", "finished_at", "request_bytes", "response_bytes", "output")
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
    def __init__(self, step: _Optional[int] = ..., node: _Optional[str] = ..., attempt: _Optional[int] = ..., sent_at: _Optional[float] = ..., received_at: _Optional[float] = ..., started_at: _Optional[float] = ..., finished_at: _Optional[float] = ..., request_bytes: _Optional[int] = ..., response_bytes: _Optional[int] = ..., output: _Optional[bytes] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("status", "message", "step", "operation", "node", "attempt", "causes", "log_file", "definite", "retry_after_s", "field")
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
    def __init__(self, status: _Optional[str] = ..., message: _Optional[str] = ..., step: _Optional[int] = ..., operation: _Optional[str] = ..., node: _Optional[str] = ..., attempt: _Optional[int] = ..., causes: _Optional[_Iterable[str]] = ..., log_file: _Optional[str] = ..., definite: _Optional[bool] = ..., retry_after_s: _Optional[float] = ..., field: _Optional[str] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("run_id", "attempt", "step", "trail", "failure", "lost", "deadline", "owner")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    TRAIL_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    run_id: bytes
    attempt: int
    step: int
    trail: _containers.RepeatedCompositeFieldContainer[Hop]
    failure: Failure
    lost: bool
    deadline: float
    owner: Owner
    def __init__(self, run_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., step: _Optional[int] = ..., trail: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., lost: _Optional[bool] = ..., deadline: _Optional[float] = ..., owner: _Optional[_Union[Owner, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, frames: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("accepted", "epoch")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    epoch: int
    def __init__(self, accepted: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

"""What simulated devices do: exact arithmetic, integers and texts in the storage folder, trainings that nobody may repeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import Message

from protos import cnn_pb2, fractos_pb2, storage_pb2
from Services.ComputationalNodes.MathCompute.Math_Adaptor.math_adaptor import MathAdaptor
from Services.fractos.call_memory import Answer, CallMemory
from Services.fractos.errors import DeadlineExceededError, FractosError, NotFoundError
from Services.fractos.events import CallDevice, DeviceDone
from Services.fractos.graph import default_catalogue
from Services.fractos.memory_scope import entered, read
from tests.simulation.disks import Change
from tests.simulation.fetching import Outcome
from tests.simulation.memory import Fetched

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

Found = TypeVar("Found")


@cache
def arithmetic() -> MathAdaptor:
    """The device of every math node, which keeps nothing."""
    return MathAdaptor(default_catalogue())


def call_device(world: World, node: SimulatedNode, call: CallDevice) -> None:
    """Have a device do a step after some time, with its arguments at hand; its node gets DeviceDone."""
    _Call(world, node, call).fetch()


def plain(request: Message) -> Message:
    """A request of a device call with all of its values in it, whether or not they were Memory."""
    copy: Any = type(request)()
    copy.CopyFrom(request)
    for _, value in copy.ListFields():
        if isinstance(value, fractos_pb2.BigInteger) and value.HasField("memory"):
            value.CopyFrom(fractos_pb2.BigInteger(negative=value.negative, magnitude=bytes(read(value.memory))))
    return copy  # type: ignore[no-any-return]


def _found(files: Mapping[tuple[str, str], Found], request: Any) -> Found:
    if (request.client_id, request.name) not in files:
        raise NotFoundError(f"no file {request.name!r}")
    return files[request.client_id, request.name]


class _Call:
    """One call of a device."""

    def __init__(self, world: World, node: SimulatedNode, call: CallDevice) -> None:
        self._world = world
        self._node = node
        self._call = call
        self._memory = CallMemory(node.memory, call)
        self._handed_at = world.now, node.clock
        self._started_at = node.clock
        self._has_failed = False  # with the first fetch that did

    def fetch(self) -> None:
        """Get what the arguments refer to, then wait for the device."""
        wanted = self._memory.wanted()
        if not wanted:
            self._queue()
            return
        views: dict[int, Fetched] = {}
        for index, memory in enumerate(wanted):
            fetched = partial(self._fetched, views, len(wanted), index)
            self._world.fetches.begin(self._node, memory, self._call.deadline, fetched)

    def _fetched(self, views: dict[int, Fetched], count: int, index: int, outcome: Outcome) -> None:
        if self._has_failed:
            return
        if isinstance(outcome, FractosError):
            self._fail(outcome)
            return
        views[index] = outcome
        if len(views) < count:
            return
        try:
            self._memory.take([views[index] for index in range(count)])
        except FractosError as error:
            self._fail(error)
            return
        self._queue()

    def _fail(self, error: FractosError) -> None:
        self._has_failed = True
        self._end(error)

    def _queue(self) -> None:
        self._node.later(self._world.device_time(self._node) / 2, self._begin)

    def _begin(self) -> None:
        """Do the step, unless it has been dropped or is too late."""
        key, operation, request, deadline, *_ = self._call
        node = self._node
        if key.run_id in node.dropped:
            return
        self._started_at = node.clock
        if self._started_at > deadline:
            self._end(DeadlineExceededError(f"the deadline passed while {operation.path} waited for the device"))
            return
        self._world.note_execution(node, key, operation.path)
        with entered(self._memory):
            what = plain(request)
        self._world.check_right(node, key, what, self._handed_at)
        if not operation.remembered:
            node.later(self._world.device_time(node) / 2, self._finish)
            return
        try:
            self._change(f"{key.run_id.hex()}/{key.step}", what)
        except FractosError as error:
            self._end(error)

    def _finish(self) -> None:
        """Answer; leave nothing if the run was stopped meanwhile."""
        call = self._call
        try:
            answer = self._memory.carry_out(partial(self._respond, call.operation.path, call.request))
        except FractosError as error:
            self._end(error)
            return
        if call.key.run_id in self._node.dropped:
            self._memory.discard()
        else:
            self._end(answer)

    def _end(self, ended: Answer | FractosError) -> None:
        key, started_at, now = self._call.key, self._started_at, self._node.clock
        if isinstance(ended, FractosError):
            self._node.feed(DeviceDone(key, None, ended, started_at, now))
            return
        response, beside, whole, memory_bytes = ended.response, ended.beside, ended.whole, ended.memory_bytes
        fetched_bytes = self._memory.fetched_bytes
        self._node.feed(DeviceDone(key, response, None, started_at, now, beside, whole, memory_bytes, fetched_bytes))

    def _respond(self, path: str, request: Any) -> Message:
        files = self._world.files
        if path == "cnn.train":
            return cnn_pb2.TrainResponse(model=request.model)
        if path == "storage.read_integer":
            return storage_pb2.ReadIntegerResponse(value=_found(files.content, request))
        if path == "storage.read_text":
            return storage_pb2.ReadTextResponse(text=_found(files.documents, request))
        return arithmetic().call(self._call.operation, request)

    # -- a change of a file: record, apply, mark, with time in between for a death or a full disk ------------------------

    def _change(self, step_key: str, request: Any) -> None:
        files = self._world.files
        path = (request.client_id, request.name)
        what = request.value if isinstance(request, storage_pb2.WriteIntegerRequest) else request.text
        done = files.find(step_key, path, what)
        if done is not None:
            self._answer(done)
        else:
            files.check(self._node)
            self._then(lambda: files.record(step_key, path, what), lambda: self._apply(step_key))

    def _apply(self, step_key: str) -> None:
        files = self._world.files
        try:
            files.check(self._node)
        except FractosError as error:
            files.settled(step_key)
            self._end(error)
            return
        self._then(lambda: files.apply(step_key), lambda: self._mark(step_key))

    def _mark(self, step_key: str) -> None:
        files = self._world.files
        if not files.is_full:  # it is done, whether or not it can be marked
            files.check(self._node)
            if not self._node.write(lambda: files.mark(step_key)):
                return
        self._answer(files.changes[step_key])

    def _answer(self, change: Change) -> None:
        if isinstance(change.what, str):
            self._end(Answer(storage_pb2.AppendTextResponse(size_bytes=change.size_bytes)))
        else:
            self._end(Answer(storage_pb2.WriteIntegerResponse()))

    def _then(self, write: Callable[[], None], following: Callable[[], None]) -> None:
        if self._node.write(write):
            self._node.later(self._world.device_time(self._node) / 4, following)

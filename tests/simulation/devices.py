"""What simulated devices do: exact arithmetic, integers and texts in the storage folder, trainings that nobody may repeat."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from protos import cnn_pb2, storage_pb2
from Services.ComputationalNodes.MathCompute.Math_Adaptor.math_adaptor import MathAdaptor
from Services.fractos.errors import DeadlineExceededError, FractosError, NotFoundError
from Services.fractos.events import CallDevice, DeviceDone
from Services.fractos.graph import default_catalogue
from tests.simulation.disks import Change

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World


@cache
def arithmetic() -> MathAdaptor:
    """The device of every math node, which keeps nothing."""
    return MathAdaptor(default_catalogue())


def call_device(world: World, node: SimulatedNode, call: CallDevice) -> None:
    """Have a device do a step after some time; its node gets DeviceDone."""
    node.later(world.device_time(node), _Call(world, node, call).begin)


class _Call:
    """One call of a device."""

    def __init__(self, world: World, node: SimulatedNode, call: CallDevice) -> None:
        self._world = world
        self._node = node
        self._call = call
        self._started_at = 0.0

    def begin(self) -> None:
        """Do the step, unless it has been dropped or is too late."""
        key, operation, request, deadline, *_ = self._call
        node = self._node
        if key.run_id in node.dropped:
            return
        self._started_at = node.clock
        if self._started_at > deadline:
            self._end(None, DeadlineExceededError(f"the deadline passed while {operation.path} waited for the device"))
            return
        self._world.note_execution(node, key, operation.path)
        try:
            if operation.remembered:
                self._change(f"{key.run_id.hex()}/{key.step}", request)
            else:
                self._end(self._respond(operation.path, request), None)
        except FractosError as error:
            self._end(None, error)

    def _end(self, response: Message | None, error: FractosError | None) -> None:
        self._node.feed(DeviceDone(self._call.key, response, error, self._started_at, self._node.clock))

    def _respond(self, path: str, request: Any) -> Message:
        if path == "cnn.train":
            return cnn_pb2.TrainResponse(model=request.model)
        if path == "storage.read_integer":
            content = self._world.files.content
            if (request.client_id, request.name) not in content:
                raise NotFoundError(f"no file {request.name!r}")
            return storage_pb2.ReadIntegerResponse(value=content[request.client_id, request.name])
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
            self._end(None, error)
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
            self._end(storage_pb2.AppendTextResponse(size_bytes=change.size_bytes), None)
        else:
            self._end(storage_pb2.WriteIntegerResponse(), None)

    def _then(self, write: Callable[[], None], following: Callable[[], None]) -> None:
        if self._node.write(write):
            self._node.later(self._world.device_time(self._node) / 4, following)

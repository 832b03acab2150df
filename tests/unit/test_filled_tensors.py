"""Arrays that device calls write straight into Memory."""

from __future__ import annotations

import numpy
import pytest
from google.protobuf.message import Message

from protos import fractos_pb2, math_pb2
from Services.fractos.call_memory import CallMemory, NodeMemory, View
from Services.fractos.errors import FailedPreconditionError, InvalidArgumentError, ResourceExhaustedError
from Services.fractos.events import CallDevice, WorkKey
from Services.fractos.memory import MemoryStore
from Services.fractos.memory_scope import entered
from Services.fractos.operations import Catalogue
from Services.fractos.values import filled_tensor, from_tensor
from tests.memory_stores import LATER, RUN, reusing_store

LIMIT = 1000
FLOATS = numpy.dtype("float64")


class NoFetcher:
    """For calls whose arguments are no Memory."""

    async def fetch(self, memory: fractos_pb2.Memory, deadline: float) -> View:
        raise AssertionError("nothing was to be fetched")


def call_memory(store: MemoryStore, *, whole: bool = False) -> CallMemory:
    operation = Catalogue.from_protos().get("math.scale")
    assert operation is not None
    call = CallDevice(WorkKey(RUN, 1, 1), operation, math_pb2.ScaleRequest(), LATER, whole=whole)
    return CallMemory(NodeMemory(store, NoFetcher(), LIMIT), call)


def ascending(array: numpy.ndarray) -> None:
    array[...] = numpy.arange(array.size).reshape(array.shape)


def answered(array: numpy.ndarray) -> Message:
    """What an Adaptor does."""
    return math_pb2.ScaleResponse(tensor=filled_tensor(array.shape, array.dtype, ascending))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("shape", [(2000,), (250, 2, 4)])
def test_a_large_array_lies_in_memory_from_the_beginning(shape: tuple[int, ...], whole: bool) -> None:
    store = reusing_store()
    answer = call_memory(store, whole=whole).carry_out(lambda: answered(numpy.empty(shape)))
    expected = numpy.arange(2000.0).reshape(shape)
    assert isinstance(answer.response, math_pb2.ScaleResponse)
    tensor = answer.response.tensor
    assert (tensor.dtype, tuple(tensor.shape), tensor.data) == ("float64", shape, b"")
    with store.open(tensor.memory, 0.0).view() as view:
        assert bytes(view.buffer) == expected.tobytes()
    assert tensor.memory.digest == store.publish(expected.data, run_id=RUN, began_at=1.0, expires_at=LATER).digest
    assert (answer.whole is not None) == whole
    if answer.whole is not None:
        brought = from_tensor(math_pb2.ScaleResponse.FromString(answer.whole).tensor)
        assert numpy.array_equal(brought, expected)


def test_a_small_array_and_one_outside_a_call_stay_in_the_message() -> None:
    store = reusing_store()
    with entered(call_memory(store)):
        small = filled_tensor((LIMIT // 8,), FLOATS, ascending)
        scalar = filled_tensor((), FLOATS, ascending)
    outside = filled_tensor((LIMIT,), FLOATS, ascending)
    assert store.objects == 0
    assert from_tensor(small).tolist() == list(range(LIMIT // 8))
    assert from_tensor(scalar).tolist() == 0.0
    assert from_tensor(outside).tolist() == list(range(LIMIT))


def test_big_endian_arrays_travel_as_little_endian_ones() -> None:
    with entered(call_memory(store := reusing_store())):
        tensor = filled_tensor((LIMIT,), numpy.dtype(">i4"), ascending)
    with store.open(tensor.memory, 0.0).view() as view:
        assert numpy.frombuffer(view.buffer, "<i4").tolist() == list(range(LIMIT))


def test_nothing_is_left_behind_by_what_fails() -> None:
    kept = []

    def keep(array: numpy.ndarray) -> None:
        array[:] = 1
        kept.append(array)

    def fail(array: numpy.ndarray) -> None:
        raise OSError("the device is broken")

    store = reusing_store()
    with entered(call_memory(store)):
        with pytest.raises(FailedPreconditionError, match="refers to its writable bytes"):
            filled_tensor((LIMIT,), FLOATS, keep)
        with pytest.raises(OSError, match="broken"):
            filled_tensor((LIMIT,), FLOATS, fail)
        with pytest.raises(InvalidArgumentError, match="cannot travel"):
            filled_tensor((LIMIT,), numpy.dtype(object), ascending)
        with pytest.raises(ResourceExhaustedError, match="no room"):
            filled_tensor((1 << 30,), FLOATS, ascending)
        assert store.objects == store.used_bytes == 0
        later = filled_tensor((LIMIT,), FLOATS, ascending)
        kept[0][:] = 2
        with store.open(later.memory, 0.0).view() as view:
            assert numpy.frombuffer(view.buffer).tolist() == list(range(LIMIT))

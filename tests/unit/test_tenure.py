"""A node with durable state: it serves as the owner, in its epoch, or not at all."""

from __future__ import annotations

import pytest

from protos import fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.errors import FailedPreconditionError, FractosError, UnavailableError
from Services.fractos.events import (
    CallDevice,
    Effect,
    FrameReceived,
    MembersChanged,
    NotOwned,
    Owned,
    OwnedElsewhere,
    SendFrame,
    TakeOwnership,
    TimerDue,
    Wake,
)
from Services.fractos.graph import TaskGraph, default_catalogue
from Services.fractos.limits import Limits
from Services.fractos.placement import Identity
from Services.fractos.plan import make_plan
from Services.fractos.tenure import ASK_AGAIN_S

NOW = 1000.0
MEMBERS = tuple(
    Member(name.partition("-")[0], name, f"id {name}", index, f"at {name}", 1, "", 0.0)
    for index, name in enumerate(("application-0", "storage-0", "storage-1"))
)


def storage(name: str = "storage-1", held: int = 10) -> Engine:
    node = Engine(Identity("storage", name, f"at {name}"), default_catalogue(), limits=Limits(held=held), durable=True)
    assert takes(node.handle(MembersChanged(MEMBERS), NOW)) == (name == "storage-0")
    return node


def reading(epoch: int, run: bytes = b"r") -> FrameReceived:
    """A Request to read a file."""
    graph = TaskGraph("read")
    graph.storage.read_text(client_id="admin", name="a.txt")
    request = fractos_pb2.Request.FromString(make_plan(graph.serialized(), default_catalogue()).openings[0])
    request.run_id, request.attempt, request.deadline, request.home = run * 16, 1, NOW + 30, "at application-0"
    request.steps[0].epoch = epoch
    return FrameReceived(fractos_pb2.Frame(request=request))


def takes(effects: list[Effect]) -> bool:
    return any(isinstance(effect, TakeOwnership) for effect in effects)


def wake(effects: list[Effect]) -> float:
    (due,) = [effect.at for effect in effects if isinstance(effect, Wake)]
    return due


def calls(effects: list[Effect]) -> list[bytes]:
    """The runs whose step goes to the device."""
    return [effect.key.run_id[:1] for effect in effects if isinstance(effect, CallDevice)]


def completions(effects: list[Effect]) -> list[fractos_pb2.Completion]:
    return [effect.frame.completion for effect in effects if isinstance(effect, SendFrame)]


def test_the_owner_serves_its_own_epoch_and_sends_others_to_where_they_belong() -> None:
    node = storage("storage-0")
    node.handle(Owned(7), NOW)
    assert calls(node.handle(reading(7), NOW)) == [b"r"]
    for epoch in (0, 6, 8):
        effects = node.handle(reading(epoch, b"x"), NOW)
        (completion,) = completions(effects)
        assert calls(effects) == []
        assert (completion.lost, completion.owner.address, completion.owner.epoch) == (True, "at storage-0", 7)


def test_a_standby_that_is_asked_takes_over_once_and_then_serves_what_was_meant_for_it() -> None:
    node = storage()
    assert takes(node.handle(reading(8, b"a"), NOW))
    assert not takes(node.handle(reading(3, b"b"), NOW))
    effects = node.handle(Owned(8), NOW + 1)
    assert calls(effects) == [b"a"]
    assert [completion.run_id[:1] for completion in completions(effects)] == [b"b"]
    assert not takes(node.handle(MembersChanged(MEMBERS[:1] + MEMBERS[2:]), NOW + 2))


def test_a_standby_whose_owner_lives_says_who_that_is_and_asks_again_the_next_time() -> None:
    node = storage()
    node.handle(reading(0), NOW)
    (completion,) = completions(node.handle(OwnedElsewhere("storage-0", "at storage-0", 5), NOW))
    assert (completion.lost, completion.owner.address, completion.owner.epoch) == (True, "at storage-0", 5)
    assert takes(node.handle(reading(0), NOW))


@pytest.mark.parametrize(
    ("error", "lost"), [(UnavailableError("nothing is decided"), True), (FailedPreconditionError("read-only"), False)]
)
def test_a_standby_that_cannot_take_over_says_why(error: FractosError, lost: bool) -> None:
    node = storage()
    node.handle(reading(0), NOW)
    (completion,) = completions(node.handle(NotOwned(error), NOW))
    assert (completion.failure.status, completion.failure.message, completion.lost) == (error.status, error.message, lost)


def test_a_standby_that_leads_takes_over_without_being_asked() -> None:
    assert takes(storage().handle(MembersChanged(MEMBERS[2:]), NOW))


def test_a_standby_that_leads_asks_again_until_it_is_the_owner() -> None:
    node = storage()
    node.handle(MembersChanged(MEMBERS[2:]), NOW)  # the owner has left the directory, but answers still
    assert wake(node.handle(OwnedElsewhere("storage-0", "at storage-0", 5), NOW)) == NOW + ASK_AGAIN_S
    assert takes(node.handle(TimerDue(), NOW + ASK_AGAIN_S))
    assert wake(node.handle(NotOwned(UnavailableError("nothing is decided")), NOW + 2)) == NOW + 2 + ASK_AGAIN_S
    assert takes(node.handle(TimerDue(), NOW + 2 + ASK_AGAIN_S))
    node.handle(Owned(6), NOW + 4)
    assert not takes(node.handle(TimerDue(), NOW + 10))


def test_a_step_that_was_given_to_an_earlier_process_of_the_node_is_lost_and_not_done() -> None:
    node = Engine(Identity("storage", "storage-0", "at storage-0", id="second"), default_catalogue(), durable=True)
    node.handle(Owned(7), NOW)
    event = reading(7)
    event.frame.request.steps[0].process = "first"
    effects = node.handle(event, NOW)
    (completion,) = completions(effects)
    assert (calls(effects), completion.lost) == ([], True)
    event = reading(7)
    event.frame.request.steps[0].process = "second"
    assert calls(node.handle(event, NOW)) == [b"r"]


def test_as_many_wait_for_an_owner_as_the_limit_says() -> None:
    node = storage(held=2)
    assert completions([*node.handle(reading(0), NOW), *node.handle(reading(0, b"b"), NOW)]) == []
    (completion,) = completions(node.handle(reading(0, b"c"), NOW))
    assert completion.failure.status == "RESOURCE_EXHAUSTED"
    assert completion.failure.retry_after_s > 0

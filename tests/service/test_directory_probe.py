"""When a listed process counts as dead before its directory has noticed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from Services.fractos.directory.interface import Member
from Services.fractos.directory.probe import certainly_dead
from tests.waiting import on_event_loop

OWN_ADDRESS = "127.0.0.1:1"


def member_at(address: tuple[str, int]) -> Member:
    return Member("math", "math-0", "an-id", 0, f"{address[0]}:{address[1]}", 42, "", 0.0)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


@on_event_loop
async def test_one_that_refuses_connections_is_dead(listener: socket.socket) -> None:
    assert await certainly_dead(member_at(listener.getsockname()), OWN_ADDRESS)


@on_event_loop
async def test_one_that_accepts_connections_lives(listener: socket.socket) -> None:
    listener.listen()
    assert not await certainly_dead(member_at(listener.getsockname()), OWN_ADDRESS)


@on_event_loop
async def test_one_that_does_not_answer_may_live(listener: socket.socket) -> None:
    listener.listen(0)
    with ExitStack() as stack:
        for _ in range(4):  # until nobody gets through any more
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        assert not await certainly_dead(member_at(listener.getsockname()), OWN_ADDRESS)


@on_event_loop
async def test_one_on_another_host_may_live_though_it_refuses(listener: socket.socket) -> None:
    assert not await certainly_dead(member_at(listener.getsockname()), "127.0.0.2:1")

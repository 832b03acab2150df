"""Submissions of a client that share a message while much is under way: against an application node that counts messages."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from Services.fractos import Datacenter, connect, connection
from tests.service.scripted_application import ScriptedApplication, never, quick, scripted
from tests.waiting import until


def test_with_little_under_way_each_leaves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "GATHER_S", 3600.0)
    node = ScriptedApplication(never)
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        submit_one_by_one(datacenter, node, connection.MANY)
    assert node.messages == [1] * connection.MANY


def test_with_much_under_way_those_of_one_moment_travel_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = ScriptedApplication(never)
    with scripted(tmp_path, node) as root, connect(root) as datacenter:
        submit_one_by_one(datacenter, node, connection.MANY)
        monkeypatch.setattr(connection, "GATHER_S", 0.5)

        async def submit_ten() -> None:
            for _ in range(10):
                datacenter.submit(quick())
                for _ in range(20):  # turns of the loop: enough for a message to leave, if it were to
                    await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(submit_ten(), connection.background_loop()).result()
        until(lambda: len(node.submissions) == connection.MANY + 10)
        # The first one leaves at once if the machine has slept for so long that the message before left long ago.
        assert len(node.messages) - connection.MANY <= 2


def submit_one_by_one(datacenter: Datacenter, node: ScriptedApplication, count: int) -> None:
    """Each when the one before has arrived."""
    for number in range(count):
        datacenter.submit(quick())
        until(lambda: len(node.submissions) == number + 1)  # noqa: B023 - called within this turn

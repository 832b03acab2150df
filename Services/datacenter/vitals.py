"""How the nodes fare, as they say themselves: load, memory, what waits, what is done in a second. Used by `status`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protos import fractos_pb2
from Services.fractos.credentials import APPLICATION
from Services.fractos.directory.interface import Member
from Services.fractos.errors import FractosError
from Services.fractos.oversight import ANSWER_S, Oversight

BETWEEN_S = 0.4  # the two descriptions from which the first rates of a node follow


@dataclass(frozen=True)
class Vitals:
    """How a node fares. The fields are those of `status --json`; None: it does not say, or has none."""

    started_at: float | None = None  # Unix time in seconds
    cpu_percent: float | None = None  # of one processor, at the moment; more than 100 with several threads
    resident_bytes: int | None = None
    steps_waiting: int | None = None  # at the device, as are the next
    steps_running: int | None = None
    steps_done: int | None = None  # since the start
    steps_failed: int | None = None
    steps_per_s: float | None = None  # at the moment, done or failed
    runs_in_flight: int | None = None  # an application node's, as are the next
    runs_ended: int | None = None  # since the start
    runs_failed: int | None = None  # of those
    runs_per_s: float | None = None  # that end, at the moment
    owns: str | None = None  # the folder of which it is the owner: of files or of the journal
    epoch: int | None = None  # of the owner
    journal_bytes: int | None = None
    memory_bytes: int | None = None  # of the Memory that it holds
    memory_limit_bytes: int | None = None


UNKNOWN = Vitals()


class Examination:
    """Asks the nodes of a datacenter again and again. A rate is that since the time before."""

    def __init__(self, oversight: Oversight) -> None:
        self._oversight = oversight
        self._before: dict[str, fractos_pb2.NodeDescription] = {}  # by the id of the process

    async def ask(self, nodes: Sequence[Member]) -> list[Vitals]:
        """How the nodes fare now: UNKNOWN of those that do not answer within two seconds, which hold up no other."""
        before, self._before = self._before, {}
        return await asyncio.gather(*(self._ask(node, before.get(node.id)) for node in nodes))

    async def _ask(self, node: Member, before: fractos_pb2.NodeDescription | None) -> Vitals:
        try:
            return await asyncio.wait_for(self._compare(node, before), ANSWER_S)
        except (FractosError, asyncio.TimeoutError):
            return UNKNOWN

    async def _compare(self, node: Member, before: fractos_pb2.NodeDescription | None) -> Vitals:
        if before is None:
            before = await self._oversight.describe(node)
            await asyncio.sleep(BETWEEN_S)
        after = await self._oversight.describe(node)
        if after.id != node.id:  # another process has its address by now
            return UNKNOWN
        self._before[node.id] = after
        return vitals(node.node_type, before, after)


def vitals(node_type: str, before: fractos_pb2.NodeDescription, after: fractos_pb2.NodeDescription) -> Vitals:
    """How a node fares by two of its descriptions. Only application nodes have runs, and only the others a device."""
    elapsed_s = after.now - before.now

    def rate(growth: float) -> float | None:
        return growth / elapsed_s if elapsed_s > 0 else None

    is_home = node_type == APPLICATION
    steps = after.steps_done + after.steps_failed - before.steps_done - before.steps_failed
    cpu = rate(after.cpu_s - before.cpu_s)
    return Vitals(
        started_at=after.started_at,
        cpu_percent=None if cpu is None else 100 * cpu,
        resident_bytes=after.resident_bytes,
        steps_waiting=None if is_home else after.steps_waiting,
        steps_running=None if is_home else after.steps_running,
        steps_done=None if is_home else after.steps_done,
        steps_failed=None if is_home else after.steps_failed,
        steps_per_s=None if is_home else rate(steps),
        runs_in_flight=after.runs_in_flight if is_home else None,
        runs_ended=after.runs_ended if is_home else None,
        runs_failed=after.runs_failed if is_home else None,
        runs_per_s=rate(after.runs_ended - before.runs_ended) if is_home else None,
        owns=_owned(Path(after.state_folder)) if after.epoch else None,
        epoch=after.epoch or None,
        journal_bytes=after.state_bytes if is_home and after.epoch else None,
        memory_bytes=after.traffic.memory_bytes,
        memory_limit_bytes=after.memory_limit_bytes,
    )


def _owned(state_folder: Path) -> str:
    """What a node owns: a storage node keeps its own state in a hidden folder within that."""
    return str(state_folder.parent if state_folder.name.startswith(".") else state_folder)

"""Whether a history keeps what is promised: nothing lost, nothing twice, nothing afterwards, one right answer, in time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from protos import application_pb2
from tests.simulation.clients import Client
from tests.simulation.graphs import Drawn
from tests.simulation.history import Ended, Execution, Trouble
from tests.simulation.scenario import Scenario, Submission
from tests.simulation.world import World, integer

EFFECTS = ("storage.append_text", "storage.write_integer", "cnn.train")
FREED_S = 0.5  # how long after a run's end its Memory may stay, where its home can say so
LATE_S = 0.1  # how long after a run's end a node that can be reached may still begin a step of it
SERVED_S = 2.0  # an owner that works ends a run within that time of its deadline
AFTERMATH_S = 8.0  # how long a fault may still be the reason of what goes wrong: until nodes are back and trusted again
DELAY_S = 3.5  # how much longer than itself a fault may hold a run up: the silence after which a node counts as dead, and a bit
GRACE_S = 5.0  # of clients
OUTAGES = ("crash", "crash at write", "down", "pause", "wall", "one-way wall", "island", "session lost")
DEAF = (*OUTAGES, "cut", "stale view", "slow network")  # what may keep a node from being told that a run is over


class Checker:
    """Looks at one world after its simulation."""

    def __init__(
        self, scenario: Scenario, world: World, runs: Mapping[bytes, tuple[Submission, Drawn]], clients: Mapping[str, Client]
    ) -> None:
        self._scenario = scenario
        self._world = world
        self._history = world.history
        self._runs = runs
        self._clients = clients

    def check_runs(self) -> None:
        """Check all that has to be settled when peace has lasted for long enough."""
        self._check_effects()
        self._check_lateness()
        self._check_memory()
        for client in self._clients.values():
            for run_id, wanted in client.wanted.items():
                state = "acknowledged" if wanted.is_acknowledged else "wanted"
                self._violated(f"{client.name} waits for ever for {self._name(run_id)}, which is {state}")
        for run_id, (submission, drawn) in self._runs.items():
            self._check_answer(run_id, drawn)
            self._check_in_time(run_id)
            self._check_reason(run_id, submission, drawn)

    def check_nothing_is_left(self) -> None:
        """Check that nobody remembers, holds or reserves anything after the last deadline."""
        for name, node in self._world.nodes.items():
            engine = node.engine
            left = {
                "steps at the device": engine.waiting(),
                "Memory objects": len(node.store),
                "runs in the ledger": len(engine.ledger),
                "bytes in the ledger": engine.ledger.kept_bytes,
                "steps held for an owner": engine.tenure.held(),
            }
            if engine.runs is not None:
                left |= {"runs in flight": engine.runs.in_flight(), "steps reserved": engine.runs.reserved()}
            for what, count in left.items():
                if count:
                    self._violated(f"{name} is left with {count} {what}")
        for run_id, row in self._world.disks.journal.rows.items():
            if row.record.result is None:
                self._violated(f"{self._name(run_id)} is in the journal without an end")

    # -- effects ----------------------------------------------------------------------------------------------------------

    def _check_effects(self) -> None:
        """Appends: once where the run succeeded, else at most once. Trainings: at most once. Nothing of nobody's."""
        texts = self._world.files.count()
        trained = Counter((one.key.run_id, one.key.step) for one in self._history.executions if one.path == "cnn.train")
        for run_id, (_, drawn) in self._runs.items():
            succeeded = any(not _result(answer).HasField("failure") for answer in self._history.answers[run_id])
            known = run_id in self._history.recorded
            for step, text in drawn.appends.items():
                self._check_count(run_id, step, texts.pop(text, 0), succeeded=succeeded, known=known)
            for step in drawn.trainings:
                self._check_count(run_id, step, trained[run_id, step], succeeded=succeeded, known=known)
        for text, count in texts.items():
            self._violated(f"{text!r} was appended {count} times, and nobody asked for it")

    def _check_count(self, run_id: bytes, step: int, count: int, *, succeeded: bool, known: bool) -> None:
        least, most = int(succeeded), int(known)
        if not least <= count <= most:
            state = "succeeded" if succeeded else "did not succeed" if known else "was not accepted"
            self._violated(f"step {step} of {self._name(run_id)}, which {state}, was done {count} times")

    def _check_lateness(self) -> None:
        """Nothing of a run that is over begins where that is known, or could be: the home begins to tell at once.

        What travels before the news, on a slow link, may still be done.
        """
        for one in self._history.executions:
            if one.path not in EFFECTS:
                continue
            what = f"{one.node} began step {one.key.step} of {self._name(one.key.run_id)}"
            told = self._history.told.get((one.address, one.key.run_id))
            if told is not None and one.at > told:
                self._violated(f"{what} after it was told the end")
            end = next(iter(self._history.ends.get(one.key.run_id, ())), None)
            telling = self._history.telling.get((one.address, one.key.run_id), math.inf)
            if end is not None and min(one.at, telling) > end.at + LATE_S and self._could_be_told(one, end):
                self._violated(f"{what} {one.at - end.at:.3f} s after its end")

    def _check_memory(self) -> None:
        """When a run is over, its Memory goes soon: wherever its home could say so."""
        slow_s = 60 * self._scenario.conditions.latency_s
        for kept in self._history.memory:
            end = next(iter(self._history.ends.get(kept.run_id, ())), None)
            if end is None:
                continue
            bound = max(end.at, kept.made_at) + FREED_S + slow_s
            if kept.freed_at > bound and not self._is_deaf(end.address, kept.node, kept.made_at, bound):
                text = f"{kept.node} kept Memory of {self._name(kept.run_id)} for {kept.freed_at - end.at:.2f} s after its end"
                self._violated(text)

    def _could_be_told(self, one: Execution, end: Ended) -> bool:
        """Whether nothing stood between the home of a run that has ended and a node that does a step of it."""
        return not self._is_deaf(end.address, one.node, end.at, one.at)

    def _is_deaf(self, home: str, node: str, begin: float, end: float) -> bool:
        """Whether something stood between a home, by its address, and a node."""
        names = {home.partition(":")[0], node}
        return any(trouble.what in DEAF and names & set(trouble.where.split()) for trouble in self._troubles(begin, end))

    # -- answers ----------------------------------------------------------------------------------------------------------

    def _check_answer(self, run_id: bytes, drawn: Drawn) -> None:
        """One answer for each run, the same as in the journal, and right."""
        answers = self._history.answers[run_id]
        if len(set(answers)) > 1:
            self._violated(f"{self._name(run_id)} was answered in {len(set(answers))} different ways")
        ends = self._history.ends.get(run_id, [])
        if len(ends) > 1:
            self._violated(f"the end of {self._name(run_id)} was recorded {len(ends)} times")
        if answers and not ends:
            self._violated(f"{self._name(run_id)} was answered, and its end is not recorded")
        if run_id in self._history.accepted and run_id not in self._history.recorded:
            self._violated(f"{self._name(run_id)} was accepted, and is not recorded")
        result = _result(answers[0]) if answers else None
        if result is None or result.HasField("failure"):
            return
        steps = [hop.step for hop in result.trail]
        if sorted(steps) != list(range(len(drawn.graph.steps))):
            self._violated(f"{self._name(run_id)} succeeded with the steps {steps} of {len(drawn.graph.steps)}")
            return
        if drawn.is_denied:
            self._violated(f"{self._name(run_id)} succeeded, although one of its steps may not be done")
        self._check_outputs(run_id, result, drawn)

    def _check_outputs(self, run_id: bytes, result: application_pb2.RunResult, drawn: Drawn) -> None:
        """What the client gets is right: all that it has asked for, and all that is small."""
        there = {hop.step for hop in result.trail if hop.HasField("output")}
        if not drawn.asked <= there:
            self._violated(f"{self._name(run_id)} came without outputs that were asked for: {sorted(drawn.asked - there)}")
            return
        shared = integer(result, drawn.shared_read) if drawn.shared_read is not None else 0
        for step, value in drawn.values.items():
            expected = value.given(shared)
            if step not in there and abs(expected) < 1 << 8 * self._scenario.conditions.inline_limit:
                self._violated(f"the output of step {step} of {self._name(run_id)} did not come, although it is small")
            elif step in there and integer(result, step) != expected:
                self._violated(f"step {step} of {self._name(run_id)} answered {integer(result, step)}, not {expected}")

    def _check_in_time(self, run_id: bytes) -> None:
        """An accepted run ends by its deadline, or as soon as an owner of the journal has been at work for a while."""
        deadline = self._history.recorded.get(run_id)
        ends = self._history.ends.get(run_id)
        if deadline is None or not ends:
            return
        begin = deadline + 2 * self._scenario.conditions.skew_s  # by anybody's clock
        for idle_from, idle_until in self._served(begin, ends[0].at):
            if idle_until - idle_from > SERVED_S:
                late = ends[0].at - begin
                self._violated(f"{self._name(run_id)} ended {late:.2f} s after its deadline, although the journal had an owner")
                return

    def _served(self, begin: float, end: float) -> Iterator[tuple[float, float]]:
        """The times between two moments in which nothing was wrong with the application nodes or the journal."""
        at = begin
        for trouble in sorted(self._troubles(begin, end, "application")):
            if trouble.begin > at:
                yield at, min(trouble.begin, end)
            at = max(at, trouble.end + AFTERMATH_S)
        if at < end:
            yield at, end

    # -- reasons ----------------------------------------------------------------------------------------------------------

    def _check_reason(self, run_id: bytes, submission: Submission, drawn: Drawn) -> None:
        """A run that fails, or is refused, has a reason to."""
        answers = self._history.answers[run_id]
        failures = [_result(answer).failure for answer in answers[:1] if _result(answer).HasField("failure")]
        for one in failures:
            if not self._may_fail(run_id, one.status, submission, drawn):
                self._violated(f"{self._name(run_id)} had no reason to fail with {one.status}: {one.message}")
        for error in self._history.refusals[run_id]:
            if not self._may_fail(run_id, error.status, submission, drawn, refused=True):
                self._violated(f"{self._name(run_id)} had no reason to be refused with {error.status}: {error.message}")

    def _may_fail(self, run_id: bytes, status: str, submission: Submission, drawn: Drawn, *, refused: bool = False) -> bool:
        """Whether a run with these steps may have failed that way, for what went wrong while it lasted."""
        begin = self._history.began_at + submission.at
        ends = self._history.ends.get(run_id)
        end = ends[0].at if ends and not refused else begin + submission.timeout_s + GRACE_S + AFTERMATH_S
        troubles = self._troubles(begin, end)
        reasons = {
            "CANCELLED": submission.cancel_s is not None,
            "PERMISSION_DENIED": drawn.is_denied or self._is_revoked(submission, drawn, end),
            "RESOURCE_EXHAUSTED": run_id in self._history.crowded_out or _is_full(drawn, troubles),
            # It was repeated, and what it read had changed.
            "ABORTED": drawn.shared_read is not None and any(one.what != "revocation" for one in troubles),
            # What it wants to steal is gone.
            "NOT_FOUND": drawn.is_denied and submission.trick == "stolen",
        }
        if status in reasons:
            return reasons[status]
        if status == "UNAVAILABLE" and drawn.is_denied and submission.trick == "stolen":
            return True
        if status == "UNAVAILABLE" and any(self._takes_away(one, drawn, troubles) for one in troubles):
            return True
        conditions = self._scenario.conditions
        hop_s = 60 * (self._scenario.device_s + conditions.latency_s + conditions.transfer_s)
        work_s = hop_s * len(drawn.graph.steps) + 0.5 + 2 * conditions.skew_s
        if refused or status == "DEADLINE_EXCEEDED":
            delays = sum(one.end - one.begin + DELAY_S for one in troubles if self._delays(one, submission, drawn))
            return work_s + delays >= submission.timeout_s
        return False

    def _is_revoked(self, submission: Submission, drawn: Drawn, end: float) -> bool:
        """Whether a right that a run needs was taken from its client before it ended."""
        client = submission.client
        return any(
            trouble.what == "revocation"
            and trouble.begin <= end
            and trouble.where in {f"{client} {one}" for one in drawn.types}
            for trouble in self._history.troubles
        )

    def _takes_away(self, trouble: Trouble, drawn: Drawn, troubles: list[Trouble]) -> bool:
        """Whether a fault left a step of a run without a node, or its fate unknown."""
        if trouble.what == "ownership refused":
            return trouble.where in drawn.types
        if trouble.what not in OUTAGES:
            return False
        for name in trouble.where.split():
            node_type = name.rpartition("-")[0]
            if name in drawn.pinned or (node_type == "cnn" and drawn.trainings):
                return True
            replicas = {f"{node_type}-{index}" for index in range(self._scenario.counts.get(node_type, 0))}
            out = {one for other in troubles if other.what in OUTAGES for one in other.where.split()}
            if node_type in drawn.types and replicas <= out:
                return True
        return False

    def _delays(self, trouble: Trouble, submission: Submission, drawn: Drawn) -> bool:
        """Whether a fault may have cost a run time."""
        if trouble.what.startswith("crash") or trouble.what == "revocation":
            return False  # what follows counts: that the node is down
        if trouble.what.endswith("full"):
            return True
        types = {name.rpartition("-")[0] or name for name in trouble.where.split()}
        return bool(types & (drawn.types | {"application"})) or submission.client in trouble.where.split()

    # -- the small print --------------------------------------------------------------------------------------------------

    def _troubles(self, begin: float, end: float, where: str = "") -> list[Trouble]:
        """What was wrong between two moments, or shortly before."""
        return [
            one
            for one in self._history.troubles
            if one.begin <= end and one.end + AFTERMATH_S >= begin and (not where or where in one.where or "full" in one.what)
        ]

    def _name(self, run_id: bytes) -> str:
        return self._history.name(run_id)

    def _violated(self, text: str) -> None:
        self._history.violated(text)


def _is_full(drawn: Drawn, troubles: list[Trouble]) -> bool:
    """Whether a disk that a run needs took nothing."""
    full = {one.what for one in troubles if one.what.endswith("full")}
    return "journal full" in full or ("storage full" in full and "storage" in drawn.types)


def _result(answer: bytes) -> application_pb2.RunResult:
    return application_pb2.RunResult.FromString(answer)

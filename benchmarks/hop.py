"""What our own code takes of a ring, without gRPC: `python benchmarks/hop.py [--steps 8] [--metrics] [--profile]`.

The Controllers of an application node and three math nodes, with journal, capabilities and ledger, in this one process. What
would be written to a stream is handed over as bytes instead, so nothing but our code and its libraries is measured: the
processor time of a run in the application node, and of a step in a math node. The lowest of many batches, since whatever else
the machine does only adds to it.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import secrets
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protos import application_pb2, fractos_pb2
from Services.ComputationalNodes.MathCompute.Math_Adaptor.math_adaptor import MathAdaptor
from Services.datacenter.bench.graphs import ring
from Services.fractos.authority import Authority
from Services.fractos.call_memory import NodeMemory
from Services.fractos.capability import KEY_BYTES, NONCE_BYTES, issue_for_service
from Services.fractos.controller import Controller
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.events import Accepted, FrameReceived, MembersChanged, Owned, Refused, RunEnded, Submitted
from Services.fractos.graph import default_catalogue
from Services.fractos.guard import Guard
from Services.fractos.journal import Journal
from Services.fractos.memory import MemoryStore
from Services.fractos.metrics import Metrics
from Services.fractos.placement import Identity
from Services.fractos.run_id import new_run_id
from Services.fractos.transport.interface import Transport

BATCHES = 30
RUNS = 100  # of a batch
NAMES = ("application-0", "math-0", "math-1", "math-2")


class Wires(Transport):
    """Hands frames over when everybody has done what there was to do."""

    def __init__(self) -> None:
        self.queue: deque[tuple[str, bytes]] = deque()

    def send(self, address: str, frame: fractos_pb2.Frame) -> None:
        """Queue a frame, as the stream does."""
        self.queue.append((address, fractos_pb2.Frames(frames=[frame.SerializeToString()]).SerializeToString()))

    def flush(self) -> None:
        """Nothing: it is written when its turn comes."""

    def keep(self, address: str) -> None:
        """Nothing: these wires never break."""

    def release(self, address: str) -> None:
        """Nothing to let go of."""

    async def close(self) -> None:
        """Nothing."""


class Results:
    """The one client."""

    def __init__(self) -> None:
        self.ended = 0

    def answer(self, effect: Accepted | Refused | RunEnded) -> None:
        """Take an answer of the engine, and serialize it as the session does."""
        if isinstance(effect, RunEnded):
            assert not effect.result.HasField("failure"), effect.result.failure.message
            application_pb2.SessionResponses(results=[effect.result]).SerializeToString()
            self.ended += 1

    def flush(self) -> None:
        """Nothing."""


class Datacenter:
    """Four Controllers and their wires."""

    def __init__(self, folder: Path, *, metrics: bool) -> None:
        self._wires = Wires()
        self._results = Results()
        self._keys = {kind: secrets.token_bytes(KEY_BYTES) for kind in ("application", "math")}
        self.spent_s = dict.fromkeys(NAMES, 0.0)  # processor time
        self.handled = dict.fromkeys(NAMES, 0)
        self._journal = Journal(folder)
        self._controllers = {name: self._controller(name) for name in NAMES}
        for controller in self._controllers.values() if metrics else ():
            controller.observers.append(Metrics(controller, fractos_pb2.NodeDescription, frozenset({"application", "math"})))
        members = tuple(
            Member(name.partition("-")[0], name, name, number, name, 1, "", 0.0) for number, name in enumerate(NAMES)
        )
        # First, or the leader would want to become the owner.
        self._controllers[NAMES[0]].feed(Owned(1, *self._journal.open(time.time())))
        for controller in self._controllers.values():
            controller.feed(MembersChanged(members))

    def runs(self, graph: bytes, count: int) -> None:
        """So many runs, one after the other."""
        for _ in range(count):
            request = application_pb2.SubmitRequest(run_id=new_run_id(), timeout_s=30.0, graph=graph)
            with self._at(NAMES[0]) as controller:
                controller.feed(Submitted(request, 1))
            while self._wires.queue:
                name, written = self._wires.queue.popleft()
                with self._at(name) as controller:
                    frames = fractos_pb2.Frames.FromString(written).frames
                    controller.feed(*(FrameReceived(fractos_pb2.Frame.FromString(one)) for one in frames))
        assert self._results.ended >= count

    def authority(self) -> Authority:
        """A client's."""
        until = time.time() + 3600
        capabilities = {
            kind: issue_for_service(key, secrets.token_bytes(NONCE_BYTES), service=kind, expires_at=until, client_id="admin")
            for kind, key in self._keys.items()
        }
        return Authority("admin", capabilities, time.time, secrets.token_bytes)

    @contextmanager
    def _at(self, name: str) -> Iterator[Controller]:
        began = time.process_time()
        yield self._controllers[name]
        self.spent_s[name] += time.process_time() - began
        self.handled[name] += 1

    def _controller(self, name: str) -> Controller:
        kind = name.partition("-")[0]
        has_runs = kind == "application"
        guard = Guard(kind, self._keys[kind], secrets.token_bytes(KEY_BYTES))
        engine = Engine(Identity(kind, name, name, id=name), default_catalogue(), with_runs=has_runs, guard=guard)
        adaptor = None if has_runs else MathAdaptor(default_catalogue())
        return Controller(
            engine,
            adaptor,
            self._wires,
            clients=self._results if has_runs else None,
            journal=self._journal if has_runs else None,
            memory=NodeMemory(_store(name, guard), None, 64 << 10),  # type: ignore[arg-type]  # nothing is fetched
        )


def _store(name: str, guard: Guard) -> MemoryStore:
    def no_memory(*arguments: object) -> fractos_pb2.Capability:
        raise AssertionError(f"nothing here leaves Memory: {arguments}")

    return MemoryStore(
        name, 1 << 20, check=guard.check_memory, issue=no_memory, randomness=secrets.token_bytes, clock=time.time
    )


async def measure(steps: int, profile: cProfile.Profile | None, *, metrics: bool) -> tuple[float, float]:
    """Microseconds of processor time: of a run in the application node, of a step in a math node."""
    with tempfile.TemporaryDirectory() as folder:
        datacenter = Datacenter(Path(folder), metrics=metrics)
        graph = datacenter.authority().graph(ring(steps))
        datacenter.runs(graph, RUNS)
        best: Callable[[list[float]], float] = min
        of_runs, of_steps = [], []
        for _ in range(BATCHES):
            before = dict(datacenter.spent_s)
            if profile is not None:
                profile.enable()
            datacenter.runs(graph, RUNS)
            if profile is not None:
                profile.disable()
            await asyncio.sleep(0.0)
            spent = {name: datacenter.spent_s[name] - before[name] for name in NAMES}
            of_runs.append(spent.pop(NAMES[0]) / RUNS * 1e6)
            of_steps.append(sum(spent.values()) / RUNS / steps * 1e6)
        return best(of_runs), best(of_steps)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8, help="of the ring (default: %(default)s)")
    parser.add_argument("--metrics", action="store_true", help="have the nodes count for Prometheus")
    parser.add_argument("--profile", action="store_true", help="show what takes the time")
    options = parser.parse_args()
    profile = cProfile.Profile() if options.profile else None
    of_run, of_step = asyncio.run(measure(options.steps, profile, metrics=options.metrics))
    print(f"application node: {of_run:.0f} us a run; math node: {of_step:.0f} us a step")
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""One simulation from its scenario to what was violated: faults for a while, then peace until all is over, then checks."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from Services.fractos.graph import TaskGraph
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.values import to_big_integer
from tests.simulation.checker import Checker
from tests.simulation.clients import Client
from tests.simulation.faults import Faults
from tests.simulation.graphs import SHARED, Drawn, GraphDrawer
from tests.simulation.history import Tell
from tests.simulation.plants import NO_PLANT, Plant
from tests.simulation.scenario import CLIENTS, FAULTS_S, LONGEST_S, Scenario, Submission
from tests.simulation.tricks import ANOTHER, Trickster
from tests.simulation.world import World

PEACE_S = 20.0  # after the last fault: as long as the slowest recovery may take
LONGEST_TIMEOUT_S = 30.0
OF_ALL = "admin"  # whose files the clients share that are not restricted to their own


@dataclass
class Simulation:
    """A scenario in its world."""

    scenario: Scenario
    world: World
    runs: dict[bytes, tuple[Submission, Drawn]]
    clients: dict[str, Client]


def simulate(scenario: Scenario, *, plant: Plant = NO_PLANT, tell: Tell | None = None) -> list[str]:
    """Run a scenario and return what was violated."""
    world = World(scenario.seed, scenario.counts, conditions=scenario.conditions, tell=tell, make_engine=plant.make_engine)
    plant.spoil_disks(world)
    world.device_s = scenario.device_s
    world.history.began_at = world.now
    simulation = Simulation(scenario, world, {}, {})
    for name in CLIENTS:
        simulation.clients[name] = Client(world, name, name if name in scenario.restricted else "")
    for client_id in (OF_ALL, *CLIENTS):
        world.files.content[client_id, SHARED] = to_big_integer(1)
    _plan(simulation)
    world.run(FAULTS_S + 2 * LONGEST_S + PEACE_S)
    checker = Checker(simulation.scenario, world, simulation.runs, simulation.clients)
    checker.check_runs()
    world.run(LONGEST_TIMEOUT_S + CLOCK_BOUND_S + 2 * LONGEST_S)
    checker.check_nothing_is_left()
    return world.history.violations


def _plan(simulation: Simulation) -> None:
    """Put all submissions and faults on the agenda."""
    world = simulation.world
    faults = Faults(world)
    for submission in simulation.scenario.submissions:
        _plan_submission(simulation, submission)
    for fault in simulation.scenario.faults:
        world.agenda.after(fault.at, partial(faults.begin, fault))


def _plan_submission(simulation: Simulation, submission: Submission) -> None:
    world = simulation.world
    rng = random.Random(submission.graph_seed)
    run_id = rng.randbytes(16)
    world.history.names[run_id] = f"run {submission.number}"
    wanted = _Wanted(simulation, submission, run_id, rng)
    client = simulation.clients[submission.client]
    _at(world, submission.at, lambda: client.submit(run_id, wanted.graph(), submission.timeout_s, submission.topology))
    if submission.cancel_s is not None:
        _at(world, submission.at + submission.cancel_s, lambda: client.cancel(run_id))
    meddler = next((one for one in sorted(simulation.scenario.restricted) if one != submission.client), None)
    if submission.meddle_s is not None and meddler is not None:
        _at(world, submission.at + submission.meddle_s, lambda: simulation.clients[meddler].meddle(run_id))
    if submission.other_s is not None:
        _at(world, submission.at + submission.other_s, lambda: client.submit_another(run_id, _other().serialized()))
    if submission.again_s is not None:
        _at(world, submission.at + submission.again_s, lambda: _submit_again(world, client, run_id, wanted))


class _Wanted:
    """The graph of a submission, and the files that it expects."""

    def __init__(self, simulation: Simulation, submission: Submission, run_id: bytes, rng: random.Random) -> None:
        self._world = simulation.world
        self._submission = submission
        self._run_id = run_id
        self._rng = rng
        restricted = simulation.scenario.restricted
        client_id = submission.client if submission.client in restricted else OF_ALL
        is_another = submission.trick == ANOTHER and submission.client in restricted
        client_id = OF_ALL if is_another else client_id
        self._drawn = GraphDrawer(rng, str(submission.number), simulation.scenario.counts, client_id).draw()
        self._drawn.is_denied = is_another and "storage" in self._drawn.types
        self._world.files.documents |= {(client_id, name): text for name, text in self._drawn.documents.items()}
        self._serialized = b""
        self.topology = submission.topology
        simulation.runs[run_id] = submission, self._drawn

    def graph(self) -> bytes:
        """As it is submitted: the same bytes each time."""
        if not self._serialized:
            trick, authority = self._submission.trick, self._world.keys.authority(self._submission.client)
            self._serialized = authority.graph(self._drawn.graph)
            if trick and trick != ANOTHER:
                trickster = Trickster(self._world, authority, self._rng)
                self._serialized, self._drawn.is_denied = trickster.spoil(self._serialized, trick)
            self._world.history.submitted(self._run_id, self._serialized)
        return self._serialized


def _submit_again(world: World, client: Client, run_id: bytes, wanted: _Wanted) -> None:
    if world.history.answers[run_id]:
        client.submit(run_id, wanted.graph(), 1.0, wanted.topology)


def _other() -> TaskGraph:
    graph = TaskGraph("another one")
    graph.math.shift_left(value=1, bits=1)
    return graph


def _at(world: World, delay_s: float, action: Callable[[], None]) -> None:
    world.agenda.after(delay_s, action)

"""What the page can have run: an example application in each topology, one after the other, and one again and again.

Runs are those of the client `admin`, as the examples in `Applications/` are. Calls of the datacenter block, so they are made
off the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePath

from Services.datacenter import layout
from Services.fractos import Datacenter, Run, TaskGraph, connect
from Services.fractos.config import Configuration
from Services.fractos.errors import FailedPreconditionError, FractosError, NotFoundError
from Services.fractos.topology import RING, TOPOLOGIES

CLIENT = layout.EXAMPLE_CLIENT
NUMBER = "number.txt"  # which `up` has put into storage
SIDE = 128  # pixels; what the CNN was trained for
TIMEOUT_S = 30.0
EVERY_S = 0.4  # a run that is started again and again
MOST_IN_FLIGHT = 8

MakeGraph = Callable[[Configuration], TaskGraph]


def three_devices(configuration: Configuration) -> TaskGraph:
    """A number is read, shifted and stored: as `Applications/three_devices.py` does it."""
    graph = TaskGraph("three devices")
    number = graph.storage.read_integer(client_id=CLIENT, name=NUMBER)
    shifted = graph.math.shift_left(value=number.value, bits=80)
    graph.storage.write_integer(client_id=CLIENT, name="three_devices.txt", value=shifted.value)
    return graph


def image_prediction(configuration: Configuration) -> TaskGraph:
    """A picture is read, its class is told, and stored: as `Applications/image_prediction_application.py` does it."""
    folder = layout.example_files(configuration)
    name = next((path.name for path in sorted(folder.glob("*.jpg"))), "") if folder else ""
    if not name:
        raise FailedPreconditionError(f"{CLIENT} has no pictures in storage; `up` draws some where there is a CNN node")
    graph = TaskGraph("image prediction")
    picture = graph.storage.read_image(client_id=CLIENT, name=name, width=SIDE, height=SIDE)
    answer = graph.cnn.predict(image=picture.image)
    graph.storage.write_text(client_id=CLIENT, name=f"{PurePath(name).stem}_class.txt", text=answer.label)
    return graph


EXAMPLES: Mapping[str, MakeGraph] = {"three devices": three_devices, "image prediction": image_prediction}


def graph_of(configuration: Configuration, example: str) -> TaskGraph:
    """The graph of an example. Raises NotFoundError for another name, FailedPreconditionError if it lacks something."""
    if example not in EXAMPLES:
        raise NotFoundError(f"there is no example {example[:40]!r}; there is {', '.join(EXAMPLES)}")
    return EXAMPLES[example](configuration)


def compare(configuration: Configuration, example: str) -> dict[str, str]:
    """Run an example in each topology and return the ids of the runs. Raises what ended a run.

    Each is run once before, so that connections are open and files known in all of them.
    """
    graph = graph_of(configuration, example)
    with connect(configuration.root, client_id=CLIENT) as datacenter:
        for topology in TOPOLOGIES:
            datacenter.run(graph, topology=topology, timeout_s=TIMEOUT_S)
        return {topology: datacenter.run(graph, topology=topology, timeout_s=TIMEOUT_S).run_id for topology in TOPOLOGIES}


class Again:
    """Has an example run again and again, so that there is something to see. Lives on an event loop."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` is told the example that runs, "" when none does, and what failed."""
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def start(self, configuration: Configuration, example: str, topology: str = RING) -> None:
        """Begin, instead of what runs now. Raises as `graph_of` does."""
        graph = graph_of(configuration, example)
        self.stop()
        self._task = asyncio.create_task(self._run(configuration.root, graph, topology))

    def stop(self) -> None:
        """End."""
        if self._task:
            self._task.cancel()
            self._task = None

    async def _run(self, root: Path, graph: TaskGraph, topology: str) -> None:
        while True:
            try:
                datacenter = await asyncio.to_thread(connect, root, client_id=CLIENT)
            except FractosError as error:
                self._tell(str(error))
                await asyncio.sleep(TIMEOUT_S / 10)
                continue
            try:
                await self._submit(datacenter, graph, topology)
            finally:
                await asyncio.shield(asyncio.to_thread(datacenter.close))

    async def _submit(self, datacenter: Datacenter, graph: TaskGraph, topology: str) -> None:
        flying: deque[Run] = deque()
        while True:
            while flying and flying[0].done():
                self._end(flying.popleft())
            if len(flying) < MOST_IN_FLIGHT:
                with suppress(FractosError):
                    flying.append(datacenter.submit(graph, topology=topology, timeout_s=TIMEOUT_S))
            await asyncio.sleep(EVERY_S)

    def _end(self, run: Run) -> None:
        try:
            run.result()
        except FractosError as error:
            self._tell(f"run {run.run_id[:8]} failed: {error.message}")

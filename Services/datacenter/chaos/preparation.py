"""What a chaos must know before the first fault: the answers of the network, which no calculation here gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from Services.datacenter.chaos.workload import PICTURES, SIDE, Prediction, prediction
from Services.fractos import Datacenter, FractosError, TaskGraph

MOST_PICTURES = 8


def learn_predictions(datacenter: Datacenter, say: Callable[[str], None]) -> dict[str, Prediction]:
    """What the network says of the example pictures, by name. None, and `say` is told why, without a network or pictures."""
    graph = TaskGraph("chaos pictures")
    listed = graph.output(graph.storage.list(client_id=PICTURES))
    found = {}
    try:
        names = [name for name in datacenter.run(graph)[listed].names if name.endswith(".jpg")]
        for name in names[:MOST_PICTURES]:
            graph, answer = prediction(name)
            said = datacenter.run(graph)[answer]
            found[name] = Prediction(said.label, said.probability)
    except FractosError as error:
        say(f"without predictions: {error.message}")
        return {}
    if not found:
        say(f"without predictions: {PICTURES} has no pictures in storage")
    return found


def read_picture(datacenter: Datacenter, name: str) -> Any:
    """One of those pictures, a (SIDE, SIDE, 3) uint8 array."""
    graph = TaskGraph("chaos picture")
    read = graph.output(graph.storage.read_image(client_id=PICTURES, name=name, width=SIDE, height=SIDE))
    return datacenter.run(graph)[read].image

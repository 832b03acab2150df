"""What a chaos must know before the first fault: the answers of the network, which no calculation here gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from Services.datacenter.chaos.storage import Store
from Services.datacenter.chaos.workload import CLIENT, SIDE, Prediction, prediction
from Services.fractos import Datacenter, FractosError, TaskGraph

MOST_PICTURES = 8


def learn_predictions(
    datacenter: Datacenter, store: Store, examples: Path, say: Callable[[str], None]
) -> dict[str, Prediction]:
    """What the network says of copies of the pictures in the folder `examples`, by the name of the copy.

    None, and `say` is told why, without a network or pictures.
    """
    found = {}
    try:
        pictures = [path.read_bytes() for path in sorted(examples.glob("*.jpg"))[:MOST_PICTURES]]
        for name in store.add_pictures(datacenter, pictures):
            graph, answer = prediction(name)
            said = datacenter.run(graph)[answer]
            found[name] = Prediction(said.label, said.probability)
    except (FractosError, OSError) as error:
        say(f"without predictions: {error.message if isinstance(error, FractosError) else error}")
        return {}
    if not found:
        say(f"without predictions: there are no pictures in {examples}")
    return found


def read_picture(datacenter: Datacenter, name: str) -> Any:
    """One of those pictures, a (SIDE, SIDE, 3) uint8 array."""
    graph = TaskGraph("chaos picture")
    read = graph.output(graph.storage.read_image(client_id=CLIENT, name=name, width=SIDE, height=SIDE))
    return datacenter.run(graph)[read].image

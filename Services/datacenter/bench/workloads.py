"""The applications that are run as ring, fast-star and star, with what the network must see of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from Services.datacenter.bench.image import PICTURE, SIDE
from Services.datacenter.bench.own_datacenter import CLIENT
from Services.datacenter.bench.rules import Stage, Value
from Services.datacenter.bench.rules import chain as chain_stages
from Services.fractos import Datacenter, TaskGraph

READ_SIDE = 160  # pixels: how large a picture is read, as in Applications/face_verification.py
MARGIN = (READ_SIDE - SIDE) // 2  # around the middle of it, SIDE x SIDE, which is gone on with
EMBEDDING = "enrolled.npy"
CHANNELS = 3
NODES = {"application": 1, "storage": 1, "math": 2, "cnn": 1}


@dataclass(frozen=True)
class Workload:
    """One application."""

    name: str
    graph: TaskGraph
    stages: tuple[Stage, ...]
    devices: int
    size_bytes: int  # the largest value that goes from one device to another


def chain(nodes: Sequence[str], source: object, size_bytes: int) -> Workload:
    """A multiplication of an array of so many bytes on each node; it lies at the first one."""
    graph = TaskGraph(f"chain of {len(nodes)}")
    value = source
    for node in nodes:
        value = graph.node(node).scale(tensor=value, factor=1.5).tensor
    return Workload("chain", graph, chain_stages(nodes, size_bytes), len(nodes), size_bytes)


def image_prediction(label: str) -> Workload:
    """storage → CNN → storage: the image prediction application. `label`: what the network says of the picture."""
    graph = TaskGraph("image prediction")
    picture = graph.node("storage-0").read_image(client_id=CLIENT, name=PICTURE, width=SIDE, height=SIDE)
    answer = graph.node("cnn-0").predict(image=picture.image)
    graph.node("storage-0").write_text(client_id=CLIENT, name="picture_class.txt", text=answer.label)
    size_bytes = SIDE * SIDE * CHANNELS
    stages = Stage("storage-0"), Stage("cnn-0", (Value(0, size_bytes),)), Stage("storage-0", (Value(1, len(label)),))
    return Workload("image prediction", graph, stages, 2, size_bytes)


def face_verification(embedding_bytes: int) -> Workload:
    """storage → crop → embedding → compare with a stored one → storage, as in Applications/face_verification.py."""
    graph = TaskGraph("face verification")
    storage = graph.node("storage-0")
    known = storage.read_tensor(client_id=CLIENT, name=EMBEDDING)
    picture = storage.read_image(client_id=CLIENT, name=PICTURE, width=READ_SIDE, height=READ_SIDE)
    middle = graph.node("math-0").crop(image=picture.image, top=MARGIN, left=MARGIN, height=SIDE, width=SIDE)
    found = graph.node("cnn-0").embed(image=middle.image)
    compared = graph.node("math-1").similarity(a=found.embedding, b=known.tensor)
    storage.write_text(client_id=CLIENT, name="verdict.txt", text=compared.verdict)
    stages = (
        Stage("storage-0"),
        Stage("storage-0"),
        Stage("math-0", (Value(1, READ_SIDE**2 * CHANNELS),)),
        Stage("cnn-0", (Value(2, SIDE**2 * CHANNELS),)),
        Stage("math-1", (Value(3, embedding_bytes), Value(0, embedding_bytes))),
        Stage("storage-0", (Value(4, len("same")),)),
    )
    return Workload("face verification", graph, stages, 4, READ_SIDE**2 * CHANNELS)


def enroll(datacenter: Datacenter) -> tuple[str, int]:
    """Keep the embedding that `face_verification` compares with; return the picture's label and the embedding's bytes."""
    graph = TaskGraph("enroll")
    whole = graph.storage.read_image(client_id=CLIENT, name=PICTURE, width=SIDE, height=SIDE)
    label = graph.cnn.predict(image=whole.image)
    picture = graph.storage.read_image(client_id=CLIENT, name=PICTURE, width=READ_SIDE, height=READ_SIDE)
    middle = graph.math.crop(image=picture.image, top=MARGIN, left=MARGIN, height=SIDE, width=SIDE)
    found = graph.output(graph.cnn.embed(image=middle.image))
    graph.storage.write_tensor(client_id=CLIENT, name=EMBEDDING, tensor=found.embedding)
    result = datacenter.run(graph, timeout_s=60)
    return result[label].label, result[found].embedding.nbytes

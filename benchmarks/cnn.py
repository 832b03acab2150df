"""How fast a CNN node answers: `python benchmarks/cnn.py [--rounds 10] [--starts 5] [--json]`.

Starts a datacenter of its own, an application node and a CNN node, with a network that it trains on a few drawings for one
epoch (it answers badly, but as fast as a good one), and measures:

- how long the CNN node takes from its start until it is listed, and its memory then and after all that follows: resident, and
  what of it is its own (the rest are files such as TensorFlow's code, which processes share);
- round by round, one after the other, so that a slow moment of the machine hits all of them: predictions per second, one run
  at a time and with 4, 32 and 64 in flight, each a run of one step with a picture as argument; and pictures per second of the
  bare network, without a datacenter, in this process: one a call and 32 a call, which is all that batches can bring here;
- how long a prediction takes, one at a time, while the node does nothing else and while it trains another model.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from real_nodes import CLIENT, ROOT, Nodes, real_nodes
from ring import as_text

from Services.ComputationalNodes.CNN.CNN_Adaptor.cnn_adaptor import NODE
from Services.ComputationalNodes.CNN.Node.loaded_models import tensorflow
from Services.ComputationalNodes.CNN.Node.models import DEFAULT, Models
from Services.ComputationalNodes.CNN.Node.samples import draw_samples
from Services.ComputationalNodes.CNN.Node.training import MODULE
from Services.fractos import Datacenter, TaskGraph, connect

CNN = "cnn-0"
SHAPE = (128, 128, 3)
IN_FLIGHT = (4, 32, 64)
TOGETHER = 32  # pictures a call
PAIRS = 200  # of each class to train with: epochs of seconds, so that a training outlasts what is measured beside it
PREDICTIONS = 150  # whose time is taken, while it trains and while it does not
TIMEOUT_S = 60.0
POLL_S = 0.1
MIB = 1 << 20
RUNNING = 1  # protos/cnn.proto, Training.State

Samples = dict[str, list[float]]


def main() -> int:
    """Read the command line, measure, print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds to measure (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=5, help="how often to start the node (default: %(default)s)")
    options = parser.parse_args()
    samples: Samples = {}
    with real_nodes("application-0", delays_ms={}) as nodes:
        folder = train_a_model(nodes.folder / NODE)
        nodes.start(CNN)  # once, so that TensorFlow's files are in memory
        for _ in range(options.starts):
            note(samples, "seconds from start to ready", duration_s(lambda: nodes.start_again(CNN)))
            weigh(nodes, "when ready", samples)
        with connect(nodes.folder, client_id=CLIENT) as datacenter:
            measure_rates(datacenter, tensorflow().Network(folder, SHAPE), samples, options.rounds)
            measure_training(datacenter, samples)
        weigh(nodes, "after all", samples)
    figures = {name: summary(values) for name, values in samples.items()}
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0


def train_a_model(node: Path) -> Path:
    """Put pictures to train with and a first model into the folder `node`; return where its network is."""
    draw_samples(node / "TrainingData", PAIRS, seed=1)
    command = [sys.executable, "-m", MODULE, "--dataset", str(node / "TrainingData"), "--models", str(node / "Models")]
    subprocess.run([*command, "--epochs", "1"], check=True, cwd=ROOT, capture_output=True)
    models = Models(node / "Models")
    model = models.find(DEFAULT)
    assert model is not None
    return models.network(DEFAULT, model)


def measure_rates(datacenter: Datacenter, network: Any, samples: Samples, rounds: int) -> None:
    """Pictures per second through the datacenter and without."""
    images = list(np.random.default_rng(0).integers(0, 256, (TOGETHER, *SHAPE), np.uint8))
    graphs = [predict(image) for image in images]
    for number in range(-1, rounds):  # a round to warm up
        bare = 30 / duration_s(lambda: [network.answer([image]) for image in images[:30]])
        bare_together = 8 * TOGETHER / duration_s(lambda: [network.answer(images) for _ in range(8)])
        found = {"bare network, one a call, per second": bare, f"bare network, {TOGETHER} a call, per second": bare_together}
        alone = rate(datacenter, graphs, 100, in_flight=1)
        found["one at a time, per second"] = alone
        for in_flight in IN_FLIGHT:
            found[f"{in_flight} in flight, per second"] = rate(datacenter, graphs, 640, in_flight)
        found[f"{TOGETHER} in flight / one at a time"] = found[f"{TOGETHER} in flight, per second"] / alone
        found[f"bare network, {TOGETHER} a call / one a call"] = bare_together / bare
        if number >= 0:
            for name, value in found.items():
                note(samples, name, value)


def measure_training(datacenter: Datacenter, samples: Samples) -> None:
    """The time of predictions before and during a training, in milliseconds."""
    graph = predict(np.zeros(SHAPE, np.uint8))
    for _ in range(PREDICTIONS):
        note(samples, "a prediction, ms", duration_s(lambda: datacenter.run(graph, timeout_s=TIMEOUT_S)) * 1e3)
    training = TaskGraph("train")
    training.cnn.train(model="another")
    datacenter.run(training, timeout_s=TIMEOUT_S)
    while (known := describe(datacenter)).training.epoch < 1 and known.training.state == RUNNING:
        time.sleep(POLL_S)
    for _ in range(PREDICTIONS):
        note(
            samples, "a prediction during a training, ms", duration_s(lambda: datacenter.run(graph, timeout_s=TIMEOUT_S)) * 1e3
        )
    if (known := describe(datacenter)).training.state != RUNNING:
        raise SystemExit(f"the training did not outlast the measurement: {known.training}")
    cancelling = TaskGraph("cancel")
    cancelling.cnn.cancel_training(model="another")
    datacenter.run(cancelling, timeout_s=TIMEOUT_S)


def describe(datacenter: Datacenter) -> Any:
    """What is known of the model that is being trained."""
    graph = TaskGraph("describe")
    description = graph.cnn.describe_model(model="another")
    graph.output(description)
    return datacenter.run(graph, timeout_s=TIMEOUT_S)[description]


def predict(image: np.ndarray) -> TaskGraph:
    """One prediction."""
    graph = TaskGraph("predict")
    graph.cnn.predict(image=image)
    return graph


def rate(datacenter: Datacenter, graphs: list[TaskGraph], runs: int, in_flight: int) -> float:
    """Runs per second with so many in flight."""
    start = time.perf_counter()
    flying = deque(datacenter.submit(graphs[number % len(graphs)], timeout_s=TIMEOUT_S) for number in range(in_flight))
    for number in range(runs - in_flight):
        flying.popleft().result()
        flying.append(datacenter.submit(graphs[number % len(graphs)], timeout_s=TIMEOUT_S))
    for run in flying:
        run.result()
    return runs / (time.perf_counter() - start)


def duration_s(work: Callable[[], object]) -> float:
    """How long some work takes, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def weigh(nodes: Nodes, when: str, samples: Samples) -> None:
    """Note the memory of the CNN node, in MiB."""
    memory = psutil.Process(nodes.pid(CNN)).memory_full_info()
    note(samples, f"resident {when}, MiB", memory.rss / MIB)
    note(samples, f"its own {when}, MiB", memory.uss / MIB)


def note(samples: Samples, name: str, value: float) -> None:
    """Add a value to a figure."""
    samples.setdefault(name, []).append(value)


def summary(values: list[float]) -> dict[str, float]:
    """Median, lowest and highest of a figure."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


if __name__ == "__main__":
    raise SystemExit(main())

"""Is the sample task worth a CNN? Compares ridge regression on the pixels with the node's own training, on fresh pictures.

    python3 benchmarks/sample_task.py [--json] [--training-seeds 1 2 3]

Both learn from the sample training set and are tested on pictures from another seed, read at the size the CNN takes. Ridge
regression chooses its regularisation by a validation part of the training set and then learns from all of it. The time of a
training is that of its whole process, reading and the import of TensorFlow included. Takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from Services.ComputationalNodes.CNN.Node import dataset
from Services.ComputationalNodes.CNN.Node.device import Device
from Services.ComputationalNodes.CNN.Node.picture_file import Pictures
from Services.ComputationalNodes.CNN.Node.samples import PICTURES, draw_samples
from Services.ComputationalNodes.CNN.Node.training import MODULE, Options

TRAINING_SEED, TEST_SEED = 1, 1_000_003  # of the drawings; the first is that of the launcher's set-up
TEST_PICTURES = 200  # of each class
PENALTIES = 10.0 ** np.arange(0, 7.5, 0.5)


@dataclass(frozen=True)
class Result:
    """How one way of learning did."""

    way: str
    accuracy: float  # on the test pictures
    validation_accuracy: float
    seconds: float  # of training
    cpu_seconds: float  # of all cores; steadier than `seconds` where others use the machine


@dataclass(frozen=True)
class Samples:
    """Pictures in memory."""

    images: NDArray[np.uint8]  # (pictures, side, side, 3)
    labels: NDArray[np.int64]  # index of the class


def load(folder: Path, scratch: Path) -> Samples:
    """Read a data set as the training does."""
    with Pictures(scratch) as pictures:
        dataset.read(dataset.scan(folder), pictures, lambda read, of: None)
        return Samples(pictures.rows(np.arange(len(pictures))), pictures.labels)


def ridge(training: Samples, test: Samples) -> Result:
    """Ridge regression of -1 and 1 on the pixels."""
    began, began_cpu = time.monotonic(), time.process_time()
    split = dataset.split(training.labels, seed=0)
    known = _Ridge(training, split.training)
    scores = [known.accuracy(training, split.validation, penalty) for penalty in PENALTIES]
    penalty = PENALTIES[int(np.argmax(scores))]
    everything = _Ridge(training, np.arange(len(training.labels)))
    accuracy = everything.accuracy(test, np.arange(len(test.labels)), penalty)
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - began_cpu
    return Result(f"ridge, penalty {penalty:.3g}", accuracy, max(scores), seconds, cpu_seconds)


class _Ridge:
    """The dual form: there are fewer pictures than pixels."""

    def __init__(self, samples: Samples, indices: NDArray[np.int64]) -> None:
        self._pixels = _flat(samples, indices)
        self._mean = self._pixels.mean(axis=0)
        self._pixels -= self._mean
        self._targets = _targets(samples, indices)
        self._kernel = (self._pixels @ self._pixels.T).astype(np.float64)

    def accuracy(self, samples: Samples, indices: NDArray[np.int64], penalty: float) -> float:
        """The share of pictures on the right side of zero."""
        centred = self._targets - self._targets.mean()
        dual = np.linalg.solve(self._kernel + penalty * np.eye(len(centred)), centred)
        weights = self._pixels.T @ dual.astype(np.float32)
        answers = (_flat(samples, indices) - self._mean) @ weights + self._targets.mean()
        return float(np.mean((answers > 0) == (_targets(samples, indices) > 0)))


def _flat(samples: Samples, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.divide(samples.images[indices].reshape(len(indices), -1), 255, dtype=np.float32)


def _targets(samples: Samples, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(samples.labels[indices] == 1, 1.0, -1.0)


def convolution(folder: Path, models: Path, seed: int, test: Samples) -> Result:
    """The node's network, trained by its own process and asked through its own Device."""
    began, began_cpu = time.monotonic(), _cpu_of_children()
    options = Options(folder, models, model=f"seed-{seed}", seed=seed)
    trained = subprocess.run(
        [sys.executable, "-m", MODULE, *options.arguments()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    seconds, cpu_seconds = time.monotonic() - began, _cpu_of_children() - began_cpu
    last = json.loads(trained.stdout.splitlines()[-1])
    if trained.returncode:
        raise SystemExit(f"the training failed: {last['message']}")
    device = Device(models, folder)
    answers = [device.predict(image, options.model).label for image in test.images]
    right = [answer == last["classes"][label] for answer, label in zip(answers, test.labels, strict=True)]
    return Result(f"CNN, seed {seed}", float(np.mean(right)), last["validation_accuracy"], seconds, cpu_seconds)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(seeds: list[int], scratch: Path) -> list[Result]:
    """Draw, learn, test."""
    draw_samples(scratch / "training", PICTURES, TRAINING_SEED)
    draw_samples(scratch / "test", TEST_PICTURES, TEST_SEED)
    test = load(scratch / "test", scratch)
    results = [ridge(load(scratch / "training", scratch), test)]
    results += [convolution(scratch / "training", scratch / "models", seed, test) for seed in seeds]
    return results


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--training-seeds", type=int, nargs="+", default=[1, 2, 3], metavar="SEED")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = measure(options.training_seeds, Path(scratch))
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
        return
    print(f"{2 * PICTURES} pictures to learn from, {2 * TEST_PICTURES} fresh ones to test with")
    print(f"{'':24}{'test':>8}{'validation':>12}{'training':>11}{'CPU':>9}")
    for result in results:
        times = f"{result.seconds:9.0f} s{result.cpu_seconds:7.0f} s"
        print(f"{result.way:24}{result.accuracy:8.1%}{result.validation_accuracy:12.1%}{times}")


if __name__ == "__main__":
    main()

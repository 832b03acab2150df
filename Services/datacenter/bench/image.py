"""`bench image`: the image prediction, cold, warm, one and many at a time, beside the bare work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from Services.datacenter.bench.charts import Chart, Table, median, number
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.graphs import durations_ms
from Services.datacenter.bench.measuring import Batch, Measured, summarize
from Services.datacenter.bench.own_datacenter import CLIENT, STORAGE, OwnDatacenter, lend_model, running
from Services.datacenter.bench.results import Outcome, Row
from Services.datacenter.modules import run_module
from Services.fractos import Datacenter, TaskGraph
from Services.fractos.config import CODE_ROOT
from Services.fractos.errors import FailedPreconditionError

TITLE = "What a prediction takes"
ABOUT = """\
The image prediction: a JPEG file of one megapixel in storage → its class, stored as a text that is on the disk. `cold`
is the first one after the start; `warm` is one after the other; `8 at a time` is the time of eight that are in flight
together, by eight: what one costs then; `32 at a time` likewise. `bare` is the same work in one process without a
datacenter: the file read and decoded, the network called, the label written with fsync. The aims: a warm prediction
within 1.25 times that, and with 32 at a time at least 3 times as many predictions a second as one after the other."""
MODULE = "Services.ComputationalNodes.CNN.Node.alone"
WIDTH, HEIGHT = 1184, 888  # one megapixel
SIDE = 128  # what the network takes
BARE, WARM, COLD = "bare", "warm", "cold"
AT_A_TIME = {"8 at a time": 8, "32 at a time": 32}
TO_BARE, TO_WARM = "ratio to bare", "predictions per second by warm"
STARTS = 3  # each with a cold prediction
PICTURE, LABEL = "picture.jpg", "picture_class.txt"
NODES = {"application": 1, "storage": 1, "cnn": 1}


def run(context: Context) -> Outcome:
    """Measure. Raises FailedPreconditionError without TensorFlow."""
    context.say("training a small network")
    models = context.model.folder
    cold_ms: list[float] = []
    calls = 3 if context.options.quick else 10
    for start in range(1 if context.options.quick else STARTS):
        context.say(f"starting an application, a storage and a CNN node ({start + 1})")
        with running(NODES, prepare=partial(prepare, models=models)) as own:
            cold_ms += durations_ms(partial(own.connection.run, prediction()), 1)
            if start == 0:
                with bare(models, own) as ask:
                    warm = partial(durations_ms, partial(own.connection.run, prediction()), calls)
                    variants: dict[str, Batch] = {WARM: warm, BARE: partial(ask, calls)}
                    variants |= {name: partial(at_a_time, own.connection, many, calls) for name, many in AT_A_TIME.items()}
                    measured = context.measure("predictions beside the bare work", variants)
    return Outcome("image", tuple(_rows(measured, cold_ms)))


def _rows(measured: Measured, cold_ms: Sequence[float]) -> Iterator[Row]:
    yield Row("image", COLD, "duration", "ms", summarize(cold_ms))
    for variant in (WARM, *AT_A_TIME, BARE):
        yield Row("image", variant, "duration", "ms", measured.summary(variant))
    for variant in (WARM, *AT_A_TIME):
        yield Row("image", variant, TO_BARE, "", measured.ratio(variant, BARE))
    for variant in AT_A_TIME:
        yield Row("image", variant, TO_WARM, "", measured.ratio(WARM, variant))


def prediction() -> TaskGraph:
    """The graph of the image prediction application."""
    graph = TaskGraph("image prediction")
    picture = graph.storage.read_image(client_id=CLIENT, name=PICTURE, width=SIDE, height=SIDE)
    answer = graph.cnn.predict(image=picture.image)
    graph.storage.write_text(client_id=CLIENT, name=LABEL, text=answer.label)
    return graph


def prepare(root: Path, models: Path) -> None:
    """Put a picture into the storage of a datacenter that is to be started, and have it find the models."""
    lend_model(models, root)
    (root / STORAGE).mkdir(parents=True)
    picture = models.parent / PICTURE
    if not picture.exists():
        run_module(MODULE, ["draw", str(picture), str(WIDTH), str(HEIGHT)], os.environ)
    shutil.copy(picture, root / STORAGE / PICTURE)


def at_a_time(datacenter: Datacenter, many: int, predictions: int) -> list[float]:
    """Do about so many predictions, `many` together; return how long each `many` took, by `many`, in milliseconds."""
    graph = prediction()

    def batch() -> None:
        flying = deque(datacenter.submit(graph, wait=True) for _ in range(many))
        while flying:
            flying.popleft().result()

    return [duration / many for duration in durations_ms(batch, max(predictions // many, 1))]


@contextmanager
def bare(models: Path, own: OwnDatacenter) -> Iterator[Ask]:
    """The process that works without a datacenter, on the same picture and the same disk."""
    picture = own.root / STORAGE / PICTURE
    command = [sys.executable, "-m", MODULE, "predict", str(models), str(picture), str(own.root / "bare_class.txt")]
    with subprocess.Popen(
        command,
        cwd=CODE_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            ask = Ask(process)
            ask.answer()
            yield ask
        finally:
            process.terminate()


class Ask:
    """Asks that process for predictions."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, predictions: int) -> list[float]:
        """How long so many predictions take, in milliseconds each."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{predictions}\n")
        self._process.stdin.flush()
        return [float(word) for word in self.answer().split()]

    def answer(self) -> str:
        """The next line. Raises FailedPreconditionError if the process has ended."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise FailedPreconditionError(f"`python -m {MODULE} predict` has ended with code {self._process.wait()}")
        return line


def tables(outcome: Outcome) -> Sequence[Table]:
    """Times, and how many times the bare work they are."""
    rows = []
    for row in outcome.of("duration"):
        summary = row.summary
        figures = (summary.q1, summary.q3, summary.p99, summary.highest)
        ratios = (_ratio(outcome, figure, row.variant) for figure in (TO_BARE, TO_WARM))
        rows.append((row.variant, median(summary), *map(number, figures), *ratios, str(summary.n)))
    heads = ("", "median, ms", "25 %", "75 %", "99 %", "highest", "by bare (95 %)", "per second, by warm (95 %)", "times")
    return [Table(heads, rows)]


def _ratio(outcome: Outcome, figure: str, variant: str) -> str:
    return "".join(
        f"{median(row.summary)} ({number(row.summary.low)} … {number(row.summary.high)})" for row in outcome.of(figure, variant)
    )


def charts(outcome: Outcome) -> Sequence[Chart]:
    """None: five figures are a table."""
    return []

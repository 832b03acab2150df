"""What a benchmark is given: how long it may take, the models, and whom to tell how it stands."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from Services.datacenter.bench.measuring import Batch, Measured, measure
from Services.datacenter.bench.options import Options
from Services.datacenter.bench.own_datacenter import train_small_model

Tell = Callable[[str], None]


class Model:
    """A small network, trained when it is first needed and kept for the rest of the command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def folder(self) -> Path:
        """Where the models are. Raises FailedPreconditionError without TensorFlow."""
        train_small_model(self._folder)
        return self._folder / "Models"


@contextmanager
def temporary_model() -> Iterator[Model]:
    """A model that is gone with the context."""
    with tempfile.TemporaryDirectory(prefix="mockdc-bench-model-") as folder:
        yield Model(Path(folder))


@dataclass
class Context:
    """One benchmark under way."""

    bench: str
    options: Options
    model: Model
    tell: Tell
    place: str = ""  # among the benchmarks of one command
    left_s: float = field(init=False)  # of the time for measuring

    def __post_init__(self) -> None:
        self.left_s = self.options.limit_of(self.bench)

    def say(self, what: str) -> None:
        """Tell what is being done."""
        self.tell(f"{self.place}{self.bench}: {what}")

    def measure(self, what: str, variants: Mapping[str, Batch], limit_s: float | None = None) -> Measured:
        """Measure variants side by side, in all the time that is left or in `limit_s` seconds."""
        began = time.monotonic()
        rules = self.options.rules(max(self.left_s if limit_s is None else limit_s, 0.0))

        def tell(rounds: int, error: float, left_s: float) -> None:
            known = f"±{error:.1%}" if error < 10 else "not known yet"
            all_left_s = max(self.left_s - (time.monotonic() - began), 0.0)
            self.say(f"{what}, round {rounds}, {known} (until ±{rules.precision:.0%}), {all_left_s:.0f} s left at most")

        measured = measure(variants, rules, time.monotonic, tell)
        self.left_s -= time.monotonic() - began
        return measured

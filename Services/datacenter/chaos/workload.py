"""What one client of the load does: a mix of runs with known answers, on files that it alone writes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from random import Random

from Services.datacenter.chaos.arithmetic import add_big, add_terms
from Services.datacenter.chaos.checker import Violation
from Services.datacenter.chaos.expected_files import AppendedFile, Fate, Register, Value, shown
from Services.datacenter.chaos.work import Judge, Work
from Services.fractos import Result, TaskGraph
from Services.fractos.graph import Step, default_catalogue

CLIENT = "chaos"  # whose folder in storage it is
SIDE = 128  # pixels, as the network wants it
REGISTERS = 2  # of each kind
MOST_POSSIBLE = 4  # values of a file; beyond that it is read before it is written again
LARGEST_BITS = 4000
SHORT_S = (0.001, 0.2)  # deadlines that may be too short
MOST_LINES = 1000  # of an appended file: a read of it is judged as a whole
SAME = 1e-3  # the network computes pictures in batches, so that the last digits of a probability vary
APPEND = default_catalogue().get("storage.append_text")


@dataclass(frozen=True)
class Prediction:
    """What the network answered before the first fault."""

    label: str
    probability: float


@dataclass
class Files:
    """The files of one client of the load."""

    texts: list[Register]
    integers: list[Register]
    appended: list[AppendedFile]  # the last one grows
    client: str

    @classmethod
    def of(cls, client: str) -> Files:
        """Those of a client with this prefix of names; they are still to be made."""
        return cls(
            texts=[Register(f"{client}-text-{number}.txt", f"{client} begins\n") for number in range(REGISTERS)],
            integers=[Register(f"{client}-integer-{number}.txt", number) for number in range(REGISTERS)],
            appended=[AppendedFile(f"{client}-appended-0.txt")] if APPEND else [],
            client=client,
        )

    def next_appended(self) -> AppendedFile:
        """The file to append to when the last one is full; it is not one of these files before it was made."""
        return AppendedFile(f"{self.client}-appended-{len(self.appended)}.txt")

    @property
    def names(self) -> list[str]:
        """All names."""
        return [one.name for one in self.texts + self.integers] + [one.name for one in self.appended]

    def judge(self, folder: Path, asked_at: float) -> list[Violation]:
        """Compare the files with what they must hold, as they are on disk."""
        violations = []
        for name in self.names:
            try:
                content = (folder / name).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                violations.append(Violation("lost", f"{name} cannot be read in {folder}: {error}"))
            else:
                violations += self.read(name, content, asked_at)
        return violations

    def read(self, name: str, content: str, asked_at: float) -> list[Violation]:
        """Judge the content of one file."""
        for text in self.texts:
            if text.name == name:
                return text.read(content, asked_at=asked_at)
        for appended in self.appended:
            if appended.name == name:
                return appended.read(content, asked_at=asked_at)
        integer = next(one for one in self.integers if one.name == name)
        if not content.strip().lstrip("-").isdigit():
            return [Violation("wrong", f"{name} holds {shown(content)} instead of an integer")]
        return integer.read(int(content), asked_at=asked_at)


class Workload:
    """Makes the work of one client, at random, of what the datacenter has nodes for."""

    def __init__(
        self,
        rng: Random,
        files: Files,
        types: Collection[str],
        predictions: dict[str, Prediction],
        math_nodes: list[str],
    ) -> None:
        self._rng = rng
        self._files = files
        self._predictions = predictions
        self._math_nodes = math_nodes
        self._number = 0
        self._makers: list[tuple[Callable[[], Work], float]] = []
        if "math" in types:
            self._makers += [(self._chain, 4), (self._big, 1), (self._cancelled, 1), (self._hurried, 1)]
        if "math" in types and len(math_nodes) > 1:
            self._makers += [(self._pinned, 1)]
        if "storage" in types:
            self._makers += [(self._write_text, 2), (self._write_integer, 2), (self._read_text, 2), (self._read_integer, 2)]
            self._makers += [(self._append, 3), (self._read_appended, 1)] if files.appended else []
        if {"math", "storage"} <= set(types):
            self._makers += [(self._change_integer, 3)]
        if predictions:
            self._makers += [(self._predict, 1)]

    def next(self) -> Work:
        """The next run."""
        make = self._rng.choices([one for one, _ in self._makers], [weight for _, weight in self._makers])[0]
        return make()

    def _chain(self, pin: str = "") -> Work:
        graph = TaskGraph("chaos chain")
        terms = add_terms(graph, self._rng, self._rng.randint(2, 8), pin)
        judge = _equal([(term.step, term.value) for term in terms])
        return Work("chain", graph, frozenset({"math"}), judge, pinned=bool(pin))

    def _pinned(self) -> Work:
        return self._chain(self._rng.choice(self._math_nodes))

    def _big(self) -> Work:
        graph = TaskGraph("chaos big integer")
        term = add_big(graph, self._rng)
        return Work("big integer", graph, frozenset({"math"}), _equal([(term.step, term.value)]))

    def _cancelled(self) -> Work:
        graph = TaskGraph("chaos cancelled")
        terms = add_terms(graph, self._rng, 8)
        judge = _equal([(term.step, term.value) for term in terms])
        return Work("cancelled", graph, frozenset({"math"}), judge, cancel=True, excused=frozenset({"CANCELLED"}))

    def _hurried(self) -> Work:
        graph = TaskGraph("chaos short deadline")
        terms = add_terms(graph, self._rng, 4)
        judge = _equal([(term.step, term.value) for term in terms])
        excused = frozenset({"DEADLINE_EXCEEDED"})
        return Work("short deadline", graph, frozenset({"math"}), judge, timeout_s=self._rng.uniform(*SHORT_S), excused=excused)

    def _write_text(self) -> Work:
        register = self._rng.choice(self._files.texts)
        if len(register.possible) > MOST_POSSIBLE:
            return self._read(register, "read_text", "text")
        return self._write(register, "write_text", text=f"{register.name} {self._next_number()}\n" * self._rng.randint(1, 40))

    def _write_integer(self) -> Work:
        register = self._rng.choice(self._files.integers)
        if len(register.possible) > MOST_POSSIBLE:
            return self._read(register, "read_integer", "value")
        return self._write(register, "write_integer", value=self._rng.getrandbits(self._rng.randint(64, LARGEST_BITS // 2)))

    def _write(self, register: Register, operation: str, **value: Value) -> Work:
        graph = TaskGraph(f"chaos {operation}")
        getattr(graph.storage, operation)(client_id=CLIENT, name=register.name, **value)

        def settle(fate: Fate, asked_at: float, until: float) -> None:
            register.wrote(value.values(), fate, asked_at=asked_at, until=until)

        return Work(operation, graph, frozenset({"storage"}), _nothing, settle)

    def _read_text(self) -> Work:
        return self._read(self._rng.choice(self._files.texts), "read_text", "text")

    def _read_integer(self) -> Work:
        return self._read(self._rng.choice(self._files.integers), "read_integer", "value")

    def _read_appended(self) -> Work:
        return self._read(self._rng.choice(self._files.appended), "read_text", "text")

    def _read(self, file: Register | AppendedFile, operation: str, output: str) -> Work:
        graph = TaskGraph(f"chaos {operation}")
        step = graph.output(getattr(graph.storage, operation)(client_id=CLIENT, name=file.name))

        def judge(result: Result, asked_at: float) -> list[Violation]:
            return file.read(getattr(result[step], output), asked_at=asked_at)

        return Work(operation, graph, frozenset({"storage"}), judge)

    def _change_integer(self) -> Work:
        """Read, compute, write and read again in one run: what a repeated attempt must not mix up."""
        register = self._rng.choice(self._files.integers)
        if len(register.possible) > 1 or max(map(_bits, register.possible)) > LARGEST_BITS:
            return self._write_integer()
        before = next(iter(register.possible))
        assert isinstance(before, int)
        after = before << 7 if before else self._rng.getrandbits(64)
        graph = TaskGraph("chaos change integer")
        read = graph.output(graph.storage.read_integer(client_id=CLIENT, name=register.name))
        computed = graph.math.shift_left(value=read.value if before else after, bits=7 if before else 0, after=read)
        write = graph.storage.write_integer(client_id=CLIENT, name=register.name, value=computed.value)
        again = graph.output(graph.storage.read_integer(client_id=CLIENT, name=register.name, after=write))

        written: list[Value] = [after]

        def judge(result: Result, asked_at: float) -> list[Violation]:
            found = register.read(result[read].value, asked_at=asked_at)
            written[:] = [result[again].value]  # the truth from now on, so that one mistake is not reported again and again
            return found or [*_equal([(again, after)])(result, asked_at)]

        def settle(fate: Fate, asked_at: float, until: float) -> None:
            register.wrote(written, fate, asked_at=asked_at, until=until)

        return Work("change integer", graph, frozenset({"storage", "math"}), judge, settle)

    def _append(self) -> Work:
        assert APPEND
        file = self._files.appended[-1]
        if len(file) >= MOST_LINES:
            return self._begin_file()
        line = f"{file.name} {self._next_number()}\n"
        graph = TaskGraph("chaos append")
        graph.storage.append_text(client_id=CLIENT, name=file.name, text=line)

        def settle(fate: Fate, asked_at: float, until: float) -> None:
            file.appended(line, fate, until=until)

        return Work("append_text", graph, frozenset({"storage"}), _nothing, settle, repeatable=APPEND.repeatable)

    def _begin_file(self) -> Work:
        file = self._files.next_appended()
        graph = TaskGraph("chaos begin file")
        graph.storage.write_text(client_id=CLIENT, name=file.name, text="")

        def settle(fate: Fate, asked_at: float, until: float) -> None:
            if fate is Fate.DONE:
                self._files.appended.append(file)

        return Work("begin file", graph, frozenset({"storage"}), _nothing, settle)

    def _predict(self) -> Work:
        name, expected = self._rng.choice(sorted(self._predictions.items()))
        graph, answer = prediction(name)

        def judge(result: Result, asked_at: float) -> list[Violation]:
            got = result[answer]
            if got.label == expected.label and abs(got.probability - expected.probability) < SAME:
                return []
            text = f"predict says {got.label} ({got.probability}) of {name}; it said {expected.label} ({expected.probability})"
            return [Violation("wrong", text)]

        return Work("predict", graph, frozenset({"storage", "cnn"}), judge)

    def _next_number(self) -> int:
        self._number += 1
        return self._number


def prediction(name: str) -> tuple[TaskGraph, Step]:
    """A graph that predicts one of the pictures, and its last step."""
    graph = TaskGraph("chaos predict")
    picture = graph.storage.read_image(client_id=CLIENT, name=name, width=SIDE, height=SIDE)
    return graph, graph.cnn.predict(image=picture.image)


def _equal(expected: list[tuple[Step, int]]) -> Judge:
    """Judges the `value` of steps."""

    def judge(result: Result, asked_at: float) -> list[Violation]:
        return [
            Violation("wrong", f"{step!r} answered {shown(result[step].value)}; right is {shown(value)}")
            for step, value in expected
            if result[step].value != value
        ]

    return judge


def _nothing(result: Result, asked_at: float) -> list[Violation]:
    return []


def _bits(value: Value) -> int:
    return value.bit_length() if isinstance(value, int) else 0

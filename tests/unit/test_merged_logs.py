"""The logs of several nodes as one: in order of time, of one run, from a level on, with what was put aside and is added."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from Services.datacenter.logs import LogFile, tail
from Services.datacenter.merged_logs import MergedLogs, Wanted
from Services.fractos.log_lines import FORMS, about, formatter

RUN, OTHER = bytes.fromhex("0193aabb" * 4), bytes.fromhex("0193aacc" * 4)


def entry(form: str, node: str, at: float, text: str, run_id: bytes = RUN, level: int = logging.INFO) -> str:
    made = logging.getLogger("x").makeRecord("x", level, "", 0, text, (), None, extra=about(run_id))
    made.created = at
    return formatter(form, node).format(made) + "\n"


@pytest.fixture(params=FORMS)
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """Of two nodes, the first of which has put its oldest lines aside and the second of which logs text in any case."""
    form, first, second = str(request.param), tmp_path / "math-0.log", tmp_path / "math-1.log"
    (tmp_path / "math-0.log.1").write_text(entry(form, "math-0", 1, "one"))
    warning = entry(form, "math-0", 3, "three", level=logging.WARNING)
    first.write_text(f"printed\n{warning}Traceback\n" + entry(form, "math-0", 5, "five", OTHER))
    second.write_text(entry("text", "math-1", 2, "two") + entry("text", "math-1", 4, "four", b"", logging.ERROR) + "half")
    return [first, second]


def shown(logs: list[Path], wanted: Wanted, lines: int | None = None) -> tuple[list[str], MergedLogs]:
    written: list[str] = []
    merged = MergedLogs(logs, wanted)
    assert merged.show(written.append, lines) == len(written)
    words = ("one", "two", "three", "four", "five", "Traceback", "printed")
    return [next(word for word in words if word in line) for line in written], merged


def test_lines_come_in_order_of_time_with_what_follows_them(logs: list[Path]) -> None:
    assert shown(logs, Wanted())[0] == ["one", "printed", "two", "three", "Traceback", "four", "five"]
    assert shown(logs, Wanted(), 2)[0] == ["four", "five"]


def test_a_run_is_told_by_the_beginning_or_end_of_its_id(logs: list[Path]) -> None:
    found, merged = shown(logs, Wanted(RUN.hex()))
    assert found == ["one", "printed", "two", "three", "Traceback"]
    assert merged.run_ids == {RUN.hex()}
    found, merged = shown(logs, Wanted("0193aa"))
    assert found[-1] == "five"
    assert merged.run_ids == {RUN.hex(), OTHER.hex()}
    assert shown(logs, Wanted(OTHER.hex()[-6:]))[0] == ["five"]
    assert shown(logs, Wanted("ffffff"))[0] == []


def test_what_is_less_grave_is_left_out(logs: list[Path]) -> None:
    assert shown(logs, Wanted(level=logging.WARNING))[0] == ["three", "Traceback", "four"]
    assert shown(logs, Wanted(RUN.hex(), logging.ERROR))[0] == []


def test_what_is_added_is_shown_in_order_once_it_cannot_be_overtaken(logs: list[Path]) -> None:
    first, second = logs
    written: list[str] = []
    merged = MergedLogs(logs, Wanted(RUN.hex()))
    merged.show(written.append)
    written.clear()
    now = 100.0

    def append(path: Path, text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    def steps() -> Iterator[None]:
        nonlocal now
        append(second, "\n" + entry("text", "math-1", 99.9, "later"))
        append(second, entry("text", "math-1", 99.99, "too new"))
        append(first, entry("json", "math-0", 99.8, "earlier"))
        yield
        assert [line.count("earlier") + 2 * line.count("later") for line in written] == [1, 2]
        now = 200.0
        append(first, entry("text", "math-0", 99.95, "in between"))
        first.replace(first.with_name("math-0.log.1"))  # it has grown too large, just after that line
        first.write_text(entry("text", "math-0", 150, "new file"))
        yield
        assert [line.rpartition(" run_id")[0][-8:] for line in written[2:]] == [" between", " too new", "new file"]
        raise KeyboardInterrupt

    story = steps()
    with pytest.raises(KeyboardInterrupt):
        merged.follow(written.append, lambda: now, lambda _: next(story))


def test_a_log_may_be_longer_than_what_is_read_of_it_at_once(tmp_path: Path) -> None:
    log = tmp_path / "math-0.log"
    log.write_text("".join(f"{number:0100d}\n" for number in range(3000)))
    assert [int(line) for line in tail(log, 2000)] == list(range(1000, 3000))
    assert len(tail(log, 5000)) == 3000
    file = LogFile(log)
    assert sum(1 for _ in file.existing()) == 3000
    assert file.added() == []

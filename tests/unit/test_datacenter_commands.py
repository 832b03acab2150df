"""The command line, the start with a Python that lacks packages, and what the log commands show."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from Services.datacenter import checks, commands, interruption
from Services.datacenter.command_line import parse
from Services.datacenter.logs import choose_logs, show_logs
from Services.datacenter.processes import Processes
from Services.fractos.config import CODE_ROOT, Configuration, load
from Services.fractos.errors import NotFoundError

HERE = Path("/datacenter")
CLIENTS = ("clients add", "clients list", "clients revoke")
NEW = ("new node", "new application")
NETWORK = ("network show", "network set", "network cut", "network heal", "network reset")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", "up"),
        ("--setup", "setup"),
        ("-s", "setup"),
        ("--terminal none", "up"),
        ("up", "up"),
        ("down", "down"),
        ("check", "check"),
    ],
)
def test_a_command_line_names_its_command(line: str, command: str) -> None:
    assert parse(line.split(), HERE).command == command


@pytest.mark.parametrize(
    "line", ["--path /x up", "up --path /x", "--path /y up --path /x", "--setup --path /x", "clients list --path /x"]
)
def test_flags_count_before_and_after_the_command(line: str) -> None:
    assert parse(line.split(), HERE).path == Path("/x")


def test_a_run_id_may_be_written_in_any_way() -> None:
    assert parse(["logs", "--run", "0193AABB-ccdd"], HERE).run == "0193aabbccdd"
    assert parse(["logs", "--run", "last"], HERE).run == "last"


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("graph a.py -- --n 3", ["--n", "3"]),
        ("graph a.py --topology ring -- --n 3 foo", ["--n", "3", "foo"]),
        ("graph a.py foo --topology ring -- --n -- 3", ["foo", "--n", "--", "3"]),
        ("graph a.py foo --topology ring", ["foo"]),
    ],
)
def test_what_follows_two_hyphens_is_for_the_program_that_is_drawn(line: str, arguments: list[str]) -> None:
    assert parse(line.split(), HERE).arguments == arguments


def test_what_is_not_given_has_its_default() -> None:
    options = parse(["up"], HERE)
    assert (options.path, options.directory, options.terminal) == (HERE, None, "auto")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--setup up", "--setup is a command of its own"),
        ("dwon", "invalid choice: 'dwon'"),
        ("up --directory etcd", "invalid choice: 'etcd'"),
        ("train", "--dataset"),
        ("dashboard --port 65536", "is not a whole number from 1 to 65535"),
        ("status --follow", "unrecognized arguments"),
        ("status -- math-0", "-- is for the arguments of a program that `graph` draws"),
        ("--directory files status", "--directory is for setup, up, check, demo"),
        ("--download-zookeeper status", "--download-zookeeper is for setup, up, demo"),
        ("clients", "ACTION"),
        ("clients invite ann", "invalid choice: 'invite'"),
        ("clients add", "NAME"),
        ("clients revoke", "NAME"),
        ("clients add ann --days 0", "0 days; give 1 to 36500"),
        ("clients add ann --days 36501", "36501 days; give 1 to 36500"),
        ("clients add ann --days soon", "invalid"),
        ("network", "ACTION"),
        ("network mend", "invalid choice: 'mend'"),
        ("network set --latency-ms 10001", "10001: give a number from 0 to 10000"),
        ("network set --loss nan", "nan: give a number from 0 to 0.5"),
        ("network set --bandwidth-mbit fast", "invalid"),
        ("network show storage-0", "unrecognized arguments"),
        ("runs --state dead", "invalid choice: 'dead'"),
        ("runs --limit 0", "'0' is not a whole number from 1 to 10000"),
        ("trace", "RUN"),
        ("trace last --json --perfetto run.json", "not allowed with argument"),
        ("new", "KIND"),
        ("new device sort", "invalid choice: 'device'"),
        ("new node", "NAME"),
        ("new node sort merge", "unrecognized arguments"),
        ("status --watch --every 0", "'0' is not a number from 0.2 to 3600"),
        ("status --every 1", "--every is for `status --watch`; give both, or neither"),
        ("logs --run 12345", "'12345' is no run id: give 6 to 32 hexadecimal digits"),
        ("logs --run cats-and-dogs", "is no run id"),
        ("logs --level loud", "invalid choice"),
        ("logs --lines 0", "'0' is not a whole number from 1 to 1000000"),
    ],
)
def test_a_wrong_command_line_is_said_with_exit_code_2(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(line.split(), HERE)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "",
        "up",
        "down",
        "status",
        "logs",
        "check",
        "demo",
        "train",
        "chaos",
        "dashboard",
        "clients",
        *CLIENTS,
        "network",
        *NETWORK,
        "runs",
        "trace",
        "new",
        *NEW,
    ],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse([*command.split(), "--help"], HERE)
    assert caught.value.code == 0
    assert f"usage: run_datacenter.py{' ' if command else ''}{command}" in capsys.readouterr().out


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    (tmp_path / "data_center_setup.cfg").write_text(
        "[DataCenter]\n[Controllers]\ncontroller_names = math_controller\n[math_controller]\npaths_to_controller = node.py\n"
    )
    (tmp_path / "node.py").touch()
    (tmp_path / "logs").mkdir()
    return load(tmp_path)


def test_the_end_of_a_log_is_shown_and_several_are_told_apart(configuration: Configuration) -> None:
    (configuration.logs_path / "math-0.log").write_text("".join(f"line {number}\n" for number in range(200)))
    shown: list[str] = []
    show_logs(choose_logs(configuration, "math-0"), follow=False, write=shown.append)
    assert shown == [f"line {number}" for number in range(150, 200)]
    (configuration.logs_path / "storage-0.log").write_text("only one\n")
    shown.clear()
    show_logs(choose_logs(configuration, None), follow=False, write=shown.append)
    assert shown[-2:] == ["math-0    | line 199", "storage-0 | only one"]


def test_what_is_added_to_a_log_is_shown_line_by_line_also_when_it_begins_anew(configuration: Configuration) -> None:
    log = configuration.logs_path / "math-0.log"
    log.write_text("first\n")
    shown: list[str] = []
    steps: Iterator[Callable[[], object]] = itertools.chain(
        [
            lambda: log.write_text("first\nsecond\nhal"),
            lambda: log.write_text("first\nsecond\nhalf\n"),
            lambda: log.write_text("new\n"),
        ],
        itertools.repeat(lambda: None),
    )

    def write(line: str) -> None:
        shown.append(line)
        if line == "new":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("time.sleep", lambda _: next(steps)())
        show_logs({"math-0": log}, follow=True, write=write)
    assert shown == ["first", "second", "half", "new"]


def test_an_unknown_log_names_those_that_are_near(configuration: Configuration) -> None:
    with pytest.raises(NotFoundError, match="start the datacenter"):
        choose_logs(configuration, None)
    (configuration.logs_path / "math-0.log").touch()
    with pytest.raises(NotFoundError, match="did you mean math-0"):
        choose_logs(configuration, "math0")


@pytest.mark.parametrize(
    ("command", "advises"), [("up", True), ("down", True), ("demo", True), ("runs", False), ("graph", False)]
)
def test_only_an_interrupted_command_that_starts_or_stops_things_tells_of_them(
    command: str,
    advises: bool,
    configuration: Configuration,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(commands.COMMANDS, command, interrupted)
    monkeypatch.setattr(Processes, "running", lambda _: ["math-0"])
    monkeypatch.setattr("sys.argv", ["run_datacenter.py", command, *(["a.py"] if command == "graph" else [])])
    monkeypatch.setattr(interruption, "listen", lambda: None)
    assert commands.main(configuration.root) == commands.INTERRUPTED
    stop = f"python3 run_datacenter.py down --path {configuration.root}"
    said = f"interrupted; still running: math-0; to stop that: {stop}" if advises else "interrupted"
    assert capsys.readouterr().err == f"{said}\n"


def test_a_signal_during_a_clean_up_does_not_end_it() -> None:
    before = [signal.getsignal(number) for number in interruption.SIGNALS]
    with interruption.ignored():
        for number in interruption.SIGNALS:
            signal.raise_signal(number)
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == before


def test_a_java_that_hangs_fails_the_check(
    configuration: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "bin/java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(checks, "JAVA_PATIENCE_S", 0.1)
    results = {name: (passed, found) for name, passed, found in checks.check(configuration)}
    assert results["Java"] == (False, f"{tmp_path}/bin/java -version takes more than 0.1 s; set JAVA_HOME to another")


SCRIPT = """
import sys
try:
    import IMPORTED
except ModuleNotFoundError:
    import pathlib, runpy
    runpy.run_path(str(pathlib.Path(__file__).resolve().parent / "Services/fractos/bootstrap.py"))
print("ran", *sys.argv[1:])
"""


def run_script(folder: Path, imported: str = "package_of_the_project") -> subprocess.CompletedProcess[str]:
    """Run a script of a project in `folder` with a Python that has no packages."""
    (folder / "script.py").write_text(SCRIPT.replace("IMPORTED", imported))
    (folder / "Services/fractos").mkdir(parents=True, exist_ok=True)
    shutil.copy(CODE_ROOT / "Services/fractos/bootstrap.py", folder / "Services/fractos")
    base = os.path.realpath(sys.executable)
    return subprocess.run([base, "-S", str(folder / "script.py"), "a b"], capture_output=True, text=True, check=False)


def make_environment(folder: Path) -> Path:
    """A .venv as `python -m venv` makes it; returns where its packages lie."""
    base = Path(os.path.realpath(sys.executable))
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(base)
    (folder / ".venv/pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    packages = folder / ".venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    return packages


def test_without_an_environment_a_script_says_what_to_type(tmp_path: Path) -> None:
    done = run_script(tmp_path)
    assert done.returncode == 1
    assert "package_of_the_project" in done.stderr
    assert "make demo" in done.stderr
    assert "pip install -r requirements.txt" in done.stderr


def test_a_script_starts_again_in_the_environment(tmp_path: Path) -> None:
    (make_environment(tmp_path) / "package_of_the_project.py").touch()
    done = run_script(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran a b\n", "")


@pytest.mark.parametrize("missing", ["package_of_the_project", "protos"])
def test_a_package_that_is_missing_in_the_environment_is_named_with_its_remedy(tmp_path: Path, missing: str) -> None:
    make_environment(tmp_path)
    done = run_script(tmp_path, missing)
    assert done.returncode == 1
    assert f"{tmp_path}/.venv is incomplete: No module named '{missing}'" in done.stderr
    assert f"-m pip install -r {tmp_path}/requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_of_the_project_that_is_missing_stays_visible(tmp_path: Path) -> None:
    make_environment(tmp_path)
    done = run_script(tmp_path, "Services.missing")
    assert done.returncode == 1
    assert "No module named 'Services.missing'" in done.stderr
    assert "Traceback" in done.stderr


def test_an_environment_that_is_broken_makes_no_loop(tmp_path: Path) -> None:
    make_environment(tmp_path)
    (tmp_path / ".venv/pyvenv.cfg").unlink()  # now its python is just another name of the first
    done = run_script(tmp_path)
    assert done.returncode == 1
    assert "No module named 'package_of_the_project'" in done.stderr

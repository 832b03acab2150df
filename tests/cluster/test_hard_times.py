"""What a user meets on a bad day: each ends in one clear message, nothing left running, and works again once it is mended."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from Services.fractos.config import CODE_ROOT
from tests.cluster.conftest import LAUNCHER, PATIENCE_S, Datacenter, until
from tests.terminal import read_all

NODES = {"math-0", "math-1", "storage-0"}


def may_mount() -> bool:
    """Whether this user may mount in a namespace of its own."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(
    not os.environ.get("CI") and (sys.platform != "linux" or not may_mount()), reason="only root may mount"
)


def only_message(output: str) -> str:
    """The one message, without a traceback, that a failed command has printed."""
    assert "Traceback" not in output
    assert output.count("error:") == 1, output
    return output


def test_ctrl_c_in_a_terminal_stops_all_that_up_has_started(datacenter: Datacenter) -> None:
    """Typed in a terminal, where it reaches everything in the foreground."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["SMALL_NODE_HANG"] = "math-0"
        os.execv(LAUNCHER[0], [*LAUNCHER, "--path", str(datacenter.root)])
    until(lambda: len(datacenter.processes()) == len(NODES), "three nodes")
    os.write(terminal, b"\x03")
    shown = read_all(terminal)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert b"interrupted; nothing that this command started is left running" in shown
    assert b"Traceback" not in shown
    assert not datacenter.processes()
    datacenter.run("up")


def test_a_second_up_while_the_first_is_at_work_waits_and_finds_it_done(datacenter: Datacenter) -> None:
    with datacenter.start("up", SMALL_NODE_HANG="math-0") as first:
        until(lambda: len(datacenter.processes()) == len(NODES), "three nodes")
        with datacenter.start("up") as second:
            assert second.stdout
            assert "waiting for another launcher" in second.stdout.readline()
            first.send_signal(signal.SIGINT)
            output, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, output
    assert set(datacenter.pids()) == NODES


def test_up_after_a_killed_up_ends_what_that_could_not_record_and_starts_the_rest(datacenter: Datacenter) -> None:
    with datacenter.start("up", SMALL_NODE_HANG="math-0") as launcher:
        until(lambda: len(datacenter.processes()) == len(NODES), "three nodes")
        launcher.kill()
    (datacenter.root / ".mockdc/.writing-0123").touch()  # what it was just writing
    os.kill(next(one.pid for one in datacenter.processes() if "math-0" in one.cmdline()), signal.SIGKILL)  # the hanging one
    datacenter.run("up")
    assert len(datacenter.processes()) == len(NODES)
    assert not (datacenter.root / ".mockdc/.writing-0123").exists()
    (datacenter.root / ".mockdc/.writing-4567").touch()
    datacenter.run("down")
    assert {path.name for path in (datacenter.root / ".mockdc").iterdir()} == {"launcher.lock"}


def test_up_after_a_killed_down_starts_again_what_is_still_stopping(datacenter: Datacenter) -> None:
    datacenter.run("up")
    stopping = datacenter.pids()["math-0"]
    os.kill(stopping, signal.SIGSTOP)  # so that it still lives when `up` begins
    os.kill(stopping, signal.SIGTERM)
    with datacenter.start("up") as launcher:
        assert launcher.stdout
        assert "storage-0 is ready" in "".join(launcher.stdout.readline() for _ in range(len(NODES) - 1))
        os.kill(stopping, signal.SIGCONT)
        output, _ = launcher.communicate(timeout=PATIENCE_S)
    assert launcher.returncode == 0, output
    assert {name: node["state"] for name, node in datacenter.status().items()} == dict.fromkeys(NODES, "ready")
    assert datacenter.pids()["math-0"] != stopping


def test_without_its_environment_it_says_what_to_type(tmp_path: Path) -> None:
    """A project whose .venv was deleted, started by a Python that has none of the packages."""
    for part in ("Services", "protos", "run_datacenter.py", "data_center_setup.cfg", "requirements.txt"):
        source = CODE_ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "storage", "TrainingData"))
        else:
            shutil.copy(source, tmp_path)
    bare = [os.path.realpath(sys.executable), "-S", "-E"]
    controller = "Services/StorageNode/Storage_Controller/storage_controller.py"
    for words in (["run_datacenter.py"], ["run_datacenter.py", "down"], [controller, "-v", "-z"]):
        done = subprocess.run([*bare, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "make demo" in only_message(done.stderr)
        assert not (tmp_path / ".mockdc").exists()


def run_in(namespace: list[str], *arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*namespace, *LAUNCHER, "--path", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@needs_mounts
def test_a_read_only_folder_is_named_with_a_remedy(datacenter: Datacenter) -> None:
    root = datacenter.root
    read_only = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"',
        str(root),
    ]
    done = run_in(read_only, "up", root=root)
    assert done.returncode == 1
    message = only_message(done.stderr)
    assert f"cannot write {root}/.mockdc/launcher.lock" in message
    assert "Read-only file system" in message
    assert "--path" in message
    assert "cannot be written to" in run_in(read_only, "check", root=root).stdout
    datacenter.run("up")
    done = run_in(read_only, "status", root=root)  # only looks
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_in(read_only, "logs", root=root).returncode == 0


@contextmanager
def small_disk(root: Path, size: str) -> Iterator[Path]:
    """The datacenter's folder on a disk of its own."""
    config = (root / "data_center_setup.cfg").read_text()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", root], check=True)
    try:
        (root / "data_center_setup.cfg").write_text(config)
        yield root / "filler"
    finally:
        subprocess.run(["umount", "--lazy", root], check=True)
        (root / "data_center_setup.cfg").write_text(config)


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


@needs_mounts
@pytest.mark.parametrize("restart", ["on-failure", "never"])
def test_a_full_disk_is_named_and_nothing_is_left_running(make_datacenter: Callable[..., Datacenter], restart: str) -> None:
    datacenter = make_datacenter(restart=restart)
    with small_disk(datacenter.root, "1m") as filler:
        fill(filler)
        message = only_message(datacenter.run("up", expect=1))
        assert f"{datacenter.record()}: No space left on device; make room on that disk" in message
        assert not datacenter.processes()
        filler.unlink()
        datacenter.run("up")
        fill(filler)
        datacenter.run("status")
        datacenter.run("down")
        assert not datacenter.processes()
        assert {path.name for path in (datacenter.root / ".mockdc").iterdir()} == {"launcher.lock"}

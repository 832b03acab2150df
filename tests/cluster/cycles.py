"""Brings a datacenter up and down again and again, killing launchers, nodes, servers and the supervisor at random moments.

After each cycle nothing may be left: no process, port, socket or temporary file; and no undisturbed `up` or `down` may fail.
By hand: `python -m tests.cluster.cycles 200 [--seed 7] [--directory zookeeper]`. A few cycles run as a test.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psutil

from Services.datacenter import ensemble
from Services.datacenter.system import environment_of, is_alive
from Services.fractos.config import CODE_ROOT

LAUNCHER = [sys.executable, str(CODE_ROOT / "run_datacenter.py")]
PATIENCE_S = 120.0
LEFT_BEHIND_S = 10.0  # how long the system may take to clear away what was killed
MARK = "MOCKDC_CYCLES"  # inherited by everything that a cycle starts
NODE = "paths_to_controller = {script}\nzookeeper = {zookeeper}\n"
SCRIPTS = {
    "application": "Applications/Application_Controller/application_controller.py",
    "math": "Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py",
    "storage": "Services/StorageNode/Storage_Controller/storage_controller.py",
}


class Cycles:
    """Cycles in one folder."""

    def __init__(self, root: Path, directory: str, rng: Random) -> None:
        self._root = root
        self._rng = rng
        self._mark = uuid.uuid4().hex
        self.done: Counter[str] = Counter()  # what was killed, and how often
        sections = "".join(
            f"[{node_type}_controller]\n{NODE.format(script=script, zookeeper=directory == 'zookeeper')}"
            for node_type, script in SCRIPTS.items()
        )
        names = ", ".join(f"{node_type}_controller" for node_type in SCRIPTS)
        (root / "data_center_setup.cfg").write_text(f"[DataCenter]\n[Controllers]\ncontroller_names = {names}\n{sections}")

    def cycle(self) -> None:
        """Kill while going up, running and going down; then an `up` and a `down` that must work. Raises AssertionError."""
        for disturb in self._rng.sample([self._kill_launcher, self._kill_some, self._kill_down], k=self._rng.randint(1, 3)):
            disturb()
        self._run("up")
        addresses = self._listening()
        self._run("down")
        self._nothing_is_left(addresses)
        self.done["cycles"] += 1

    def _kill_launcher(self) -> None:
        """kill -9 an `up` at any moment of it."""
        self._kill_after("up", self._rng.uniform(0.1, 3.0))

    def _kill_down(self) -> None:
        """kill -9 a `down` of a running datacenter."""
        self._run("up")
        self._kill_after("down", self._rng.uniform(0.05, 1.0))

    def _kill_some(self) -> None:
        """kill -9 one to three processes of a running datacenter, whatever they are, one of them a little later."""
        self._run("up")
        for _ in range(self._rng.randint(1, 3)):
            processes = self._processes()
            if processes:
                process = self._rng.choice(processes)
                self.done[_name(process)] += 1
                process.kill()
            time.sleep(self._rng.uniform(0.0, 0.8))

    def _kill_after(self, command: str, delay_s: float) -> None:
        with self._start(command) as launcher:
            try:
                launcher.wait(delay_s)
            except subprocess.TimeoutExpired:
                launcher.kill()
                self.done[f"launcher ({command})"] += 1

    def _run(self, command: str) -> None:
        with self._start(command) as launcher:
            output, _ = launcher.communicate(timeout=PATIENCE_S)
        assert launcher.returncode == 0, f"`{command}` ended with exit code {launcher.returncode}:\n{output}"

    def _start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*LAUNCHER, "--path", str(self._root), command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, MARK: self._mark},
        )

    def _processes(self) -> list[psutil.Process]:
        """All that was started in these cycles and lives."""
        return [one for one in psutil.process_iter() if environment_of(one).get(MARK) == self._mark and is_alive(one)]

    def _listening(self) -> set[int]:
        """The ports at which the datacenter listens."""
        ports: set[int] = set()
        for process in self._processes():
            ports |= {one.laddr.port for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
        assert ports
        return ports

    def _nothing_is_left(self, ports: set[int]) -> None:
        deadline = time.monotonic() + LEFT_BEHIND_S
        while left := [
            *self._left_running(),
            *self._left_files(),
            *(f"port {one}" for one in ports if not ensemble.is_free(one)),
        ]:
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.05)

    def _left_running(self) -> list[str]:
        return [f"process {one.pid} {_name(one)}" for one in self._processes()]

    def _left_files(self) -> list[str]:
        """Sockets, and files that only make sense while something runs."""
        sockets = Path("/proc/net/unix").read_text() if sys.platform == "linux" else ""
        left = [line for line in sockets.splitlines() if str(self._root) in line]
        files = [path for path in self._root.rglob("*") if path.is_file() or path.is_socket()]
        temporary = [path for path in files if path.name.startswith((".writing-", ".new-")) or path.is_socket()]
        temporary += [path for path in self._root.glob(".mockdc/*") if path.name != "launcher.lock"]
        temporary += list(self._root.glob("Services/config/directory/*/nodes/*"))
        return left + [str(path) for path in temporary]


def _name(process: psutil.Process) -> str:
    return environment_of(process).get("MOCKDC_PROCESS", "launcher")


@contextmanager
def cleaned_up(root: Path) -> Iterator[None]:
    try:
        yield
    finally:
        subprocess.run([*LAUNCHER, "--path", str(root), "down"], capture_output=True, check=False)


def main() -> int:
    """Run cycles; stops at the first thing that is wrong, with the folder left for a look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", choices=["files", "zookeeper"], default="files")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop early after so many")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    root = Path(tempfile.mkdtemp(prefix="cycles-"))
    began = time.monotonic()
    with cleaned_up(root):
        cycles = Cycles(root, options.directory, Random(options.seed))
        for number in range(options.count):
            if time.monotonic() - began > options.seconds:
                break
            try:
                cycles.cycle()
            except AssertionError as error:
                print(f"cycle {number} with seed {options.seed} in {root}: {error}", file=sys.stderr)
                return 1
    print(f"{cycles.done['cycles']} cycles, {options.directory}, seed {options.seed}: {dict(cycles.done)}")
    subprocess.run(["rm", "-r", str(root)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

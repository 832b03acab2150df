"""Whole datacenters: the project's own configuration, all four kinds of node, a trained network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from Services.fractos.config import CODE_ROOT
from tests.cluster.conftest import Datacenter, zookeeper_or_skip

CNN = Path("Services/ComputationalNodes/CNN/Node")
SETUP_TIMEOUT_S = 400

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def configure(root: Path, *, zookeeper: bool, replicas: int = 1) -> Datacenter:
    """A folder with the project's own configuration file, but for the directory and the number of nodes."""
    text = (CODE_ROOT / "data_center_setup.cfg").read_text()
    text = text.replace("zookeeper = True", f"zookeeper = {zookeeper}").replace("replicas = 1", f"replicas = {replicas}")
    root.mkdir(exist_ok=True)
    (root / "data_center_setup.cfg").write_text(text)
    return Datacenter(root)


class SetUp:
    """`--setup` in a folder of its own: sample pictures, examples, a trained network. Takes a minute."""

    def __init__(self) -> None:
        """Begin, at the lowest priority: while the network is trained, other tests run, most of which wait."""
        self.root = Path(tempfile.mkdtemp(prefix="trained-"))
        configure(self.root, zookeeper=False)
        command = [
            "nice",
            "-n",
            "19",
            sys.executable,
            str(CODE_ROOT / "run_datacenter.py"),
            "--path",
            str(self.root),
            "--setup",
        ]
        with (self.root / "output").open("w") as output:
            self._launcher = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def finish(self) -> Path:
        """Wait for the end and return the folder."""
        code = self._launcher.wait(SETUP_TIMEOUT_S)
        assert code == 0, (self.root / "output").read_text()
        return self.root

    def clear(self) -> None:
        """Leave nothing behind, also if it was not needed to the end."""
        self._launcher.terminate()
        self._launcher.wait()
        shutil.rmtree(self.root)


SET_UP = pytest.StashKey[SetUp]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the tests that need the trained network run after all others."""
    items.sort(key=needs_training)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to train once it is known that the network will be needed."""
    if any(map(needs_training, session.items)) and not session.config.option.collectonly:
        session.config.stash[SET_UP] = SetUp()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Clear up after an interruption, too."""
    if SET_UP in config.stash:
        config.stash[SET_UP].clear()


def needs_training(item: pytest.Item) -> bool:
    """Whether a test uses the trained network, itself or through its fixtures."""
    return isinstance(item, pytest.Function) and "prepared" in item.fixturenames


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest) -> Path:
    """A folder that `--setup` has filled."""
    return request.config.stash[SET_UP].finish()


@pytest.fixture(scope="session")
def make_datacenter(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Datacenter]:
    """Make a folder for a datacenter of its own, with the trained network and the examples."""

    def make(*, zookeeper: bool, replicas: int = 1) -> Datacenter:
        root = tmp_path_factory.mktemp("datacenter")
        for folder in (CNN, Path("Services/storage")):
            shutil.copytree(prepared / folder, root / folder)
        return configure(root, zookeeper=zookeeper, replicas=replicas)

    return make


@pytest.fixture(scope="session")
def datacenter(make_datacenter: Callable[..., Datacenter]) -> Iterator[Datacenter]:
    """The default datacenter, running, with ZooKeeper."""
    zookeeper_or_skip()
    made = make_datacenter(zookeeper=True)
    made.run("up")
    yield made
    made.run("down")
    assert not made.processes()


@pytest.fixture
def run(datacenter: Datacenter, tmp_path: Path) -> Run:
    """Run an application as a user would, from some other folder, and return how it ended."""

    def run_application(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_python(str(CODE_ROOT / "Applications" / script), *arguments, datacenter=datacenter, folder=tmp_path)

    return run_application


def run_python(*arguments: str, datacenter: Datacenter, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of one's own in some folder, for a datacenter in another one."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "MOCKDC_PATH": str(datacenter.root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

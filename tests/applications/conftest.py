"""Whole datacenters: the project's own configuration, all four kinds of node, a trained network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `--setup` has filled: sample pictures, examples, a trained network."""
    root = tmp_path_factory.mktemp("trained")
    datacenter = configure(root, zookeeper=False)
    command = [sys.executable, str(CODE_ROOT / "run_datacenter.py"), "--path", str(root), "--setup"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SETUP_TIMEOUT_S, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return datacenter.root


@pytest.fixture(scope="session")
def make_datacenter(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Datacenter]:
    """Make a folder for a datacenter of its own, with the trained network and the examples."""

    def make(*, zookeeper: bool, replicas: int = 1) -> Datacenter:
        root = tmp_path_factory.mktemp("datacenter")
        for folder in (CNN, Path("Services/storage")):
            shutil.copytree(trained / folder, root / folder)
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

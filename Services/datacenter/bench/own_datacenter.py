"""A datacenter of the benchmarks' own, in a temporary folder, gone with its context. The user's is not touched."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from Services.datacenter import interruption, launcher, layout
from Services.datacenter.lock import exclusive
from Services.datacenter.modules import run_module
from Services.datacenter.observation import NodeStatus
from Services.datacenter.screen import Screen
from Services.datacenter.setup import SAMPLES
from Services.datacenter.training import FIRST_MODEL
from Services.datacenter.training import MODULE as TRAINING
from Services.fractos import Datacenter, connect
from Services.fractos.config import load

CLIENT = layout.EXAMPLE_CLIENT
STORAGE = Path("Services/storage") / CLIENT
PICTURES = 24  # of each class that the network is trained on for one epoch: how well it does, does not change how long it takes
CONTROLLERS = {
    "application": "Applications/Application_Controller/application_controller.py",
    "math": "Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py",
    "storage": "Services/StorageNode/Storage_Controller/storage_controller.py",
    "cnn": "Services/ComputationalNodes/CNN/CNN_Controller/cnn_controller.py",
}
NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class OwnDatacenter:
    """One that runs."""

    root: Path
    connection: Datacenter
    up_s: float  # how long it took until every node was ready


@contextmanager
def running(
    nodes: Mapping[str, int],
    *,
    keys: Mapping[str, str] = NONE,
    prepare: Callable[[Path], None] = lambda root: None,
) -> Iterator[OwnDatacenter]:
    """Start so many nodes of each type and connect to them.

    `keys`: more lines of configuration, by type of node or section. `prepare` is called with the folder before the start.
    """
    with started(configuration_text(nodes, keys), prepare) as own, connect(own.root, client_id=CLIENT) as connection:
        yield OwnDatacenter(own.root, connection, own.up_s)


@dataclass(frozen=True)
class Started:
    """A datacenter that runs, and nobody is connected to it."""

    root: Path
    nodes: tuple[NodeStatus, ...]
    up_s: float  # until every node was ready


@contextmanager
def started(
    text: str, prepare: Callable[[Path], None] = lambda root: None, *, set_up_before: bool = False
) -> Iterator[Started]:
    """Start what a data_center_setup.cfg says. `set_up_before`: what `--setup` makes is not in `up_s`.

    Raises FailedPreconditionError if ZooKeeper is needed and missing.
    """
    with tempfile.TemporaryDirectory(prefix="mockdc-bench-") as folder:
        root = Path(folder)
        (root / "data_center_setup.cfg").write_text(text, encoding="utf-8")
        prepare(root)
        configuration = load(root)
        silent = Screen(io.StringIO())
        try:
            with exclusive(layout.lock_file(root), silent.say):
                if set_up_before:
                    launcher.set_up_only(configuration, silent)
                began = time.perf_counter()
                launch = launcher.up(configuration, silent)
                up_s = time.perf_counter() - began
            yield Started(root, launch.observation.nodes, up_s)
        finally:
            with interruption.ignored(), exclusive(layout.lock_file(root), silent.say):
                launcher.down(root)


def configuration_text(nodes: Mapping[str, int], keys: Mapping[str, str] = NONE, *, zookeeper: bool = False) -> str:
    """The data_center_setup.cfg of so many nodes of each type; without ZooKeeper also without a supervisor."""
    directory = "zookeeper = True" if zookeeper else "zookeeper = False\nrestart = never"
    names = ", ".join(f"{kind}_controller" for kind in nodes)
    sections = [f"[DataCenter]\nname = bench\n{keys.get('DataCenter', '')}", f"[Controllers]\ncontroller_names = {names}"]
    sections += [f"[{name}]\n{lines}" for name, lines in keys.items() if name not in {*CONTROLLERS, "DataCenter"}]
    for kind, count in nodes.items():
        lines = f"paths_to_controller = {CONTROLLERS[kind]}\nreplicas = {count}\n{directory}"
        sections.append(f"[{kind}_controller]\n{lines}\n{keys.get(kind, '')}")
    return "\n".join(sections) + "\n"


def train_small_model(folder: Path) -> None:
    """Make a folder of models with one that was trained for one epoch, and beside it the pictures for that.

    Raises FailedPreconditionError if that fails, for example without TensorFlow.
    """
    pictures, models = folder / "pictures", folder / "Models"
    run_module(SAMPLES, [str(pictures), "--pictures", str(PICTURES), "--seed", "1"], os.environ)
    flags = [f"--dataset={pictures}", f"--models={models}", f"--model={FIRST_MODEL}", "--epochs=1"]
    run_module(TRAINING, flags, os.environ)


def lend_model(models: Path, root: Path) -> None:
    """Have the CNN nodes of a datacenter that is to be started find the models in a folder, and train none."""
    node = root / layout.CNN
    node.mkdir(parents=True)
    (node / "Models").symlink_to(models, target_is_directory=True)
    training_data = node / "TrainingData" / "Cat"
    training_data.mkdir(parents=True)
    (training_data / "none.txt").touch()

"""Makes what a datacenter needs before it can start. What is there already, whoever made it, is left as it is."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from random import SystemRandom

from Services.datacenter import ensemble, layout, training
from Services.datacenter.installation import find_installation
from Services.datacenter.modules import run_module
from Services.datacenter.screen import Screen
from Services.fractos.config import CODE_ROOT, Configuration, read_directory_record, write_atomically, write_directory_record
from Services.fractos.directory.interface import DirectoryRecord

SAMPLES = "Services.ComputationalNodes.CNN.Node.samples"
TRAINING_SET = ["--seed", "1"]
EXAMPLES = ["--seed", "2", "--pictures", "4", "--flat"]  # another seed: the examples are not in the training set
EXAMPLE_NUMBER = "21\n"


def set_up(configuration: Configuration, screen: Screen) -> None:
    """Make whatever is missing: folders, ZooKeeper servers, the directory record, example files, training set, first model.

    May be interrupted and repeated. Raises FailedPreconditionError where ZooKeeper or Java is needed and cannot be found.
    """
    prepare_directory(configuration)  # first, since it can fail for want of an installation
    configuration.logs_path.mkdir(parents=True, exist_ok=True)
    _make_examples(configuration, screen)
    if configuration.controller("cnn"):
        _make_training_set(configuration, screen)
        if not training.has_model(layout.models(configuration)):
            training.train(configuration, layout.training_data(configuration), training.FIRST_MODEL, screen)


def prepare_directory(configuration: Configuration) -> DirectoryRecord:
    """Set up the ZooKeeper servers if the datacenter uses them, and record which directory it uses."""
    if configuration.directory_kind == "zookeeper":
        installation = find_installation([configuration.root, CODE_ROOT], os.environ)
        servers = ensemble.prepare_servers(configuration.root, configuration.zookeeper.servers, installation, SystemRandom())
        address = ",".join(server.address for server in servers)
    else:
        address = str(configuration.service_config_path / "directory")
    record = DirectoryRecord(configuration.directory_kind, address, configuration.name)
    if read_directory_record(configuration) != record:
        write_directory_record(configuration, record)
    return record


def _make_examples(configuration: Configuration, screen: Screen) -> None:
    """Give the client of the examples a number and, where a CNN node can judge them, a few pictures."""
    folder = layout.example_files(configuration)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "number.txt").exists():
        write_atomically(folder / "number.txt", EXAMPLE_NUMBER)
    if configuration.controller("cnn") and (not any(folder.glob("*.jpg")) or _drawn(folder).exists()):
        screen.say(f"drawing example pictures in {folder}")
        _draw(folder, EXAMPLES)


def _make_training_set(configuration: Configuration, screen: Screen) -> None:
    """Draw the sample training set if there are no pictures yet."""
    folder = layout.training_data(configuration)
    if not _has_files(folder) or _drawn(folder).exists():
        screen.say(f"drawing a sample training set in {folder}")
        _draw(folder, TRAINING_SET)


def _draw(folder: Path, flags: list[str]) -> None:
    """Draw pictures beside `folder` and move them in when all are there, so that an interruption leaves no part of them."""
    folder.mkdir(parents=True, exist_ok=True)
    complete = _drawn(folder)
    if not complete.exists():
        prefix = f".{folder.name}-unfinished-"
        for abandoned in folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(abandoned)
        unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=prefix))
        run_module(SAMPLES, [str(unfinished), *flags])
        unfinished.rename(complete)
    for drawn in sorted(complete.iterdir()):
        target = folder / drawn.name
        if not target.exists() or (target.is_dir() and not any(target.iterdir())):
            drawn.rename(target)
    shutil.rmtree(complete)


def _drawn(folder: Path) -> Path:
    """Where pictures are between being drawn and being moved into `folder`."""
    return folder.with_name(f".{folder.name}-complete")


def _has_files(folder: Path) -> bool:
    """Whether there is a file in a folder or below; hidden ones do not count."""
    return any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*"))

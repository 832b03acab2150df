"""Makes what a datacenter needs before it can start. What is there already, whoever made it, is left as it is."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import SystemRandom

from Services.datacenter import clients, ensemble, layout, training
from Services.datacenter.archive import unpack
from Services.datacenter.installation import Installation, find_installation
from Services.datacenter.modules import run_module
from Services.datacenter.screen import Screen
from Services.fractos.config import (
    CODE_ROOT,
    Configuration,
    lock_directory_record,
    read_directory_record,
    write_atomically,
    write_directory_record,
)
from Services.fractos.credentials import complete_client, list_clients
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import FractosError

SAMPLES = "Services.ComputationalNodes.CNN.Node.samples"
TRAINING_SET = ["--seed", "1"]
# Another seed, so that the examples are not in the training set; one that draws them plain enough for any good model.
EXAMPLES = ["--seed", "5", "--pictures", "4", "--flat"]
PATIENCE_S = 10.0  # with the ZooKeeper servers of others
EXAMPLE_NUMBER = "21\n"


def set_up(configuration: Configuration, screen: Screen, environment: Mapping[str, str]) -> None:
    """Make whatever is missing: folders, ZooKeeper servers, the directory record, keys, the client of the examples and its
    files, training set, first model.

    `environment` is that of the processes that draw and train. May be interrupted and repeated. Raises FailedPreconditionError
    where ZooKeeper or Java is needed and cannot be found, UnavailableError or PermissionDeniedError where the ZooKeeper servers
    of others do not answer or let this datacenter in.
    """
    prepare_directory(configuration)  # first, since it can fail for want of an installation
    configuration.logs_path.mkdir(parents=True, exist_ok=True)
    _let_examples_in(configuration, screen)
    _make_examples(configuration, screen, environment)
    if configuration.controller("cnn"):
        _make_training_set(configuration, screen, environment)
        if not training.has_model(layout.models(configuration)):
            training.train(configuration, layout.training_data(configuration), training.FIRST_MODEL, screen, environment)


def prepare_directory(configuration: Configuration) -> DirectoryRecord:
    """Set up the ZooKeeper servers if the datacenter has its own, and record which directory it uses."""
    if external := configuration.external_directory:
        record = external
        asyncio.run(_prepare_there(record, min(PATIENCE_S, configuration.start_timeout_s)))
    elif configuration.directory_kind == "zookeeper":
        installation = provide_installation(configuration)
        servers = ensemble.prepare_servers(configuration.root, configuration.zookeeper.servers, installation, SystemRandom())
        record = DirectoryRecord("zookeeper", ",".join(server.address for server in servers), configuration.name)
    else:
        record = DirectoryRecord("files", str(configuration.service_config_path / "directory"), configuration.name)
    with lock_directory_record(configuration):
        layout.sweep(configuration.root, configuration.service_config_path, configuration.clients_path)
        if read_directory_record(configuration) != record:
            write_directory_record(configuration, record)
    return record


def provide_installation(configuration: Configuration) -> Installation:
    """Find ZooKeeper and Java, and unpack an archive in the datacenter's folder if that is where ZooKeeper is.

    Raises FailedPreconditionError where one is missing, DataLossError if the archive is damaged.
    """
    installation = find_installation([configuration.root, CODE_ROOT], os.environ)
    if installation.archive:
        unpack(installation.archive)
    return installation


async def _prepare_there(record: DirectoryRecord, timeout_s: float) -> None:
    """Make the datacenter's place in ZooKeeper servers of others, or find out why not before anything else is done."""
    directory = open_directory(record)
    try:
        await directory.start(timeout_s)
        await directory.prepare()
    finally:
        await directory.close()


def _let_examples_in(configuration: Configuration, screen: Screen) -> None:
    """Give the client of the examples its capabilities, or those that it lacks since its services came later."""
    if layout.EXAMPLE_CLIENT not in list_clients(configuration):
        clients.issue(configuration, layout.EXAMPLE_CLIENT, clients.DAYS)
        screen.say(f"added client {layout.EXAMPLE_CLIENT!r} for the examples, for {clients.DAYS} days")
        return
    try:
        if services := complete_client(configuration, layout.EXAMPLE_CLIENT):
            screen.say(f"client {layout.EXAMPLE_CLIENT!r} may use {', '.join(services)} nodes too")
    except FractosError as error:  # its programs will be told the same; the datacenter is none the worse for it
        screen.warn(f"warning: {error}")


def _make_examples(configuration: Configuration, screen: Screen, environment: Mapping[str, str]) -> None:
    """Give the client of the examples a number and, where a CNN node can judge them, a few pictures."""
    folder = layout.example_files(configuration)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "number.txt").exists():
        write_atomically(folder / "number.txt", EXAMPLE_NUMBER)
    drawings = layout.state(configuration.root) / "examples"
    if configuration.controller("cnn") and (not any(folder.glob("*.jpg")) or drawings.exists()):
        screen.say(f"drawing example pictures in {folder}")
        _draw(drawings, EXAMPLES, environment)
        _move(drawings, folder)


def _make_training_set(configuration: Configuration, screen: Screen, environment: Mapping[str, str]) -> None:
    """Draw the sample training set if there are no pictures yet."""
    folder = layout.training_data(configuration)
    drawings = layout.state(configuration.root) / "training-set"
    if not _has_files(folder) or drawings.exists():
        screen.say(f"drawing a sample training set in {folder}")
        _draw(drawings, TRAINING_SET, environment)
        _move(drawings, folder)


def _draw(drawings: Path, flags: list[str], environment: Mapping[str, str]) -> None:
    """Draw pictures in a new folder, unless it is there: it appears when all are drawn."""
    if drawings.exists():
        return
    prefix = f"{drawings.name}-unfinished-"
    for abandoned in drawings.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned)
    unfinished = Path(tempfile.mkdtemp(dir=drawings.parent, prefix=prefix))
    run_module(SAMPLES, [str(unfinished), *flags], environment)
    unfinished.rename(drawings)


def _move(drawings: Path, folder: Path) -> None:
    """Move all pictures to where they belong. If that is interrupted, `drawings` is left and the next set-up goes on."""
    for drawn in sorted(path for path in drawings.rglob("*") if path.is_file()):
        target = folder / drawn.relative_to(drawings)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            continue
        try:
            drawn.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:  # the folder of the storage node may be on another disk
                raise
            write_atomically(target, drawn.read_bytes())
    shutil.rmtree(drawings)


def _has_files(folder: Path) -> bool:
    """Whether there is a file or a link in a folder or below; hidden ones do not count."""
    return any((path.is_file() or path.is_symlink()) and not path.name.startswith(".") for path in folder.rglob("*"))

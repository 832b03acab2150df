"""Where a datacenter keeps what the launcher makes."""

from __future__ import annotations

from pathlib import Path

from Services.fractos.config import TEMPORARY, Configuration

EXAMPLE_CLIENT = "admin"
CNN = Path("Services/ComputationalNodes/CNN/Node")


def training_data(configuration: Configuration) -> Path:
    """The training set: one folder of pictures per class."""
    return configuration.root / CNN / "TrainingData"


def models(configuration: Configuration) -> Path:
    """The models that the CNN nodes find."""
    return configuration.root / CNN / "Models"


def example_files(configuration: Configuration) -> Path | None:
    """The folder of the client of the examples, if the datacenter has a storage node."""
    storage = configuration.controller("storage")
    return storage.storage_path / EXAMPLE_CLIENT if storage else None


def state(root: Path) -> Path:
    """What the launcher keeps for itself. Whatever the configuration says, so that `down` works after any change of it."""
    return root / ".mockdc"


def process_record(root: Path) -> Path:
    """Which processes were started."""
    return state(root) / "processes.json"


def told_to_stop(root: Path, name: str) -> Path:
    """Made by a node when it is told to stop: whatever its end looks like then, it was no crash."""
    return state(root) / f"{name}.told-to-stop"


def terminal_socket(root: Path) -> Path:
    """Of the tmux server whose windows show the nodes."""
    return state(root) / "tmux"


def sweep(root: Path, *others: Path) -> None:
    """Delete the unfinished files of launchers that were killed; in `others` too. The caller holds the launcher's lock."""
    for folder in (state(root), *root.glob("zookeeper/zookeeper*/*"), *others):
        for path in folder.glob(f"{TEMPORARY}*"):
            path.unlink(missing_ok=True)


def lock_file(root: Path) -> Path:
    """Held by a launcher that starts or stops something."""
    return state(root) / "launcher.lock"

"""Where a datacenter keeps what the launcher makes."""

from __future__ import annotations

from pathlib import Path

from Services.fractos.config import Configuration

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
    return storage.storage_path / "admin" if storage else None


def process_record(configuration: Configuration) -> Path:
    """Which processes were started."""
    return configuration.service_config_path / "processes.json"


def lock_file(configuration: Configuration) -> Path:
    """Held by a launcher that starts or stops something."""
    return configuration.service_config_path / "launcher.lock"

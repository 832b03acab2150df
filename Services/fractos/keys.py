"""The secrets of one datacenter: a file of 32 random bytes each, in `<service_config_path>/keys/`, for its owner's eyes only.

"datacenter" is what Controllers know each other by; every type of node has one more, named like the type, which seals the
capabilities of its operations. Nodes load them when they start; nodes on other hosts need a copy of the folder.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from Services.fractos.capability import KEY_BYTES
from Services.fractos.errors import ConfigurationError
from Services.fractos.secret_files import open_to_others, publish_secret, read_secret

DATACENTER = "datacenter"  # the name of the key for channels


def load_key(folder: Path, name: str) -> bytes:
    """Return the key `<folder>/<name>.key`, and make nothing. Raises ConfigurationError, naming file and remedy."""
    path = folder / f"{name}.key"
    try:
        _check_folder(folder)
        return _load(path)
    except OSError as error:
        raise ConfigurationError(
            f"the key {path} cannot be read: {error.strerror or error}; the first node makes it, and only its user may read it"
        ) from error


def load_or_make_key(folder: Path, name: str) -> bytes:
    """Return the key `<folder>/<name>.key`, made if it is missing. `name` is a type of node or DATACENTER.

    Processes that start at once agree on one key. Raises ConfigurationError, naming the file and the remedy, if others could
    read or replace it, if it is damaged, or if it can neither be read nor made.
    """
    path = folder / f"{name}.key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(folder)
        try:
            return _load(path)
        except FileNotFoundError:
            publish_secret(path, secrets.token_bytes(KEY_BYTES))  # if another process is faster, its key counts
        return _load(path)
    except OSError as error:
        raise ConfigurationError(
            f"the key {path} cannot be used: {error.strerror or error}; let the user of this node read and write {folder}, on a"
            " file system that has hard links"
        ) from error


def _check_folder(folder: Path) -> None:
    if mode := open_to_others(folder):
        raise ConfigurationError(
            f"the folder of keys {folder} has mode {mode:04o}, so others could replace a key; type `chmod 700 {folder}`"
        )


def _load(path: Path) -> bytes:
    key, mode = read_secret(path, KEY_BYTES + 1)
    if mode:
        raise ConfigurationError(
            f"the key {path} has mode {mode:04o}, so others may know it; type `chmod 600 {path}`, or if somebody may have read"
            " it, delete it and start all nodes anew"
        )
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"the key {path} is damaged: it holds {len(key)} bytes or more, not {KEY_BYTES}; copy it again from another host of"
            " this datacenter, or stop all nodes and delete it: a new one is made then"
        )
    return key

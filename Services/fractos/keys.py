"""The secrets of one datacenter: a file of 32 random bytes each, in `<service_config_path>/keys/`, for its owner's eyes only.

"datacenter" is what Controllers know each other by; every type of node has one more, named like the type, which seals the
capabilities of its operations. Nodes load them when they start; nodes on other hosts need a copy of the folder.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from Services.fractos.capability import KEY_BYTES
from Services.fractos.errors import ConfigurationError

DATACENTER = "datacenter"  # the name of the key for channels
_OTHERS = 0o077
_OTHERS_WRITE = 0o022


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
            _make(path)
        return _load(path)
    except OSError as error:
        raise ConfigurationError(
            f"the key {path} cannot be used: {error.strerror or error}; let the user of this node read and write {folder}, on a"
            " file system that has hard links"
        ) from error


def _check_folder(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & _OTHERS_WRITE:
        raise ConfigurationError(
            f"the folder of keys {folder} has mode {mode:04o}, so others could replace a key; type `chmod 700 {folder}`"
        )


def _load(path: Path) -> bytes:
    """Read and check one open file, so that what was checked is what was read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe in its place must not be waited for
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        key = file.read(KEY_BYTES + 1) if stat.S_ISREG(mode) else b""
    if stat.S_IMODE(mode) & _OTHERS:
        raise ConfigurationError(
            f"the key {path} has mode {stat.S_IMODE(mode):04o}, so others may know it; type `chmod 600 {path}`, or if"
            " somebody may have read it, delete it and start all nodes anew"
        )
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            f"the key {path} is damaged: it holds {len(key)} bytes or more, not {KEY_BYTES}; copy it again from another host of"
            " this datacenter, or stop all nodes and delete it: a new one is made then"
        )
    return key


def _make(path: Path) -> None:
    """Publish a new key, all of it and on disk, unless another process was faster."""
    temporary = path.with_name(f".writing-{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The credentials of clients: for each client one file with a capability per service, which is as good as a password.

The files are `<service_config_path>/clients/<client_id>.json`, for their owner's eyes only from their first moment on. Made and
removed by `run_datacenter.py`, read by `connect()`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from protos import fractos_pb2
from Services.fractos.capability import NONCE_BYTES, issue_for_service
from Services.fractos.config import TEMPORARY, Configuration
from Services.fractos.errors import (
    AlreadyExistsError,
    ConfigurationError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from Services.fractos.keys import load_or_make_key
from Services.fractos.operations import Catalogue
from Services.fractos.secret_files import open_to_others, publish_secret, read_secret, replace_secret

APPLICATION = "application"  # the service that starts runs
MAX_NAME_BYTES = 250  # as a file's name, with the suffix
MAX_FILE_BYTES = 1 << 20
SUFFIX = ".json"
RESERVED = {".", "..", ".mockdc"}  # the last is the storage node's own folder


@dataclass(frozen=True)
class Credentials:
    """What one client may do: whatever the services offer, on its own files only."""

    client_id: str
    capabilities: Mapping[str, fractos_pb2.Capability] = field(repr=False)  # by service; secret
    expires_at: float  # Unix time in seconds
    issued_at: float = 0.0  # Unix time in seconds


def issue_client(
    configuration: Configuration, name: str, expires_at: float, clock: Callable[[], float] = time.time
) -> Credentials:
    """Make a client's capabilities, valid until a Unix time, and keep them in its file. Keys that are missing are made.

    Raises InvalidArgumentError for what cannot be a client's name, AlreadyExistsError if it has a file, ConfigurationError if
    keys or files cannot be made or others could read or replace them.
    """
    path = client_file(configuration, name)
    now = clock()
    if not now < expires_at < math.inf:
        raise InvalidArgumentError(f"expires_at {expires_at} is no time in the future", field="expires_at")
    if path.exists():  # also looked at below, but before any key is made
        raise _already_there(name, path)
    capabilities = {service: _issue(configuration, service, name, expires_at) for service in _services()}
    credentials = Credentials(name, capabilities, expires_at, now)
    try:
        if not _publish(path, _encode(credentials)):
            raise _already_there(name, path)
    except OSError as error:
        raise ConfigurationError(
            f"the capabilities of client {name!r} cannot be kept in {path.parent}: {error.strerror or error}; let the user of"
            " this program write there, on a file system that has hard links"
        ) from error
    return credentials


def complete_client(configuration: Configuration, name: str, clock: Callable[[], float] = time.time) -> tuple[str, ...]:
    """Give a client what it lacks: capabilities for services that came after it, which expire with those that it has.

    Returns the services; none for a client whose time is over. Raises as `load_credentials` and `issue_client` do, and OSError.
    """
    credentials = load_credentials(configuration, name)
    if credentials.expires_at < clock():
        return ()
    lacking = tuple(service for service in _services() if service not in credentials.capabilities)
    if lacking:
        more = {service: _issue(configuration, service, name, credentials.expires_at) for service in lacking}
        complete = replace(credentials, capabilities={**credentials.capabilities, **more})
        replace_secret(client_file(configuration, name), _encode(complete))
    return lacking


def load_credentials(configuration: Configuration, client_id: str) -> Credentials:
    """Read a client's file.

    Raises InvalidArgumentError for what cannot be a client's name, PermissionDeniedError if there is no such client or its file
    is not this user's to read, ConfigurationError if others can read the file, could replace it, or if it is damaged.
    """
    path = client_file(configuration, client_id)
    try:
        _check_folder(path.parent)
        content = _read(path)
    except FileNotFoundError:
        raise PermissionDeniedError(
            f"there is no client {client_id!r} in this datacenter; type: python3 run_datacenter.py clients add"
            f" {shlex.quote(client_id)}",
            field="client_id",
        ) from None
    except OSError as error:
        raise PermissionDeniedError(
            f"the capabilities of client {client_id!r} in {path} cannot be read: {error.strerror or error}; run this as the"
            " user that the file belongs to",
            field="client_id",
        ) from error
    try:
        credentials = _decode(content)
    except (ValueError, TypeError, KeyError, AttributeError, DecodeError, RecursionError):
        credentials = None  # what was found is not told: it may be part of a secret
    if credentials is None or credentials.client_id != client_id:
        raise ConfigurationError(
            f"{path} is damaged, or not the file of client {client_id!r}; delete it and type: python3 run_datacenter.py clients"
            f" add {shlex.quote(client_id)}; what was in it is valid until it expires"
        )
    return credentials


def list_clients(configuration: Configuration) -> tuple[str, ...]:
    """The names of the clients that have a file, whatever is in it."""
    folder = configuration.clients_path
    if not folder.is_dir():
        return ()
    return tuple(sorted(path.name[: -len(SUFFIX)] for path in folder.iterdir() if path.name.endswith(SUFFIX)))


def remove_client(configuration: Configuration, client_id: str) -> None:
    """Delete a client's file. What was in it is valid until it expires or is revoked. Raises NotFoundError."""
    try:
        client_file(configuration, client_id).unlink()
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no client {client_id!r} in this datacenter; type: python3 run_datacenter.py clients list",
            field="client_id",
        ) from None


def client_file(configuration: Configuration, client_id: str) -> Path:
    """Where a client's capabilities are. Raises InvalidArgumentError for what cannot be a client's name."""
    if fault := _fault(client_id):
        raise InvalidArgumentError(f"client_id {client_id[:100]!r} {fault}; choose another", field="client_id")
    return configuration.clients_path / f"{client_id}{SUFFIX}"


def _services() -> list[str]:
    """Everything that a client needs a capability for."""
    return sorted({*Catalogue.from_protos().node_types, APPLICATION})


def _issue(configuration: Configuration, service: str, name: str, expires_at: float) -> fractos_pb2.Capability:
    key = load_or_make_key(configuration.keys_path, service)
    nonce = secrets.token_bytes(NONCE_BYTES)
    return issue_for_service(key, nonce, service=service, expires_at=expires_at, client_id=name)


def _fault(name: str) -> str:
    """What is wrong with a client's name, which is a folder's and a file's too; empty if nothing is."""
    if not name:
        return "is empty"
    if name in RESERVED or name.startswith(TEMPORARY):
        return "has a meaning of its own"
    if forbidden := [one for one in name if ord(one) < 0x20 or one in "\x7f/\\"]:
        return f"contains the character {forbidden[0]!r}"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"is {size} bytes long; {MAX_NAME_BYTES} are allowed" if size > MAX_NAME_BYTES else ""


def _already_there(name: str, path: Path) -> AlreadyExistsError:
    return AlreadyExistsError(
        f"client {name!r} has capabilities already, in {path}; to replace them, first type: python3 run_datacenter.py clients"
        f" revoke {shlex.quote(name)}"
    )


def _encode(credentials: Credentials) -> bytes:
    content = {
        "client_id": credentials.client_id,
        "issued_at": credentials.issued_at,
        "expires_at": credentials.expires_at,
        "capabilities": {
            service: base64.b64encode(capability.SerializeToString()).decode()
            for service, capability in credentials.capabilities.items()
        },
    }
    return (json.dumps(content, indent=2) + "\n").encode()


def _decode(text: bytes) -> Credentials:
    """Raises ValueError, TypeError, KeyError, AttributeError, DecodeError or RecursionError for what is no such file."""
    content: dict[str, Any] = json.loads(text)
    capabilities = {
        str(service): fractos_pb2.Capability.FromString(base64.b64decode(written, validate=True))
        for service, written in content["capabilities"].items()
    }
    if APPLICATION not in capabilities or not all(one.links and one.seal for one in capabilities.values()):
        raise binascii.Error("a capability is missing")
    expires_at, issued_at = float(content["expires_at"]), float(content["issued_at"])
    if not math.isfinite(expires_at) or not math.isfinite(issued_at):
        raise ValueError("a time is not a number")
    return Credentials(content["client_id"], capabilities, expires_at, issued_at)


def _check_folder(folder: Path) -> None:
    if mode := open_to_others(folder):
        raise ConfigurationError(
            f"the folder of clients {folder} has mode {mode:04o}, so others could replace a client's capabilities; type"
            f" `chmod 700 {folder}`"
        )


def _read(path: Path) -> bytes:
    content, mode = read_secret(path, MAX_FILE_BYTES)
    if mode:
        raise ConfigurationError(
            f"{path} has mode {mode:04o}, so others may have read a client's capabilities; type"
            f" `chmod 600 {path}`, and if somebody may have, then also: python3 run_datacenter.py clients revoke"
            f" {shlex.quote(path.name[: -len(SUFFIX)])}"
        )
    return content


def _publish(path: Path, content: bytes) -> bool:
    """Returns False if somebody was faster."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path.parent)
    return publish_secret(path, content)

"""What a client of the datacenter may do: a capability for each service, in one file that only its owner can read.

Issued by whoever has the services' keys, which is who set the datacenter up; found by `connect(client_id=…)`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import DecodeError

from protos import fractos_pb2
from Services.fractos.capability import NONCE_BYTES, issue_for_service
from Services.fractos.config import Configuration
from Services.fractos.errors import AlreadyExistsError, ConfigurationError, InvalidArgumentError, PermissionDeniedError
from Services.fractos.keys import load_or_make_key

APPLICATION = "application"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Credentials:
    """One client's."""

    client_id: str
    issued_at: float  # Unix times in seconds
    expires_at: float
    capabilities: Mapping[str, fractos_pb2.Capability] = field(repr=False)  # by service: node types and "application"


def issue_client(configuration: Configuration, services: Iterable[str], name: str, expires_at: float) -> Credentials:
    """Make a client's credentials and its file. `services` are the types of node.

    Raises AlreadyExistsError if the client has some, InvalidArgumentError for a name that cannot be a client's.
    """
    path = path_of(configuration, name)
    capabilities = {
        service: issue_for_service(
            load_or_make_key(configuration.keys_path, service),
            secrets.token_bytes(NONCE_BYTES),
            service=service,
            expires_at=expires_at,
            client_id=name,
        )
        for service in (*services, APPLICATION)
    }
    credentials = Credentials(name, time.time(), expires_at, capabilities)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, credentials)
    return credentials


def load_credentials(configuration: Configuration, name: str) -> Credentials:
    """Read a client's credentials.

    Raises PermissionDeniedError if it has none, ConfigurationError if others can read the file or it is damaged.
    """
    path = path_of(configuration, name)
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except FileNotFoundError:
        raise PermissionDeniedError(
            f"this datacenter has no client {name!r}; type: python3 run_datacenter.py clients add {name}", field="client_id"
        ) from None
    except OSError as error:
        raise PermissionDeniedError(
            f"{path} cannot be read: {error.strerror}; it is for its owner", field="client_id"
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"{path} has mode {mode:04o}, so others may have read it; type: chmod 600 {path}, or better have it revoked and"
            f" made anew: python3 run_datacenter.py clients revoke {name}"
        )
    try:
        return _parse(content)
    except (ValueError, KeyError, TypeError, AttributeError, DecodeError):
        raise ConfigurationError(
            f"{path} is damaged; delete it and type: python3 run_datacenter.py clients add {name}"
        ) from None  # what it says is a secret


def list_clients(configuration: Configuration) -> list[str]:
    """The names of the clients that have credentials, in alphabetical order."""
    folder = configuration.clients_path
    return sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []


def remove_client(configuration: Configuration, name: str) -> None:
    """Remove the file of a client's credentials, which were revoked before."""
    path_of(configuration, name).unlink(missing_ok=True)


def path_of(configuration: Configuration, name: str) -> Path:
    """Where a client's credentials are. Raises InvalidArgumentError for a name that cannot be a client's."""
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"{name!r} cannot be the name of a client: it begins with a letter or digit, and has up to 100 of these, '_', '.'"
            " and '-'",
            field="client_id",
        )
    return configuration.clients_path / f"{name}.json"


def _write(path: Path, credentials: Credentials) -> None:
    """Never readable by others, and never in part."""
    encoded = {name: base64.b64encode(one.SerializeToString()).decode() for name, one in credentials.capabilities.items()}
    content = {
        "client_id": credentials.client_id,
        "issued_at": credentials.issued_at,
        "expires_at": credentials.expires_at,
        "capabilities": encoded,
    }
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        name = credentials.client_id
        raise AlreadyExistsError(
            f"client {name!r} has its capabilities already, in {path}; to have others made, type first: python3"
            f" run_datacenter.py clients revoke {name}"
        ) from None
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _parse(content: bytes) -> Credentials:
    found = json.loads(content)
    capabilities = {
        name: fractos_pb2.Capability.FromString(base64.b64decode(encoded, validate=True))
        for name, encoded in found["capabilities"].items()
    }
    return Credentials(str(found["client_id"]), float(found["issued_at"]), float(found["expires_at"]), capabilities)

"""The credentials of the client `chaos`: issued for the time that a chaos takes, and gone with it. Used by `command.py`.

Those that the user has given a client of that name are used and left alone. What a chaos has issued is known by a second link
to its file, so that what one that was killed has left can be told from the user's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from Services.datacenter import interruption
from Services.datacenter.chaos.workload import CLIENT
from Services.datacenter.next_command import to_type
from Services.fractos.config import Configuration
from Services.fractos.credentials import client_file, issue_client, list_clients, load_credentials, remove_client
from Services.fractos.errors import FailedPreconditionError

MARGIN_S = 3600.0  # beyond the time of the faults: to prepare, to wait for calm, to compare and to clear up
MARK = ".issued-for-chaos"


@contextmanager
def let_in(configuration: Configuration, faults_s: float) -> Iterator[None]:
    """Let the client in meanwhile, for faults of `faults_s` seconds. The caller sees to it that there is one chaos at a time.

    Raises FailedPreconditionError if the client has credentials of the user's that expire before the end.
    """
    if configuration.authorization == "open":
        yield
        return
    with interruption.ignored():
        _take_back(configuration)
    end = time.time() + faults_s + MARGIN_S
    if CLIENT in list_clients(configuration):
        _check_time(configuration, end)
        yield
        return
    try:
        with interruption.ignored():
            issue_client(configuration, CLIENT, end)
            _mark(configuration).hardlink_to(client_file(configuration, CLIENT))
        yield
    finally:
        with interruption.ignored():
            _take_back(configuration)


def _check_time(configuration: Configuration, end: float) -> None:
    if load_credentials(configuration, CLIENT).expires_at < end:
        raise FailedPreconditionError(
            f"the capabilities of client {CLIENT!r} expire before this chaos would end; type:"
            f" {to_type(configuration.root, f'clients revoke {CLIENT}')};"
            " without credentials of its own it gets some for the time that it takes"
        )


def _take_back(configuration: Configuration) -> None:
    """Remove what was issued here, unless another file has taken its place."""
    mark, file = _mark(configuration), client_file(configuration, CLIENT)
    if mark.exists():
        if file.exists() and file.samefile(mark):
            remove_client(configuration, CLIENT)
        mark.unlink()


def _mark(configuration: Configuration) -> Path:
    return configuration.clients_path / MARK

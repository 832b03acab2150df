"""`clients add|list|revoke`: who may use the datacenter."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from Services.datacenter.next_command import to_type
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration
from Services.fractos.credentials import (
    Credentials,
    client_file,
    complete_client,
    issue_client,
    list_clients,
    load_credentials,
    remove_client,
)
from Services.fractos.errors import FractosError, NotFoundError
from Services.fractos.revoking import revoke_all

DAYS = 365  # for which a client is let in, if nothing else is said
LONGEST_DAYS = 36_500
DAY_S = 86_400


def issue(configuration: Configuration, name: str, days: int) -> Credentials:
    """Make a client's capabilities, valid for so many days from now. Raises as `issue_client` does."""
    return issue_client(configuration, name, time.time() + days * DAY_S)


def _add(configuration: Configuration, options: argparse.Namespace, screen: Screen) -> int:
    """A client that is there gets what it lacks; it is refused if that is nothing."""
    if options.name in list_clients(configuration) and (services := complete_client(configuration, options.name)):
        screen.say(f"client {options.name!r} may use {', '.join(services)} nodes too")
        return 0
    credentials = issue(configuration, options.name, options.days)
    screen.say(
        f"client {options.name!r} may use this datacenter until {_shown(credentials.expires_at)}, with"
        f" connect(client_id={options.name!r}); keep {client_file(configuration, options.name)} secret: whoever reads it can do"
        " the same"
    )
    return 0


def _list(configuration: Configuration, options: argparse.Namespace, screen: Screen) -> int:
    """Returns 1 if the file of any client cannot be used."""
    rows, faults = [], []
    for name in list_clients(configuration):
        try:
            credentials = load_credentials(configuration, name)
        except FractosError as error:
            faults.append(error.message)
            continue
        expired = " (expired)" if credentials.expires_at < time.time() else ""
        rows.append((name, _shown(credentials.issued_at), f"{_shown(credentials.expires_at)}{expired}"))
    if rows:
        screen.grid(["client", "since", "until"], rows)
    elif not faults:
        screen.say(f"there are no clients; add one with: {to_type(configuration.root, 'clients add NAME')}")
    for fault in faults:
        screen.warn(f"warning: {fault}")
    return 1 if faults else 0


def _revoke(configuration: Configuration, options: argparse.Namespace, screen: Screen) -> int:
    """The file goes last: as long as anything in it may be honoured, it can be revoked again."""
    name = options.name
    if not client_file(configuration, name).exists():
        raise NotFoundError(
            f"there is no client {name!r} in this datacenter; `{to_type(configuration.root, 'clients list')}` shows all",
            field="name",
        )
    credentials = load_credentials(configuration, name)
    if credentials.expires_at > time.time():
        try:
            asyncio.run(revoke_all(configuration, credentials.capabilities.values()))
        except FractosError as error:
            raise type(error)(f"client {name!r} is not revoked, or not everywhere: {error.message}") from error
    remove_client(configuration, name)
    screen.say(f"client {name!r} is revoked; its files stay in the storage folder")
    return 0


def _shown(at: float) -> str:
    """A Unix time in seconds as people here write it."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")


COMMANDS: dict[str, Callable[[Configuration, argparse.Namespace, Screen], int]] = {
    "add": _add,
    "list": _list,
    "revoke": _revoke,
}

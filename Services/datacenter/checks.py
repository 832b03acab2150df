"""`check`: whether a datacenter could start on this machine, one line for each thing it needs."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

from Services.datacenter import ensemble, layout
from Services.datacenter.installation import find_installation, find_java
from Services.datacenter.server_mode import mode_of
from Services.fractos.config import CODE_ROOT, Configuration
from Services.fractos.directory.credentials import read_credentials
from Services.fractos.errors import FractosError

OLDEST_JAVA = 8
JAVA_PATIENCE_S = 30.0
MODULES = ("grpc_status", "kazoo", "numpy", "PIL")  # those that the launcher, which runs already, does not import itself


class CheckFailedError(Exception):
    """What is wrong, and what to do."""


def check(configuration: Configuration) -> Iterator[tuple[str, bool, str]]:
    """Look at one thing after the other, giving for each its name, whether it is right, and what was found."""
    looks: dict[str, Callable[[Configuration], str]] = {
        "configuration": _configuration,
        "Python": _python,
        "packages": _packages,
        "folders": _folders,
        "address": _address,
    }
    if configuration.external_directory:
        looks |= {"ZooKeeper": _servers_of_others}
    elif configuration.directory_kind == "zookeeper":
        looks |= {"Java": _java, "ZooKeeper": _zookeeper, "ports": _ports}
    for name, look in looks.items():
        try:
            yield name, True, look(configuration)
        except (CheckFailedError, FractosError, OSError) as error:
            yield name, False, str(error)


def _configuration(configuration: Configuration) -> str:
    names = ", ".join(node.name for node in configuration.nodes)
    return f"{configuration.root}: {names}; directory {configuration.directory_kind}"


def _python(_: Configuration) -> str:
    return f"{sys.version.split()[0]} at {sys.executable}"


def _packages(configuration: Configuration) -> str:
    """What nodes import is there; looked up, not imported."""
    modules = MODULES + (("asyncinotify",) if sys.platform == "linux" else ())
    modules += ("tensorflow",) if configuration.controller("cnn") else ()
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        remedy = f"type `{sys.executable} -m pip install -r {CODE_ROOT / 'requirements.txt'}`"
        raise CheckFailedError(f"{', '.join(missing)} missing; {remedy}")
    return "complete"


def _folders(configuration: Configuration) -> str:
    folders = [configuration.root, configuration.logs_path, configuration.service_config_path]
    if examples := layout.example_files(configuration):
        folders.append(examples)
    for folder in folders:
        existing = next(one for one in (folder, *folder.parents) if one.exists())
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            raise CheckFailedError(f"{folder} cannot be written to or made; correct its permissions or the configuration")
    return "writable"


def _address(configuration: Configuration) -> str:
    with socket.socket() as probe:
        try:
            probe.bind((configuration.grpc_ip, 0))
        except OSError as error:
            raise CheckFailedError(
                f"[DataCenter] grpc_ip = {configuration.grpc_ip} is not an address of this host ({error.strerror}); correct it"
            ) from error
    return f"{configuration.grpc_ip} is an address of this host"


def _servers_of_others(configuration: Configuration) -> str:
    """Asks each server, and reads the password; rights show only when something is changed, which `--setup` does."""
    record = configuration.external_directory
    addresses = configuration.zookeeper.hosts.partition("/")[0].split(",")
    credentials = record and read_credentials(record)
    modes = asyncio.run(_modes(addresses))
    found = ", ".join(f"{address} ({mode or 'does not answer'})" for address, mode in zip(addresses, modes, strict=True))
    if not any(mode and mode != "starting" for mode in modes):
        raise CheckFailedError(f"[ZooKeeper] hosts: {found}; see that those servers run and can be reached from here")
    return f"{found}, as {credentials.username if credentials else 'nobody'}"


async def _modes(addresses: list[str]) -> list[str | None]:
    return await asyncio.gather(*(mode_of(address) for address in addresses))


def _java(_: Configuration) -> str:
    java = find_java(os.environ)
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=JAVA_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CheckFailedError(f"{java} -version takes more than {JAVA_PATIENCE_S:g} s; set JAVA_HOME to another") from error
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if match is None:
        raise CheckFailedError(f"{java} does not work: {(answer.stderr or answer.stdout).strip()}; set JAVA_HOME to another")
    if int(match[1]) < OLDEST_JAVA:
        raise CheckFailedError(f"{java} is Java {match[1]}; {OLDEST_JAVA} or later is needed: set JAVA_HOME")
    return f"{match[1]} at {java}"


def _zookeeper(configuration: Configuration) -> str:
    installation = find_installation([configuration.root, CODE_ROOT], os.environ)
    return f"{installation.place}, which --setup unpacks" if installation.archive else installation.place


def _ports(configuration: Configuration) -> str:
    servers = ensemble.read_servers(configuration.root)
    running = ensemble.running_servers(configuration.root)
    taken = ensemble.taken_ports(servers, running)
    if taken and running:
        raise CheckFailedError(
            f"another program has {', '.join(taken)}, while {', '.join(running)} runs; type `down`, then `up`"
        )
    if taken:
        return f"another program has {', '.join(taken)}: others will be chosen"
    if not servers:
        return "will be chosen at set-up"
    state = f"{', '.join(running)} running" if running else "free"
    return f"{', '.join(server.address for server in servers)} ({state})"

"""The machine that a benchmark ran on: figures of different machines are not to be compared."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from Services.datacenter.bench.results import Parameter
from Services.fractos.config import CODE_ROOT

PACKAGES = ("grpcio", "protobuf", "numpy", "tensorflow")


def describe() -> dict[str, Parameter]:
    """Processor, memory, system, versions, how busy it is, and which code ran."""
    described: dict[str, Parameter] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }
    for name in PACKAGES:
        described[name] = _version(name)
    described["load at the start"] = " ".join(f"{load:.2f}" for load in os.getloadavg())
    described["code"] = _commit()
    return described


def _processor() -> str:
    """What the kernel calls it; elsewhere than on Linux what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the code, marked if files differ from it; "unknown" without git or outside a repository."""
    command = ["git", "-C", str(CODE_ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"

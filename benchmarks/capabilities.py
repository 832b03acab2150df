"""What capabilities cost: `python benchmarks/capabilities.py [--json]`.

In this process alone, without any node, round by round in turn, so that a slow moment of the machine hits all of them:

- to derive what a client does for each step: narrow a capability to one operation with its arguments set;
- to verify a chain of three links that no guard has seen yet, and to check a call against it;
- to check the same call through a guard that knows the chain.

Exits with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from itertools import cycle

from protos import fractos_pb2, storage_pb2
from Services.fractos.capability import NONCE_BYTES, issue_for_service, narrow, verify
from Services.fractos.guard import Guard
from Services.fractos.operations import Catalogue

NODE = "storage-0"
NOW = 1e9
EXPIRES_AT = 2e9
TARGETS_US = {"derive": 20.0, "verify": 20.0}
CHAINS = 1000  # different ones in turn, none of which a cache could know


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=30, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    figures = measure(options.rounds)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 1 if any(figures[name]["median"] > target for name, target in TARGETS_US.items()) else 0


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return median, lowest and highest of the rounds for each figure, in microseconds."""
    samples: dict[str, list[float]] = {}
    for number in range(-2, rounds):  # two rounds to warm up
        for name, call in calls().items():
            value = mean_us(call, CHAINS)
            if number >= 0:
                samples.setdefault(name, []).append(value)
    return {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in samples.items()
    }


def calls() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    key = os.urandom(32)
    operation = Catalogue.from_protos().get("storage.write_text")
    assert operation is not None
    request = storage_pb2.WriteTextRequest(client_id="admin", name="cat_image1_class.txt", text="Cat")
    named = storage_pb2.WriteTextRequest(client_id="admin", name="cat_image1_class.txt")
    guard = Guard("storage", key)
    root = issue_for_service(key, _nonce(), service="storage", client_id="admin", expires_at=EXPIRES_AT)

    def derive() -> fractos_pb2.Capability:
        return narrow(root, _nonce(), operation=operation.path, arguments=named, set=["client_id", "name"])

    def verify_next() -> None:
        verify(key, next(chains)).allow_call(operation, request, NODE)

    chains = cycle([narrow(derive(), _nonce(), node=NODE) for _ in range(CHAINS)])
    known = next(chains)
    return {
        "derive": derive,
        "verify": lambda: verify(key, next(chains)),
        "verify and check a call": verify_next,
        "check a call, chain known": lambda: guard.check_call(known, operation, request, NODE, NOW),
    }


def _nonce() -> bytes:
    return os.urandom(NONCE_BYTES)


def mean_us(call: Callable[[], object], times: int) -> float:
    """The duration of a call in microseconds: of many together, since one is too short for the clock.

    In time of the processor: a call waits for nothing, and other programs may run as well.
    """
    start = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - start) / times * 1e6


def as_text(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a table."""
    lines = [f"{'µs':30}{'median':>10}{'lowest':>10}{'highest':>10}{'target':>10}"]
    for name, figure in figures.items():
        target = f"{TARGETS_US[name]:10.0f}" if name in TARGETS_US else ""
        lines.append(f"{name:30}" + "".join(f"{figure[key]:10.1f}" for key in ("median", "lowest", "highest")) + target)
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())

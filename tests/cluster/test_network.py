"""`network show|set|cut|heal|reset`, with nodes that write down what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cluster.conftest import Datacenter

NOTHING = "nothing is said about any link: what is sent arrives as fast as this machine can"
NO_NODE = "no node runs; the links are like this when the datacenter is started"


def told(datacenter: Datacenter) -> set[str]:
    """What the nodes were told since this was asked last."""
    path = datacenter.root / "links"
    lines = set(path.read_text().splitlines()) if path.exists() else set()
    path.unlink(missing_ok=True)
    return lines


def links(datacenter: Datacenter) -> dict[str, dict[str, float]]:
    shown = json.loads(datacenter.run("network", "show", "--json"))["links"]
    return {one.pop("link"): one for one in shown}


def test_links_are_set_cut_healed_and_reset_without_any_node(datacenter: Datacenter) -> None:
    assert datacenter.run("network", "show").strip() == NOTHING
    said = datacenter.run("network", "set", "--latency-ms", "1.5", "--bandwidth-mbit", "1000")
    assert said.splitlines()[1].split() == ["*", "->", "*", "1.5", "ms", "1000", "Mbit/s"]
    assert said.splitlines()[-1] == NO_NODE
    datacenter.run("network", "set", "storage-0->math-0", "--loss", "0.1", "--both")
    datacenter.run("network", "cut", "math-1", "client")
    assert links(datacenter) == {
        "* -> *": {"latency_ms": 1.5, "bandwidth_mbit": 1000},
        "storage-0 -> math-0": {"loss": 0.1},
        "math-0 -> storage-0": {"loss": 0.1},
        "math-1 -> client": {"cut": True},
    }
    datacenter.run("network", "heal", "client", "math-1")
    assert links(datacenter)["math-1 -> client"] == {"cut": False}
    datacenter.run("network", "cut", "math-1", "client")
    datacenter.run("network", "set", "--bandwidth-mbit", "0")
    said = datacenter.run("network", "heal")
    assert "math-1" not in said
    assert "no limit" in said
    assert datacenter.run("network", "reset").splitlines() == [NOTHING, NO_NODE]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("set", "set what? give one of --latency-ms, --jitter-ms, --bandwidth-mbit, --loss"),
        ("set math-0 --loss 0.1", "'math-0' is no link: give FROM and TO"),
        ("set math-0 disk-0 --loss 0.1", "'disk-0' is no end of a link; give math-<n>, storage-<n>, client or *"),
        ("cut", "cut which link? give FROM and TO"),
        ("cut a b c", "'a b c' is no link"),
        ("heal math-0 left", "'left' is no end of a link"),
    ],
)
def test_a_link_that_cannot_be_is_refused_with_exit_code_2(datacenter: Datacenter, line: str, said: str) -> None:
    assert said in datacenter.run("network", *line.split(), expect=2)
    assert datacenter.run("network", "show").strip() == NOTHING


def test_every_node_that_lives_is_told(datacenter: Datacenter) -> None:
    datacenter.run("up")
    said = datacenter.run("network", "set", "math-0", "storage-0", "--latency-ms", "7")
    assert said.splitlines()[-1] == "in force at math-0, math-1, storage-0"
    assert told(datacenter) == {f"{name}: math-0->storage-0 7" for name in ("math-0", "math-1", "storage-0")}
    assert "the emulated network was changed (math-0 -> storage-0); see" in datacenter.run("status")
    datacenter.run("network", "reset")
    assert told(datacenter) == {f"{name}: " for name in ("math-0", "math-1", "storage-0")}
    assert "emulated network" not in datacenter.run("status")


def test_a_node_that_does_not_confirm_is_named(make_datacenter: Callable[..., Datacenter]) -> None:
    datacenter = make_datacenter()
    datacenter.run("up", SMALL_NODE_REFUSE="math-1")
    said = datacenter.run("network", "cut", "math-0", "storage-0", expect=1)
    assert "the change is kept, but not every node has confirmed it: math-1 at 127.0.0.1:" in said
    assert "(INTERNAL: it does not want to); type the same again" in said
    assert links(datacenter) == {"math-0 -> storage-0": {"cut": True}}


def test_a_damaged_file_is_said_and_made_anew(datacenter: Datacenter) -> None:
    datacenter.run("network", "set", "--latency-ms", "1")
    path = datacenter.root / "Services/config/network.json"
    path.write_text("{")
    assert f"{path} is damaged" in datacenter.run("network", "show", expect=2)
    datacenter.run("network", "reset")
    assert datacenter.run("network", "show").strip() == NOTHING

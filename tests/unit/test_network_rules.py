"""What is said about links: which rule wins, what the configuration may say, and what a node is told."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from Services.datacenter.network import EDITS, run_network
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration, load
from Services.fractos.errors import ConfigurationError, InvalidArgumentError
from Services.fractos.network_changes import change, read_state
from Services.fractos.network_rules import NONE, NetworkRules, Rule, Shape, from_proto, to_proto

CENTER = """[DataCenter]
[Controllers]
controller_names = math_controller, storage_controller, application_controller
[math_controller]
paths_to_controller = node.py
[storage_controller]
paths_to_controller = node.py
[application_controller]
paths_to_controller = node.py
"""
RULES = NetworkRules(
    (
        Rule("storage-0", "math-0", bandwidth_mbit=10),
        Rule("left", "right", latency_ms=2, bandwidth_mbit=100),
        Rule("*", "*", latency_ms=1, jitter_ms=0.5),
    ),
    (("left", ("storage-0", "storage-1")), ("right", ("math-0",))),
)


def read(root: Path, text: str) -> Configuration:
    (root / "data_center_setup.cfg").write_text(CENTER + text)
    (root / "node.py").touch()
    return load(root)


@pytest.mark.parametrize(
    ("source", "target", "shape"),
    [
        ("storage-0", "math-0", Shape(2, 0.5, 10)),
        ("storage-1", "math-0", Shape(2, 0.5, 100)),
        ("math-0", "storage-0", Shape(1, 0.5)),
        ("client", "math-0", Shape(1, 0.5)),
        ("math-0", "math-0", NONE),
        ("client", "application-3", NONE),
        ("application-3", "client", NONE),
    ],
)
def test_the_most_specific_rule_wins_for_each_key(source: str, target: str, shape: Shape) -> None:
    assert RULES.shape(source, target) == shape


def test_of_two_that_are_equally_specific_the_later_one_wins() -> None:
    rules = NetworkRules((Rule("left", "math-0", latency_ms=1), Rule("storage-0", "right", latency_ms=2)), RULES.racks)
    assert rules.shape("storage-0", "math-0").latency_ms == 2
    assert rules.changed([Rule("left", "math-0", loss=0.1)]).shape("storage-0", "math-0") == Shape(latency_ms=1, loss=0.1)


def test_a_cut_stops_both_ways_and_a_more_specific_link_may_be_spared() -> None:
    rules = RULES.changed([Rule("left", "right", cut=True)])
    assert rules.shape("storage-1", "math-0").cut
    assert rules.shape("math-0", "storage-1").cut
    spared = rules.changed([Rule("storage-1", "math-0", cut=False)])
    assert not spared.shape("storage-1", "math-0").cut
    assert spared.shape("storage-0", "math-0").cut


def test_a_node_is_told_all_that_is_said() -> None:
    rules = RULES.changed([Rule("storage-0", "client", loss=0.25, cut=True), Rule("math-0", "*", cut=False)])
    assert from_proto(to_proto(7, rules)) == rules
    assert to_proto(7, rules).serial == 7


@pytest.mark.parametrize("said", [{"latency_ms": float("nan")}, {"loss": 0.6}, {"jitter_ms": -1}])
def test_a_node_takes_nothing_that_no_link_can_be(said: dict[str, Any]) -> None:
    rule = Rule("*", "*", **said)
    with pytest.raises(InvalidArgumentError, match=r"for \* -> \*: give a number from 0 to"):
        from_proto(to_proto(1, NetworkRules((rule,))))


def test_nothing_is_said_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, "").network == NetworkRules()
    assert read(tmp_path, "[Network]\nlatency_ms = 0\n[Racks]\n").network == NetworkRules()


def test_the_configuration_says_it_for_all_for_racks_and_for_single_links(tmp_path: Path) -> None:
    text = """
[Network]
latency_ms = 1
jitter_ms = 0.5
[Racks]
left = storage-0, storage-1
right = math-0,
[Network left->right]
latency_ms = 2
bandwidth_mbit = 100
[Network  storage-0 -> math-0]
bandwidth_mbit = 10
loss = 0
"""
    network = read(tmp_path, text).network
    assert network.racks == RULES.racks
    for source, target in (("storage-0", "math-0"), ("storage-1", "math-0"), ("math-0", "storage-0")):
        assert network.shape(source, target) == RULES.shape(source, target)


def test_a_section_of_links_that_says_only_zeros_counts(tmp_path: Path) -> None:
    network = read(tmp_path, "[Network]\nlatency_ms = 5\n[Network * -> math-0]\nlatency_ms = 0\n").network
    assert network.shape("storage-0", "math-0") == NONE
    assert network.shape("math-0", "storage-0") == Shape(latency_ms=5)
    network = read(tmp_path, "[Network]\nlatency_ms = 5\n[Network * -> *]\nlatency_ms = 0\n").network
    assert network.shape("storage-0", "math-0") == NONE


@pytest.mark.parametrize(
    ("cut", "healed", "rules"),
    [
        ("* *", "storage-0 math-0", 3),
        ("storage-0 *", "math-0 storage-0", 3),
        ("storage-0 math-0", "math-0 storage-0", 2),
        ("left right", "right left", 2),
        ("storage-0 math-0", "storage-0 math-0", 1),
    ],
)
def test_a_link_that_was_healed_is_not_cut(tmp_path: Path, cut: str, healed: str, rules: int) -> None:
    configuration = read(tmp_path, "[Racks]\nleft = storage-0\nright = math-0\n")
    changes: tuple[Rule, ...] = ()
    for action, link in (("cut", cut), ("heal", healed)):
        edit = EDITS[action](configuration, Namespace(link=link.split()))
        assert edit is not None
        changes = edit(changes)
    assert not configuration.network.changed(changes).shape("storage-0", "math-0").cut
    assert not configuration.network.changed(changes).shape("math-0", "storage-0").cut
    assert len(changes) == rules, "no more is said than is needed"


def test_all_mistakes_are_told_together_with_their_remedies(tmp_path: Path) -> None:
    text = """
[Network]
latency = 1
jitter_ms = -1
loss = 0.7
[Racks]
left = storage-0, disk-1
client = math-0
right = *
[Network left -> middle]
bandwidth_mbit = fast
[Network math-0 storage-0]
"""
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert "has 9 mistakes" in said, said
    for mistake in (
        "[Network] latency = 1: unknown key, did you mean latency_ms?",
        "[Network] jitter_ms = -1: must be a number from 0 to 10000",
        "[Network] loss = 0.7: must be a number from 0 to 0.5, such as 0.01",
        "[Racks] left = disk-1: 'disk-1' is no end of a link; give application-<n>, math-<n>, storage-<n> or client",
        "[Racks] right = *: '*' is no end",
        "[Racks] client = math-0: a rack is named by letters, digits and _, and not client",
        "[Network left -> middle]: 'middle' is no end of a link; give application-<n>, math-<n>, storage-<n>, left, client",
        "[Network left -> middle] bandwidth_mbit = fast: must be a number from 0 to 100000",
        "[Network math-0 storage-0] is not a known section",
    ):
        assert mistake in said, said


def test_reset_is_a_later_change_though_the_clock_was_set_back_and_the_file_is_damaged(tmp_path: Path) -> None:
    configuration = read(tmp_path, "")
    configuration.network_path.parent.mkdir(parents=True)
    later = 1 << 50  # thousands of years of milliseconds
    for rules in ('[{"source": "*", "target": "*", "loss": 0.1}]', '"damaged"'):
        configuration.network_path.write_text(f'{{"serial": {later}, "rules": {rules}}}')
        state, _ = change(configuration, None)
        assert state.serial == later + 1
        assert read_state(configuration).serial == later + 1
    for serial in ("1e999", "-1", "1e30", '"x"'):
        configuration.network_path.write_text(f'{{"serial": {serial}, "rules": 1}}')
        assert 0 < change(configuration, None)[0].serial < later


def test_a_change_of_a_rack_that_is_gone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [Rule("left", "*", latency_ms=1), Rule("client", "right", loss=0.1), Rule("math-7", "left", cut=True)]
    configuration = read(tmp_path, "[Racks]\nright = math-0\n")
    assert configuration.network.changed(changes).lost_racks() == ["left"]
    change(configuration, lambda before: tuple(changes))
    run_network(configuration, Namespace(action="show", json=False), Screen())
    assert (
        "what is said about left counts for nothing: [Racks] in the configuration has no such rack" in capsys.readouterr().out
    )
    run_network(configuration, Namespace(action="reset"), Screen())
    assert "counts for nothing" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"serial": 1, "rules": [{"source": "*"}]}',
        '{"serial": 1, "rules": [{"source": "*", "target": "*", "loss": 2}]}',
    ],
)
def test_a_damaged_file_of_changes_is_said_with_its_remedy(tmp_path: Path, content: str) -> None:
    configuration = read(tmp_path, "")
    configuration.network_path.parent.mkdir(parents=True)
    configuration.network_path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"network\.json is damaged .*: python3 run_datacenter\.py network reset"):
        read_state(configuration)

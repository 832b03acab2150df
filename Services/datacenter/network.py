"""`run_datacenter.py network`: shows, changes and cuts the links of the emulated network while the datacenter runs."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from Services.datacenter.next_command import to_type
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration
from Services.fractos.errors import InvalidArgumentError
from Services.fractos.network_changes import Edit, NetworkState, change, read_state
from Services.fractos.network_rules import ALL, MAXIMUM, NetworkRules, Rule
from Services.fractos.network_settings import fault_of

DESCRIPTION = """Shows, changes and cuts the links of the emulated network, and returns when every node that lives has confirmed
it. A link leads FROM one node TO another; a rack, client or "*" (all) may stand for a node. Changes last until `network reset`,
also when the datacenter is started again. Without them the links are as [Network] in data_center_setup.cfg says."""
ACTIONS = {
    "show": "Shows what is said about the links. The more specific a line is, the more it counts.",
    "set": "Changes links: one, or all without FROM and TO. What is not given stays as it is.",
    "cut": "Cuts links: nothing arrives any more, neither there nor back, and connections break as those of real networks do.",
    "heal": "Ends cuts: of some links, or all without FROM and TO.",
    "reset": "Has the links be as the configuration says.",
}
UNITS = {"latency_ms": "ms", "jitter_ms": "ms", "bandwidth_mbit": "Mbit/s", "loss": ""}
_SEPARATOR = re.compile(r"\s*->\s*|\s+")


def add_arguments(parser: argparse.ArgumentParser, place: argparse.ArgumentParser) -> None:
    """The actions and their flags."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, description in ACTIONS.items():
        action = actions.add_parser(
            name, parents=[place], help=description.partition(":")[0].rstrip("."), description=description
        )
        if name in {"set", "cut", "heal"}:
            action.add_argument("link", nargs="*", metavar="NODE", help="FROM TO, or FROM->TO in quotation marks")
        if name == "show":
            action.add_argument("--json", action="store_true", help="for programs")
        if name == "set":
            for key, highest in MAXIMUM.items():
                flag = f"--{key.replace('_', '-')}"
                action.add_argument(flag, type=_number(highest), metavar="N", help=f"0 to {highest:g} {UNITS[key]}".rstrip())
            action.add_argument("--both", action="store_true", help="the link back as well")


def run_network(configuration: Configuration, options: argparse.Namespace, screen: Screen) -> int:
    """Do what was asked. Raises InvalidArgumentError for a link that cannot be, UnavailableError if a node does not confirm."""
    if options.action == "show":
        _show(configuration.root, read_state(configuration), screen, as_json=options.json)
        return 0
    state, told = change(configuration, EDITS[options.action](configuration, options))
    _show(configuration.root, state, screen, as_json=False)
    names = ", ".join(told)
    screen.say(f"in force at {names}" if told else "no node runs; the links are like this when the datacenter is started")
    return 0


def _set(configuration: Configuration, options: argparse.Namespace) -> Edit:
    said = {key: value for key in MAXIMUM if (value := getattr(options, key)) is not None}
    if not said:
        raise InvalidArgumentError(f"set what? give one of {', '.join('--' + key.replace('_', '-') for key in MAXIMUM)}")
    source, target = _ends(configuration, options.link) or (ALL, ALL)
    rules = [Rule(source, target, **said)]
    if options.both and source != target:
        rules.append(Rule(target, source, **said))
    return lambda before: NetworkRules(before).changed(rules).rules


def _cut(configuration: Configuration, options: argparse.Namespace) -> Edit:
    ends = _ends(configuration, options.link)
    if ends is None:
        raise InvalidArgumentError("cut which link? give FROM and TO, for example: network cut storage-0 math-0")
    return cut(ends)


def cut(ends: tuple[str, str]) -> Edit:
    """Cut the link between two ends."""
    return lambda before: NetworkRules(before).changed([Rule(*ends, cut=True)]).rules


def _heal(configuration: Configuration, options: argparse.Namespace) -> Edit:
    ends = _ends(configuration, options.link)
    return _without_cuts if ends is None else healed(configuration, ends)


def healed(configuration: Configuration, ends: tuple[str, str]) -> Edit:
    """End the cut between two ends, whatever has cut them."""

    def heal(before: tuple[Rule, ...]) -> tuple[Rule, ...]:
        healed = NetworkRules(before).changed([Rule(*ends, cut=False)])
        if configuration.network.changed(healed.rules).shape(*ends).cut:  # by what is said of the way back, or of more links
            healed = healed.changed([Rule(*ends[::-1], cut=False)])
        return healed.rules

    return heal


def _without_cuts(before: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(rule for one in before if (rule := replace(one, cut=None)).said)


EDITS: dict[str, Callable[[Configuration, argparse.Namespace], Edit | None]] = {
    "set": _set,
    "cut": _cut,
    "heal": _heal,
    "reset": lambda configuration, options: None,
}


def _ends(configuration: Configuration, words: Sequence[str]) -> tuple[str, str] | None:
    """Both ends of a link that was typed; None if none was."""
    if not words:
        return None
    ends = _SEPARATOR.split(" ".join(words).strip())
    if len(ends) != 2:
        raise InvalidArgumentError(f"{' '.join(words)!r} is no link: give FROM and TO, for example: storage-0 math-0")
    node_types = [controller.node_type for controller in configuration.controllers]
    racks = [name for name, _ in configuration.network.racks]
    for end in ends:
        if fault := fault_of(end, node_types, racks):
            raise InvalidArgumentError(fault)
    return ends[0], ends[1]


def _show(root: Path, state: NetworkState, screen: Screen, *, as_json: bool) -> None:
    rules = state.rules.rules
    if as_json:
        links = [{"link": rule.link, **rule.said} for rule in rules]
        print(
            json.dumps(
                {
                    "links": links,
                    "racks": dict(state.rules.racks),
                    "changed": [one.link for one in state.changes],
                    "lost_racks": state.rules.lost_racks(),
                },
                indent=2,
            )
        )
        return
    if rules:
        columns = zip(("link", "latency", "jitter", "bandwidth", "loss", ""), *map(_row, rules), strict=True)
        said = [column for column in columns if any(column[1:])]
        screen.grid([column[0] for column in said], list(zip(*(column[1:] for column in said), strict=True)))
    else:
        screen.say("nothing is said about any link: what is sent arrives as fast as this machine can")
    if lost := state.rules.lost_racks():
        screen.say(f"what is said about {', '.join(lost)} counts for nothing: [Racks] in the configuration has no such rack")
    if state.changes:
        changed = ", ".join(rule.link for rule in state.changes)
        screen.say(f"changed: {changed}; back to the configuration: {to_type(root, 'network reset')}")


def _row(rule: Rule) -> list[str]:
    said = rule.said
    values = [f"{said[key]:g} {unit}".rstrip() if key in said else "" for key, unit in UNITS.items()]
    if said.get("bandwidth_mbit") == 0:
        values[2] = "no limit"
    return [rule.link, *values, {True: "cut", False: "not cut"}.get(said.get("cut", ""), "")]


def _number(highest: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not 0 <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text}: give a number from 0 to {highest:g}")
        return value

    return number

"""The page of the configuration: keys, values and defaults as `config.py` asks for them, explained as in the file itself."""

from __future__ import annotations

import re
from pathlib import Path

from docs.markdown import code, table
from Services.fractos.config import CONFIGURATION_FILE, interpret
from Services.fractos.network_settings import NETWORK
from Services.fractos.settings_file import Key, Sections

INTRODUCTION = f"""\
# Configuration

`{CONFIGURATION_FILE}` in the datacenter's folder. Relative paths start at that folder. All mistakes in it are reported
together, each with its section, key, value and remedy: `python3 run_datacenter.py check`. A change takes effect with
`python3 run_datacenter.py down` and `python3 run_datacenter.py`.
"""
CONTROLLER = "<kind>_controller"
CONTROLLER_NOTE = (
    "A section for each name in `controller_names`. The part before `_controller` is the type of its nodes: the node types"
    " are those of the files in `protos/`.\n\n"
)
NETWORK_NOTE = (
    "About all links of the emulated [network](../network.md). A section `[Network A -> B]` has the same keys, for the links"
    " from A to B, each a node, a rack, `client` or `*`; in `[Racks]` each key is the name of a rack, and its value the nodes"
    " in it, with commas between them.\n\n"
)
KEY_LINE = re.compile(r"#?\s*([a-z][a-z0-9_]*)\s*=")
DEFAULT = re.compile(r"\s*Default: (\S+)")

Name = tuple[str, str]  # section, key


def page(root: Path) -> str:
    """The page's text. Raises ValueError for a key that the file does not explain, or explains with another default.

    Of a key that may be set, but was not asked for, the file's explanation is all that is known.
    """
    path = root / CONFIGURATION_FILE
    sections = Sections.read(path)
    interpret(sections, root)
    keys = {name: Key("", "") for name in sorted(sections.known - sections.asked.keys())} | sections.asked
    asked = {_general(name): key for name, key in keys.items()}
    explained = explanations(path.read_text(encoding="utf-8"))
    parts = []
    for section in dict.fromkeys(section for section, _ in asked):
        rows = [_row(name, key, explained) for name, key in asked.items() if name[0] == section]
        note = {CONTROLLER: CONTROLLER_NOTE, NETWORK: NETWORK_NOTE}.get(section, "")
        parts.append(f"\n## `[{section}]`\n\n{note}" + table(("Key", "Values", "Default", "What it does"), *rows))
    return INTRODUCTION + "".join(parts)


def explanations(text: str) -> dict[Name, str]:
    """The comment above each key of a configuration file; also above one that is there as a comment itself."""
    found: dict[Name, str] = {}
    section = ""
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            section, comment = line.strip("[] "), []
        elif match := KEY_LINE.match(line):
            found.setdefault(_general((section, match[1])), " ".join(comment))
            comment = []
        elif line.startswith("#"):
            comment.append(line.lstrip("# "))
        else:
            comment = []
    return {name: explanation for name, explanation in found.items() if explanation}


def _general(name: Name) -> Name:
    """The same key for all controllers."""
    section, key = name
    return (CONTROLLER, key) if section.endswith("_controller") else name


def _row(name: Name, key: Key, explained: dict[Name, str]) -> tuple[str, str, str, str]:
    """A row of the table, checked: what the file says about a default must be so."""
    if name not in explained:
        raise ValueError(f"[{name[0]}] {name[1]} has no comment above it in {CONFIGURATION_FILE}; explain it there")
    explanation = explained[name]
    said = DEFAULT.search(explanation)
    default = key.default or (said[1] if said and not key.admitted else "none")
    if said and said[1] != default:
        raise ValueError(f"{CONFIGURATION_FILE} says that [{name[0]}] {name[1]} is by default {said[1]}; it is {default}")
    return code(name[1]), key.admitted, default if default == "none" else code(default), DEFAULT.sub("", explanation)

"""`new node NAME` and `new application NAME`: the files that one of your own begins with, ready to run."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from Services.datacenter.new_files import write_files
from Services.datacenter.new_node import (
    adaptor_file,
    can_generate,
    class_name,
    controller_script,
    device_file,
    folder_of,
    node_files,
    proto_file,
)
from Services.datacenter.next_command import to_type
from Services.datacenter.screen import Screen
from Services.datacenter.settings_text import with_controller
from Services.fractos.config import CODE_ROOT, CONFIGURATION_FILE, Configuration, write_atomically
from Services.fractos.errors import InvalidArgumentError
from Services.fractos.graph import TaskGraph
from Services.fractos.operations import NOT_DEVICES

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 20  # the lines of the skeletons are as long as lines here may be, then
RESERVED = {"client", "google", "mockdc", "supervisor", "zookeeper"}  # they name something else where nodes are named
TEMPLATE = Path("Applications/application_template.py")

DESCRIPTION = "Writes the files that a new kind of node, or a new application, begins with. They run as they are."
NODE = (
    "Makes a kind of node: a proto with one operation for an example, the code that is generated from it, a Device, an Adaptor"
    " and a Controller, and a section in data_center_setup.cfg."
)
APPLICATION = "Makes a program in Applications/ with one marked place to change."
BOUNDS = "Nothing is overwritten: where something has that name already, nothing is changed."


def add_arguments(parser: argparse.ArgumentParser, place: argparse.ArgumentParser) -> None:
    """The kinds of things that can be made; `place` has the flag --path."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, says, description in (("node", "a kind of node", NODE), ("application", "a program", APPLICATION)):
        one = kinds.add_parser(kind, parents=[place], help=says, description=f"{description} {BOUNDS}")
        one.add_argument("name", metavar="NAME", help="small letters and digits, with '_' between words")


def run_new(configuration: Configuration, options: argparse.Namespace, screen: Screen) -> int:
    """Make what was asked for and say what to type next.

    Raises InvalidArgumentError for a name that cannot be, AlreadyExistsError for one that is taken; nothing has changed then.
    """
    KINDS[options.kind](configuration, options.name, screen)
    return 0


def _new_node(configuration: Configuration, name: str, screen: Screen) -> None:
    _check_name("a kind of node", name)
    if name in RESERVED | NOT_DEVICES or hasattr(TaskGraph, name) or keyword.iskeyword(class_name(name)):
        raise InvalidArgumentError(f"a kind of node cannot be called {name!r}, which means something else; choose another")
    home = _home(configuration)
    settings = configuration.root / CONFIGURATION_FILE
    text = with_controller(configuration, settings, name, controller_script(name))
    with write_files(home, node_files(home, name), taken=[folder_of(name)], say=screen.say):
        write_atomically(settings.resolve(), text)
    screen.say(f"added [{name}_controller] to {settings}")
    if not can_generate():
        screen.say("its code could not be generated, since grpcio-tools is missing; before anything else type:")
        screen.command(f"{_quoted(Path(sys.executable))} -m pip install grpcio-tools")
        screen.command(f"{_in(home)}make protos")
    screen.say(f"it runs as it is, with graph.{name}.reverse(array=...) for an example; to start it, type:")
    for command in ("down", "up"):
        screen.command(to_type(configuration.root, command, home))
    screen.say("to make it your own, change these; after the first one type: make protos")
    for file in (proto_file(name), device_file(name), adaptor_file(name)):
        screen.command(str(file))


def _new_application(configuration: Configuration, name: str, screen: Screen) -> None:
    _check_name("an application", name)
    if importlib.util.find_spec(name):
        raise InvalidArgumentError(
            f"an application cannot be called {name!r}: all programs beside it would import it in place of the Python module"
            " of that name; choose another"
        )
    home = _home(configuration)
    path = TEMPLATE.with_name(f"{name}.py")
    text = (CODE_ROOT / TEMPLATE).read_text(encoding="utf-8")
    text = text.replace(TEMPLATE.name, path.name).replace(", to be copied and changed", "")
    text = text.replace('"my application"', f'"{name.replace("_", " ")}"')
    with write_files(home, {path: text}, taken=[path.with_suffix("")], say=screen.say):
        pass
    screen.say("it runs as it is, in a datacenter that runs:")
    screen.command(to_type(configuration.root, "up", home))
    where = "" if home == configuration.root else f"MOCKDC_PATH={_quoted(configuration.root)} "
    screen.command(f"{where}python3 {path if home == CODE_ROOT else _quoted(home / path)}")


def _check_name(what: str, name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME or keyword.iskeyword(name):
        near = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        usable = NAME.fullmatch(near) and len(near) <= LONGEST_NAME and not keyword.iskeyword(near)
        raise InvalidArgumentError(
            f"{what} cannot be called {name!r}: its name is 1 to {LONGEST_NAME} small letters and digits, with '_' between"
            f" words and a letter first, and no word of Python's own" + (f"; did you mean {near}?" if usable else "")
        )


def _home(configuration: Configuration) -> Path:
    """Where code goes: into the datacenter's folder if that is a copy of the project, else to where this program is."""
    return configuration.root if (configuration.root / "protos/fractos.proto").is_file() else CODE_ROOT


def _in(home: Path) -> str:
    return "" if home == CODE_ROOT else f"cd {_quoted(home)} && "


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


KINDS: dict[str, Callable[[Configuration, str, Screen], None]] = {"node": _new_node, "application": _new_application}

"""Changes the text of a data_center_setup.cfg and leaves its comments and its order as they are. Used by `new`."""

from __future__ import annotations

import re
from pathlib import Path

from Services.fractos.config import Configuration
from Services.fractos.errors import AlreadyExistsError, FailedPreconditionError
from Services.fractos.settings_file import Sections

NAMES = re.compile(r"^(?P<key>controller_names[ \t]*[=:][ \t]*)", re.IGNORECASE | re.MULTILINE)


def with_controller(configuration: Configuration, path: Path, node_type: str, script: Path) -> str:
    """The text of the file `path`, which `configuration` was read from, with one node of a further kind, started by `script`.

    Raises AlreadyExistsError if there is a section of its name, FailedPreconditionError if the file is too unusual for this.
    """
    text = path.read_bytes().decode()  # with its line ends
    section = f"{node_type}_controller"
    if Sections.read(path).named(re.escape(section)):
        raise AlreadyExistsError(f"[{section}] is in {path} already; choose another name, or remove the section")
    first = configuration.controllers[0]
    lines = [
        f"[{section}]",
        f"paths_to_controller = {script.as_posix()}",
        "replicas = 1",
        f"verbose = {first.verbose}",
        f"zookeeper = {first.zookeeper}",
    ]
    before, header, after = text.partition("[Controllers]")
    # In front of the names that are there, which may go on in further lines or end with a comment.
    changed = before + header + NAMES.sub(rf"\g<key>{section}, ", after, count=1)
    end = "\r\n" if "\r\n" in text else "\n"
    changed = changed.rstrip() + end + end + end.join(lines) + end
    controllers = Sections.parse(changed.removeprefix("\ufeff"), path).section("Controllers", {"controller_names"})
    if controllers.names("controller_names", r".+") != (section, *(one.section for one in configuration.controllers)):
        raise FailedPreconditionError(
            f"{path} is written in a way that is not understood here: give [Controllers] a line controller_names = ..., then"
            " try again"
        )
    return changed

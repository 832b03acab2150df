"""The names of clients and of their files: which ones there can be. Nothing here looks at the disk."""

from __future__ import annotations

import os
import re

from Services.fractos.errors import InvalidArgumentError

MAX_NAME_BYTES = 1024  # of a whole name, in UTF-8
MAX_PART_BYTES = 255  # of a file's or a folder's own name; the limit of most file systems
OWN_FOLDER = ".mockdc"  # in the storage folder: what the node keeps for itself
MAX_PARTS = 32  # how deep subfolders go

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\/]")
_TEMPORARY = re.compile(r"\.writing-[0-9a-f]{16}")


def path_of(client_id: str, name: str) -> tuple[str, ...]:
    """Return the path of a file below the storage folder: the client's folder, subfolders, the file.

    Raises InvalidArgumentError for what cannot be a client or a file of one.
    """
    return (folder_of(client_id), *_checked(name, "name", name.split("/")))


def folder_of(client_id: str) -> str:
    """Return the name of a client's folder, which is the client's id. Raises InvalidArgumentError if it cannot be one."""
    _checked(client_id, "client_id", [client_id])
    if client_id == OWN_FOLDER:
        raise InvalidArgumentError(
            f"client_id {client_id!r} is kept for the storage node itself; choose another", field="client_id"
        )
    return client_id


def is_name(name: str) -> bool:
    """Whether a file can be asked for under that name."""
    return not _fault(name, name.split("/"))


def temporary() -> str:
    """Return a fresh name for a file that is being written. Clients cannot use such names."""
    return f".writing-{os.urandom(8).hex()}"


def is_temporary(part: str) -> bool:
    """Whether a file's own name is one that `temporary` makes."""
    return _TEMPORARY.fullmatch(part) is not None


def _checked(whole: str, field: str, parts: list[str]) -> list[str]:
    if fault := _fault(whole, parts):
        shown = whole if len(whole) <= 100 else f"{whole[:100]}…"
        raise InvalidArgumentError(f"{field} {shown!r} {fault}", field=field)
    return parts


def _fault(whole: str, parts: list[str]) -> str:
    """What is wrong with a name; empty if nothing is."""
    if whole.startswith("/"):
        return "is absolute; names start in the client's own folder"
    if len(parts) > MAX_PARTS:
        return f"has {len(parts)} parts; {MAX_PARTS} are allowed"
    size = len(whole.encode(errors="replace"))
    if size > MAX_NAME_BYTES:
        return f"is {size} bytes long; {MAX_NAME_BYTES} are allowed"
    return next(filter(None, map(_fault_of_part, parts)), "")


def _fault_of_part(part: str) -> str:
    if not part:
        return "is empty, or empty beside a '/'"
    if part in {".", ".."}:
        return f"contains {part!r}; name files by their way down from the client's own folder"
    if forbidden := _FORBIDDEN.search(part):
        return f"contains the character {forbidden[0]!r}; leave it out (in a file's name, '/' separates subfolders)"
    try:
        size = len(part.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > MAX_PART_BYTES:
        return f"has a part of {size} bytes; {MAX_PART_BYTES} are allowed"
    return "is kept for files that are being written; choose another" if is_temporary(part) else ""

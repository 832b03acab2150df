"""Which names there can be."""

from __future__ import annotations

import pytest

from Services.fractos.errors import InvalidArgumentError
from Services.StorageNode.Node import names


@pytest.mark.parametrize(
    "name", ["a", "a.txt", "a/b/c.txt", "..a", "a..", "...", " ", "a b", "-n", "~", "é" * 127, "日本/猫.jpg", "a:b", ".hidden"]
)
def test_names_of_files(name: str) -> None:
    assert names.path_of("admin", name) == ("admin", *name.split("/"))
    assert names.is_name(name)


BAD_PARTS = {
    "": "is empty",
    ".": "contains '.'",
    "..": r"contains '\.\.'",
    "a\0b": r"character '\\x00'",
    "a\nb": r"character '\\n'",
    "a\x7f": r"character '\\x7f'",
    "a\\b": r"character '\\\\'",
    "\ud800": "not valid Unicode",
    "a" * 256: "part of 256 bytes; 255 are allowed",
    "é" * 128: "part of 256 bytes; 255 are allowed",
    ".writing-0123456789abcdef": "kept for files that are being written",
}
BAD_NAMES = {
    "/etc/passwd": "is absolute",
    "/": "is absolute",
    "../x": r"contains '\.\.'",
    "a/../../x": r"contains '\.\.'",
    "a//b": "empty beside a '/'",
    "a/": "empty beside a '/'",
    "a/./b": r"contains '\.'",
    "/".join(["a" * 99] * 11): "is 1099 bytes long; 1024 are allowed",
    "a/" * 32 + "a": "has 33 parts; 32 are allowed",
}


@pytest.mark.parametrize(("name", "fault"), [*BAD_PARTS.items(), *BAD_NAMES.items()])
def test_what_is_no_name_of_a_file(name: str, fault: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^name '.*{fault}") as caught:
        names.path_of("admin", name)
    assert caught.value.field == "name"
    assert len(caught.value.message) < 300
    assert not names.is_name(name)


@pytest.mark.parametrize(
    ("client_id", "fault"), [*BAD_PARTS.items(), ("a/b", "character '/'"), ("/", "is absolute"), ("../admin", "'/'")]
)
def test_what_is_no_client(client_id: str, fault: str) -> None:
    for check in (names.folder_of, lambda client: names.path_of(client, "a.txt")):
        with pytest.raises(InvalidArgumentError, match=f"^client_id '.*{fault}") as caught:
            check(client_id)
        assert caught.value.field == "client_id"


def test_temporary_names_are_fresh() -> None:
    assert len({names.temporary() for _ in range(100)}) == 100
    assert not names.is_temporary(".writing-me")

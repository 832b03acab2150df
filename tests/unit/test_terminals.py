"""Which terminals are chosen, and the commands that open them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from Services.datacenter import terminals
from Services.fractos.errors import FailedPreconditionError

SCREEN = {"DISPLAY": ":0"}


def install(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in programs else None)


@pytest.mark.parametrize(
    ("environment", "on_terminal", "programs", "chosen"),
    [
        (SCREEN, True, ["gnome-terminal", "tmux"], "gnome-terminal"),
        ({"WAYLAND_DISPLAY": "wayland-0"}, False, ["gnome-terminal"], "gnome-terminal"),
        (SCREEN, True, ["tmux"], "tmux"),
        ({}, True, ["gnome-terminal", "tmux"], "tmux"),
        ({"DISPLAY": ""}, True, ["gnome-terminal"], "none"),
        ({}, False, ["gnome-terminal", "tmux"], "none"),
        (SCREEN, True, [], "none"),
    ],
)
def test_auto_takes_what_would_be_seen(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], on_terminal: bool, programs: list[str], chosen: str
) -> None:
    install(monkeypatch, *programs)
    assert terminals.choose("auto", environment, on_terminal=on_terminal) == chosen


def test_what_is_asked_for_is_taken_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "gnome-terminal", "tmux")
    assert terminals.choose("none", SCREEN, on_terminal=True) == "none"
    assert terminals.choose("tmux", {}, on_terminal=False) == "tmux"
    with pytest.raises(FailedPreconditionError, match="neither DISPLAY nor WAYLAND_DISPLAY is set"):
        terminals.choose("gnome-terminal", {}, on_terminal=True)
    install(monkeypatch)
    with pytest.raises(FailedPreconditionError, match="there is no tmux in PATH"):
        terminals.choose("tmux", {}, on_terminal=True)


def test_the_socket_of_tmux_is_named_from_the_folder_and_the_users_settings_are_left_out() -> None:
    command = terminals.tmux(Path("/"), "math-0", ["tail", "-F", "math-0.log"])
    assert command[:5] == ["tmux", "-f", "/dev/null", "-S", ".mockdc/tmux"]
    assert command[-5:] == ["-n", "math-0", "tail", "-F", "math-0.log"]

"""What to type next: commands of this launcher as its messages give them, to be copied."""

from __future__ import annotations

import shlex
from pathlib import Path

from Services.fractos.config import CODE_ROOT


def to_type(root: Path, command: str = "", home: Path | None = None) -> str:
    """A command for the datacenter in `root`, with this launcher, or that of the copy of the project in `home`."""
    home = home or CODE_ROOT
    program = "run_datacenter.py" if home == CODE_ROOT else shlex.quote(str(home / "run_datacenter.py"))
    place = "" if home == root else f"--path {shlex.quote(str(root))}"
    return " ".join(word for word in ("python3", program, command, place) if word)

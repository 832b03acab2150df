"""What a shell has to know in order to complete the commands and flags of `run_datacenter.py`."""

from __future__ import annotations

import argparse
from pathlib import Path

import shtab

# Mostly the program is typed as `python3 run_datacenter.py`, and there shells ask the completion of python3. That of zsh hands
# on to the program's, bash has none.
BASH_PYTHON = r"""
_run_datacenter_by_python() {
  [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == *run_datacenter.py ]] || return 0
  COMP_WORDS=("${COMP_WORDS[@]:1}")
  COMP_CWORD=$((COMP_CWORD - 1))
  _shtab_run_datacenter_py
}
complete -o bashdefault -o default -F _run_datacenter_by_python python3
"""
SHELLS = ("bash", "zsh")


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The program, in the language of one of the `SHELLS`, that sets up the completion of a parser's command line."""
    _complete_paths(parser)
    return shtab.complete(parser, shell) + (BASH_PYTHON if shell == "bash" else "")


def _complete_paths(parser: argparse.ArgumentParser) -> None:
    """Have every argument that is a path completed as one, also those of the commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _complete_paths(command)
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]

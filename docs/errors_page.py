"""The page of errors: the tree of `Services/fractos/errors.py` as a table."""

from __future__ import annotations

from pathlib import Path

from docs.markdown import code, table
from Services.fractos.errors import BY_STATUS, FractosError

INTRODUCTION = """\
# Errors

Whatever goes wrong for a user is one of these, in Python as an exception of `Services/fractos/errors.py` and in any other
language as the gRPC status beside it. The message says what was wrong (the value), where it came from and what to do.

"""
ATTRIBUTES = """
Each has `message`, `field` (the argument at fault), `retryable` (the same call may succeed later), `retry_after_s` (seconds
to wait before that), `definite` (what was asked for has certainly not happened) and, if a run failed, `context`: run, step,
operation, node, attempt, causes and log file. In other languages they come as `google.rpc` details:
[other languages](../other_languages.md#what-comes-with-an-error).
"""


def page(root: Path) -> str:
    """The page's text."""
    head = ("Error", "gRPC status", "What it means", "May be tried again")
    return INTRODUCTION + table(head, *(_row(kind) for kind in _all(FractosError))) + ATTRIBUTES


def _all(kind: type[FractosError]) -> list[type[FractosError]]:
    """An error and those under it, as deep as they are."""
    return [kind, *(below for child in kind.__subclasses__() for below in _all(child))]


def _row(kind: type[FractosError]) -> tuple[str, str, str, str]:
    below = "" if BY_STATUS[kind.status] is kind else f" (an {code(BY_STATUS[kind.status].__name__)})"
    meaning = "Base of all others; for a status that has no error of its own." if kind is FractosError else kind.__doc__ or ""
    return code(kind.__name__) + below, code(kind.status), " ".join(meaning.split()), _again(kind)


def _again(kind: type[FractosError]) -> str:
    if kind("").retryable:
        return "yes"
    return "if `retry_after_s` is set" if kind("", retry_after_s=1.0).retryable else "no"

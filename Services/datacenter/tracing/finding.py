"""Which run is meant: an id, the beginning or the end of one, or `last`."""

from __future__ import annotations

import re
from pathlib import Path

from protos import application_pb2
from Services.datacenter.next_command import to_type
from Services.fractos.errors import InvalidArgumentError, NotFoundError
from Services.fractos.oversight import Oversight

LAST = "last"
SHOWN_DIGITS = 8  # the end of an id: random, while runs of the same minute have the same beginning
FEWEST_DIGITS = 6
SEARCHED = 10_000  # runs, the newest ones, that a part of an id is looked for in
_WHOLE = 32


async def find_run(oversight: Oversight, written: str, root: Path) -> application_pb2.RunDescription:
    """All that is known of the run that is meant, in the datacenter in `root`.

    Raises what `find_id` does, and NotFoundError if nothing is known of the run any more.
    """
    digits = await find_id(oversight, written, root)
    try:
        return await oversight.describe_run(bytes.fromhex(digits))
    except NotFoundError as error:
        raise NotFoundError(f"there is no run {digits}; {_kept(root)}") from error


async def find_id(oversight: Oversight, written: str, root: Path) -> str:
    """The whole id of the run that is meant.

    Raises InvalidArgumentError if that is no id or fits several runs, NotFoundError, and UnavailableError if no application
    node answers.
    """
    digits = written.lower().replace("-", "")
    if digits != LAST and not re.fullmatch(rf"[0-9a-f]{{{FEWEST_DIGITS},{_WHOLE}}}", digits):
        raise InvalidArgumentError(
            f"{written!r} is no run: give its id, {FEWEST_DIGITS} or more digits of its beginning or end, or {LAST!r};"
            f" there is a list: {to_type(root, 'runs')}"
        )
    if len(digits) == _WHOLE:
        return digits
    runs = await oversight.runs(SEARCHED)
    if digits == LAST:
        runs = sorted(runs, key=lambda run: run.submitted_at)[-1:]
    else:
        runs = [run for run in runs if run.run_id.hex().startswith(digits) or run.run_id.hex().endswith(digits)]
    if not runs:
        what = "there was no run yet" if digits == LAST else f"no run has an id that begins or ends with {written}"
        raise NotFoundError(f"{what}; {_kept(root)}")
    if len(runs) > 1:
        ids = ", ".join(run.run_id.hex() for run in runs[:3]) + (", ..." if len(runs) > 3 else "")
        raise InvalidArgumentError(f"{written} fits {len(runs)} runs: {ids}; give more digits")
    return runs[0].run_id.hex()


def _kept(root: Path) -> str:
    return (
        f"list those there are: {to_type(root, 'runs')}. A run is known until journal_keep_s (data_center_setup.cfg) after its"
        " deadline, the last 1,000 as long as their application node lives"
    )

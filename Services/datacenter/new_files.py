"""Writes new files, all or none, and over nothing that is there. Used by `new`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from Services.fractos.errors import AlreadyExistsError


@contextmanager
def write_files(home: Path, files: Mapping[Path, str], *, taken: Iterable[Path], say: Callable[[str], None]) -> Iterator[None]:
    """Write files, their paths relative to `home`, and say which; if the work within fails, all of them go again.

    Raises AlreadyExistsError before anything is written if one of them, or one of `taken`, is there.
    """
    for path in (*taken, *files):
        if (home / path).exists():
            raise AlreadyExistsError(f"{home / path} is there already; choose another name, or move it away")
    made: list[Path] = []  # folders before what is in them
    try:
        for path, text in files.items():
            _make(home / path, text, made)
        yield
    except BaseException:
        for path in reversed(made):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        raise
    for path in files:
        say(f"wrote {path}")


def _make(path: Path, text: str, made: list[Path]) -> None:
    for folder in reversed([one for one in path.parents if not one.exists()]):
        folder.mkdir()
        made.append(folder)
    made.append(path)
    path.write_text(text, encoding="utf-8")

"""Steps that the tests of the storage Device make changes for, and what is remembered of them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from Services.fractos.step import Step

LATE = 4e9  # Unix time: in the year 2096


def step(key: str, deadline: float = LATE) -> Step:
    """The step with that key."""
    return Step(key, deadline)


def database(root: Path) -> Path:
    """Where the entries of a storage folder are."""
    return root / ".mockdc" / "changes.db"


def entries(root: Path) -> list[tuple[str, str | None]]:
    """Key and temporary name of each entry, as another process reads them. The name goes when the entry is marked."""
    connection = sqlite3.connect(database(root))
    try:
        return connection.execute("SELECT step_key, temporary FROM changes ORDER BY id").fetchall()
    finally:
        connection.close()

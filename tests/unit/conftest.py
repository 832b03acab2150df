"""Fixtures for the unit tests."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def in_a_zone() -> Iterator[None]:
    """The time zone ABC, two hours east of Greenwich."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "ABC-2")
        time.tzset()
        yield
    time.tzset()

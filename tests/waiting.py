"""How tests wait: by polling with a deadline, on an event loop of their own or without one."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

Parameters = ParamSpec("Parameters")

TIMEOUT_S = 30.0


async def eventually(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Wait until `condition()` is true. Fails if it is not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {condition}"
        await asyncio.sleep(0.005)


def wait_until(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """The same without an event loop."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {condition}"
        time.sleep(0.005)


def on_event_loop(test: Callable[Parameters, Coroutine[Any, Any, None]]) -> Callable[Parameters, None]:
    """Make a test of a coroutine function. Fails if it leaves a task running."""

    async def watched(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        await test(*args, **kwargs)
        await eventually(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        asyncio.run(watched(*args, **kwargs))

    return run

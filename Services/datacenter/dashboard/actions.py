"""What the buttons of the page do. One at a time; each is told to every page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from Services.datacenter import launcher
from Services.datacenter.dashboard import links
from Services.datacenter.dashboard.audience import Audience
from Services.datacenter.dashboard.examples import EXAMPLES, Again, compare
from Services.datacenter.dashboard.faults import Faults
from Services.datacenter.dashboard.looking import Looking
from Services.datacenter.dashboard.mailbox import Json
from Services.fractos.config import Configuration, load
from Services.fractos.errors import FailedPreconditionError, InvalidArgumentError

Act = Callable[[Json], Awaitable[Json]]


class Actions:
    """Of one datacenter. Lives on an event loop."""

    def __init__(self, root: Path, audience: Audience, looking: Looking) -> None:
        self._root = root
        self._audience = audience
        self._looking = looking
        self._faults = Faults(root)
        self._again = Again(lambda text: audience.note([text]))
        self._alone = asyncio.Lock()
        self._comparing = False
        self.rest()
        self._acts: dict[str, Act] = {
            "kill": lambda asked: self._blocking(lambda: self._faults.kill(_text(asked, "node"))),
            "stop": lambda asked: self._blocking(lambda: self._faults.stop(_text(asked, "node"))),
            "continue": lambda asked: self._blocking(lambda: self._faults.go_on(_text(asked, "node"))),
            "restart": lambda asked: self._blocking(lambda: self._faults.restart(self._configuration(), _text(asked, "node"))),
            "slow": lambda asked: self._blocking(
                lambda: links.slow_link(self._configuration(), *_ends(asked), _number(asked, "latency_ms"))
            ),
            "cut": lambda asked: self._blocking(lambda: links.cut_link(self._configuration(), *_ends(asked)), note=False),
            "heal": lambda asked: self._blocking(lambda: links.heal_link(self._configuration(), *_ends(asked)), note=False),
            "reset": lambda asked: self._blocking(lambda: links.reset_links(self._configuration())),
            "compare": self._compare,
            "again": self._run_again,
        }

    async def do(self, asked: Json) -> Json:
        """Do it. Raises the error that says why not: InvalidArgumentError if it cannot be meant."""
        act = self._acts.get(_text(asked, "act"))
        if act is None:
            raise InvalidArgumentError(f"there is no act {_text(asked, 'act')[:40]!r}; there is {', '.join(self._acts)}")
        return await act(asked)

    async def close(self) -> None:
        """Have what was stopped go on."""
        self._again.stop()
        async with self._alone:
            await asyncio.to_thread(self._faults.close)

    def rest(self) -> None:
        """Nobody looks any more."""
        self._again.stop()
        self._audience.put("examples", {"all": list(EXAMPLES), "again": ""})

    async def _blocking(self, work: Callable[[], str], *, note: bool = True) -> Json:
        """Do something off the loop. Tell all pages, unless they see it anyway."""
        async with self._alone:
            said = await asyncio.to_thread(work)
        self._audience.note([f"{said}, as the page asked"] if note else [])
        return {"said": said}

    async def _compare(self, asked: Json) -> Json:
        if self._comparing:
            raise FailedPreconditionError("a comparison is under way; wait for its end")
        self._comparing = True
        try:
            runs = await asyncio.to_thread(compare, self._configuration(), _text(asked, "example"))
            shown = {topology: await self._looking.run_detail(run) for topology, run in runs.items()}
            for run in shown.values():
                if trouble := run.get("trouble"):
                    raise FailedPreconditionError(f"the runs have ended, but cannot be shown: {trouble}")
        finally:
            self._comparing = False
        return {"example": _text(asked, "example"), "topologies": shown}

    async def _run_again(self, asked: Json) -> Json:
        """Without an example nothing runs again."""
        example = _text(asked, "example")
        if example:
            self._again.start(self._configuration(), example, _text(asked, "topology"))
        else:
            self._again.stop()
        self._audience.put("examples", {"all": list(EXAMPLES), "again": example})
        return {"said": f"{example} runs again and again" if example else "nothing runs again"}

    def _configuration(self) -> Configuration:
        return launcher.as_running(load(self._root))


def _text(asked: Json, key: str) -> str:
    value = asked.get(key, "")
    if not isinstance(value, str):
        raise InvalidArgumentError(f"{key} = {value!r}: give a text")
    return value


def _number(asked: Json, key: str) -> float:
    value = asked.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentError(f"{key} = {value!r}: give a number")
    return float(value)


def _ends(asked: Json) -> tuple[str, str]:
    return _text(asked, "source"), _text(asked, "target")

"""The server of the dashboard lets in who has its address, and has only its own page change anything. No datacenter runs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Thread

import pytest

from Services.datacenter.dashboard.audience import MOST_PAGES
from Services.datacenter.dashboard.doors import HOST, TOKEN_HEADER, Doors
from tests.nodes import configuration_text

pytest.importorskip("aiohttp", reason="the dashboard is an extra")

from aiohttp import ClientSession, ClientWebSocketResponse, web

from Services.datacenter.dashboard.server import Server

KEY, TOKEN = "key-of-this-test", "token-of-this-test"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Dashboard:
    """A running server, in a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.doors = asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(20)

    async def _open(self) -> Doors:
        listener = socket.create_server((HOST, 0))
        doors = Doors(listener.getsockname()[1], KEY, TOKEN)
        self.server = Server(self._root, doors)
        self._runner = web.AppRunner(self.server.application())
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self._looking = asyncio.create_task(self.server.look())
        return doors

    async def _close(self) -> None:
        self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking
        await self.server.close()
        await self._runner.cleanup()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def host(self) -> str:
        return f"{HOST}:{self.doors.port}"

    @property
    def page(self) -> dict[str, str]:
        """The headers of the page itself."""
        cookie = f"{self.doors.cookie}={KEY}"
        return {"Host": self.host, "Origin": f"http://{self.host}", "Cookie": cookie, TOKEN_HEADER: TOKEN}

    def ask(self, method: str, path: str, headers: dict[str, str], body: str = "") -> tuple[HTTPResponse, str]:
        connection = HTTPConnection(HOST, self.doors.port, timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                connection.putheader(name, value)
            connection.endheaders(body.encode())
            response = connection.getresponse()
            return response, "" if response.status == 101 else response.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    root = tmp_path_factory.mktemp("datacenter")
    (root / "data_center_setup.cfg").write_text(configuration_text("application", "math"))
    opened = Dashboard(root)
    yield opened
    opened.close()


def test_the_address_opens_the_page_and_gives_a_cookie_that_other_sites_cannot_use(dashboard: Dashboard) -> None:
    response, text = dashboard.ask("GET", f"/?key={KEY}", {"Host": dashboard.host})
    assert response.status == 200
    assert f'content="{TOKEN}"' in text
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in response.headers
    assert dashboard.ask("GET", "/", {name: dashboard.page[name] for name in ("Host", "Cookie")})[0].status == 200


@pytest.mark.parametrize("path", ["/", "/?key=wrong", "/api/live"])
def test_without_the_address_there_is_nothing(dashboard: Dashboard, path: str) -> None:
    response, text = dashboard.ask("GET", path, {"Host": dashboard.host})
    assert response.status == 401
    assert "the address that `python3 run_datacenter.py dashboard` has printed" in text
    assert TOKEN not in text
    assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize(
    "path", ["/static/none.js", "/static/index.html", "/static/..%2fserver.py", "/static/%2e%2e/server.py"]
)
def test_only_its_own_files_are_served(dashboard: Dashboard, path: str) -> None:
    assert dashboard.ask("GET", path, {"Host": dashboard.host})[0].status == 404


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/live"])
def test_a_name_that_was_made_to_lead_here_is_refused(dashboard: Dashboard, path: str) -> None:
    response, _ = dashboard.ask("GET", path, {**dashboard.page, "Host": f"evil.example:{dashboard.doors.port}"})
    assert response.status == 421


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": None},
        {TOKEN_HEADER: "guessed"},
        {TOKEN_HEADER: None},
        {"Cookie": None},
        {"Cookie": "mockdc-dashboard=guessed"},
    ],
)
def test_only_the_page_itself_may_do_anything(dashboard: Dashboard, change: dict[str, str | None]) -> None:
    headers = {name: value for name, value in {**dashboard.page, **change}.items() if value is not None}
    response, _ = dashboard.ask("POST", "/api/do", headers, '{"act": "reset"}')
    assert response.status in {401, 403}
    assert not (dashboard._root / "Services/config/network.json").exists()


def test_a_form_of_another_site_is_refused_also_with_the_cookie(dashboard: Dashboard) -> None:
    """What a browser sends for a form: the cookie, if it were not SameSite, and its own Origin, but no header of ours."""
    headers = {**dashboard.page, "Content-Type": "text/plain", "Origin": "http://evil.example"}
    del headers[TOKEN_HEADER]
    assert dashboard.ask("POST", "/api/do", headers, '{"act": "reset"}')[0].status == 403


@pytest.mark.parametrize("change", [{"Origin": "http://evil.example"}, {"Origin": None}, {"Cookie": None}])
def test_no_other_page_may_look(dashboard: Dashboard, change: dict[str, str | None]) -> None:
    headers = {name: value for name, value in {**dashboard.page, **UPGRADE, **change}.items() if value is not None}
    assert dashboard.ask("GET", "/api/live", headers)[0].status in {401, 403}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("{", 400, "not JSON"),
        ("[]", 400, "not a JSON object"),
        ('{"act": "explode"}', 400, "there is no act 'explode'"),
        ('{"act": "kill", "node": 7}', 400, "give a text"),
        ('{"act": "kill", "node": "math-0"}', 409, "`up` has started no node 'math-0'"),
        ('{"act": "restart", "node": "supervisor"}', 409, "`up` has started no node 'supervisor'"),
        ('{"act": "slow", "source": "math-0", "target": "../x", "latency_ms": 1}', 400, "there is no link"),
        ('{"act": "slow", "source": "math-0", "target": "math-1", "latency_ms": true}', 400, "give a number"),
        ('{"act": "slow", "source": "math-0", "target": "math-1", "latency_ms": 1e9}', 400, "give a number from 0 to 10000"),
        ('{"act": "cut", "source": "*", "target": "*"}', 400, "give two nodes"),
        ('{"act": "again", "example": "none"}', 409, "there is no example 'none'"),
        (json.dumps({"act": "x" * 5000}), 413, ""),
    ],
)
def test_what_cannot_be_done_is_said(dashboard: Dashboard, body: str, status: int, said: str) -> None:
    response, text = dashboard.ask("POST", "/api/do", dashboard.page, body)
    assert (response.status, said in text) == (status, True), text


def test_pages_are_told_that_the_datacenter_is_down_each_as_fast_as_it_asks_and_only_so_many(dashboard: Dashboard) -> None:
    async def first_message(live: ClientWebSocketResponse) -> dict[str, object]:
        await live.send_json({"look": {"node": "math-0"}, "next": True})
        told: dict[str, object] = await live.receive_json(timeout=20)
        return told

    async def look() -> None:
        headers = {name: dashboard.page[name] for name in ("Origin", "Cookie")}
        url = f"http://{dashboard.host}/api/live"
        async with ClientSession(headers=headers) as session:
            sockets = [await session.ws_connect(url) for _ in range(MOST_PAGES)]
            assert (await session.get(url, headers=UPGRADE)).status == 503
            told: dict[str, object] = {}
            while "state" not in told:
                told = await first_message(sockets[0])
            state = told["state"]
            assert isinstance(state, dict)
            assert (state["up"], [node["state"] for node in state["nodes"]]) == (False, ["dead", "dead"])
            await sockets[1].send_str("[]")
            assert (await sockets[1].receive(timeout=20)).data == 1008
            await sockets[2].send_str("x" * 5000)
            assert (await sockets[2].receive(timeout=20)).data == 1009
            for live in sockets:
                await live.close()

    asyncio.run(look())

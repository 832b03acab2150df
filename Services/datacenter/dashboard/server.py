"""The server of the page: files, one socket for what is to be seen, one address for what is to be done."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler, Middleware

from Services.datacenter.dashboard.actions import Actions
from Services.datacenter.dashboard.audience import Audience
from Services.datacenter.dashboard.doors import KEY, TOKEN_HEADER, Doors
from Services.datacenter.dashboard.looking import Looking
from Services.datacenter.dashboard.mailbox import Json, Mailbox
from Services.fractos.errors import FractosError, InvalidArgumentError

STATIC = Path(__file__).parent / "static"
PAGE = "index.html"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
NO_KEY = "Open the address that `python3 run_datacenter.py dashboard` has printed: it is new each time."
MOST_ASKED_BYTES = 4096  # of anything that a page sends
PAUSE_S = 0.08  # between two messages to a page
DETAIL_EVERY_S = 1.0
LOOK_EVERY_S = 0.3  # whether anybody looks
LEAVE_S = 2.0  # a page that is loaded anew is gone for a moment
HEARTBEAT_S = 20.0


class Server:
    """Serves the page of one datacenter. Lives on an event loop."""

    def __init__(self, root: Path, doors: Doors) -> None:
        self._doors = doors
        self._audience = Audience()
        self._looking = Looking(root, self._audience)
        self._actions = Actions(root, self._audience, self._looking)
        self._files = {path.name: path.read_text(encoding="utf-8") for path in STATIC.iterdir() if path.suffix in TYPES}
        self._sockets: set[web.WebSocketResponse] = set()

    def application(self) -> web.Application:
        """What aiohttp serves."""
        application = web.Application(middlewares=[self._guard()], client_max_size=MOST_ASKED_BYTES)
        application.router.add_get("/", self._page)
        application.router.add_get("/static/{name}", self._file)
        application.router.add_get("/api/live", self._live)
        application.router.add_post("/api/do", self._do)
        return application

    async def look(self) -> None:
        """Look at the datacenter whenever somebody looks at the page, until this is cancelled."""
        task: asyncio.Task[None] | None = None
        looked_at = 0.0
        try:
            while True:
                if self._audience.is_looking:
                    looked_at = time.monotonic()
                    task = task or asyncio.create_task(self._looking.run())
                if task is not None and (task.done() or time.monotonic() - looked_at > LEAVE_S):
                    await _end(task)
                    task = None
                    self._actions.rest()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            if task is not None:
                await _end(task)

    async def close(self) -> None:
        """Close every socket, and undo what the page has stopped."""
        await asyncio.gather(*(socket.close(code=1001, message=b"the dashboard ends") for socket in list(self._sockets)))
        await self._actions.close()

    def _guard(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            """Refuse what does not come from the page, and give every answer its headers."""
            try:
                self._check(request)
                response = await handler(request)
            except web.HTTPException as error:
                error.headers.update(self._doors.headers)
                raise
            if not response.prepared:
                response.headers.update(self._doors.headers)
            return response

        return guard

    def _check(self, request: web.Request) -> None:
        if not self._doors.is_host(request.headers.get("Host", "")):
            raise web.HTTPMisdirectedRequest(text="this server has another name")
        origin = request.headers.get("Origin")
        if origin is not None and not self._doors.is_origin(origin):
            raise web.HTTPForbidden(text="not from another page")
        if request.path.startswith("/api/") and not self._doors.knows(request.cookies):
            raise web.HTTPUnauthorized(text=NO_KEY)

    async def _page(self, request: web.Request) -> web.Response:
        """The page. Who comes with the address gets the cookie, and the page takes the secret out of the address bar."""
        with_key = self._doors.is_key(request.query.get(KEY, ""))
        if not with_key and not self._doors.knows(request.cookies):
            raise web.HTTPUnauthorized(text=NO_KEY)
        text = self._files[PAGE].replace("{{token}}", self._doors.token)
        response = web.Response(text=text, content_type=TYPES[".html"])
        if with_key:
            response.set_cookie(self._doors.cookie, self._doors.key, httponly=True, samesite="Strict", path="/")
        return response

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files or name == PAGE:
            raise web.HTTPNotFound(text=f"there is no file {name[:40]!r}")
        return web.Response(text=self._files[name], content_type=TYPES[Path(name).suffix])

    async def _do(self, request: web.Request) -> web.Response:
        """Do what a button says. Only the page itself knows the token, and only it has this Origin."""
        if "Origin" not in request.headers or not self._doors.is_token(request.headers.get(TOKEN_HEADER, "")):
            raise web.HTTPForbidden(text="only the page itself may do this")
        try:
            said = await self._actions.do(_asked(await request.text()))
        except FractosError as error:
            return web.json_response({"error": error.message}, status=400 if isinstance(error, InvalidArgumentError) else 409)
        return web.json_response(said)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Tell a page what there is to see, as fast as it asks for it."""
        if "Origin" not in request.headers:
            raise web.HTTPForbidden(text="only the page itself may look")
        if self._audience.is_full:
            raise web.HTTPServiceUnavailable(text="too many pages are open; close one")
        socket = web.WebSocketResponse(max_msg_size=MOST_ASKED_BYTES, heartbeat=HEARTBEAT_S)
        await socket.prepare(request)
        viewer = _Viewer(socket, self._looking)
        self._audience.join(viewer.mailbox)
        self._sockets.add(socket)
        tasks = [asyncio.create_task(viewer.send()), asyncio.create_task(viewer.keep_looking())]
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    break
                viewer.hear(_asked(message.data))
        except InvalidArgumentError as error:
            await socket.close(code=1008, message=error.message.encode()[:100])
        finally:
            self._audience.leave(viewer.mailbox)
            self._sockets.discard(socket)
            for task in tasks:
                await _end(task)
        return socket


class _Viewer:
    """One page that is open."""

    def __init__(self, socket: web.WebSocketResponse, looking: Looking) -> None:
        self.mailbox = Mailbox()
        self._socket = socket
        self._looking = looking
        self._look: Mapping[str, str] = {}
        self._looks_elsewhere = asyncio.Event()

    def hear(self, asked: Json) -> None:
        """The page asks for the next message, and may say what it looks at: a node or a run."""
        look = asked.get("look")
        if isinstance(look, dict):
            self._look = {str(key): str(value) for key, value in look.items()}
            self._looks_elsewhere.set()
        if asked.get("next"):
            self.mailbox.ask()

    async def send(self) -> None:
        """Send what there is, one message for each that was asked for."""
        with suppress(ConnectionError):
            while True:
                await self._socket.send_str(json.dumps(await self.mailbox.take(), separators=(",", ":")))
                await asyncio.sleep(PAUSE_S)

    async def keep_looking(self) -> None:
        """Tell more of what the page looks at, when it changes."""
        told: Json | None = None
        while True:
            self._looks_elsewhere.clear()
            if not self.mailbox.is_away:
                detail = await self._looking.detail(self._look)
                if detail != told:
                    self.mailbox.put("detail", detail)
                    told = detail
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._looks_elsewhere.wait(), DETAIL_EVERY_S)


def _asked(text: str) -> Json:
    """What a page has sent. Raises InvalidArgumentError."""
    try:
        asked = json.loads(text)
    except ValueError as error:
        raise InvalidArgumentError(f"not JSON: {error}") from error
    if not isinstance(asked, dict):
        raise InvalidArgumentError("not a JSON object")
    return asked


async def _end(task: asyncio.Task[None]) -> None:
    """End a task. What it has failed with is raised here."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

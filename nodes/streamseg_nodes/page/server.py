"""The web server of the page, in a thread of its own with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import socket
import threading
from collections.abc import Collection, Mapping
from functools import partial
from importlib import resources

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from streamseg.errors import OutputError
from streamseg_nodes.page.access_control import AccessControl
from streamseg_nodes.page.address import Address, Secrets
from streamseg_nodes.page.hub import Give, Hub, Plays
from streamseg_nodes.page.protocol import LARGEST_BYTES
from streamseg_nodes.page.viewers import Viewer

_STARTS_WITHIN_S = 20.0
_LAST_WORDS_S = 1.0
_TRY_AGAIN_LATER = 1013
_PING_S = 10.0


# Uvicorn takes a websocket that is turned away with an answer for one that is not answered at all (0.54), and says so.
logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing handshake" not in record.getMessage())


class PageServer:
    """Serves the page from `start` to `close`.

    Args:
        listener: a socket that listens.
        address: that it is bound to.
        secrets: what closes the page to others.
        names: of this machine, besides its own and its addresses.
        titles: stream -> what people call it.
        give: takes prompts.
        players: stream -> what plays it, for those that are files; asked for once the page is served.
        log: told what goes wrong.
    """

    def __init__(
        self,
        listener: socket.socket,
        address: Address,
        secrets: Secrets,
        *,
        titles: Mapping[str, str],
        give: Give,
        log: logging.Logger,
        names: Collection[str] = (),
        players: Mapping[str, Plays] | None = None,
    ) -> None:
        self._listener = listener
        self._secrets = secrets
        self._titles = titles
        self._give = give
        self._players = players
        self._log = log
        self._port = int(listener.getsockname()[1])
        host = f"[{address.host}]" if address.is_ipv6 else address.host
        scheme = "http" if secrets.cert is None else "https"
        self.url = f"{scheme}://{host}:{self._port}/"
        """Where it is."""
        app = Starlette(routes=[*_static_routes(), WebSocketRoute("/live", self._live)])
        app.router.redirect_slashes = False
        guarded = AccessControl(app, port=self._port, token=secrets.token, secure=secrets.cert is not None, names=names)
        config = uvicorn.Config(
            guarded,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # What is sent is compressed already, and the other protocols cost more.
            http="h11",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=LARGEST_BYTES,
            ws_ping_interval=_PING_S,
            ws_ping_timeout=_PING_S,
            timeout_graceful_shutdown=1,
            ssl_certfile=secrets.cert,
            ssl_keyfile=secrets.key,
        )
        self._server = uvicorn.Server(config)
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self.hub: Hub
        """There once it is started."""

    def start(self) -> None:
        """Begin to serve.

        Raises:
            OutputError: it cannot, say because the certificate is none.
        """
        self._thread.start()
        if not self._started.wait(_STARTS_WITHIN_S) or self._error is not None:
            self._listener.close()
            raise OutputError(f"expected to serve the page at {self.url}, got: {self._error or 'nothing happened'}")

    def close(self) -> None:
        """Give what was said last a moment to leave, then go."""
        self._server.should_exit = True
        self._thread.join(_LAST_WORDS_S + 5)
        self._listener.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it is, who waits for the start is told)
            self._error = error
            if self._started.is_set():
                self._log.warning("the page is served no longer: %s", error)
        self._started.set()

    async def _serve(self) -> None:
        self.hub = Hub(self._titles, self._give, self._players)
        serving = asyncio.ensure_future(self._server.serve(sockets=[self._listener]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.01)
        if not serving.done():
            self._started.set()
        await serving

    async def _live(self, socket: WebSocket) -> None:
        await socket.accept()
        if self.hub.full:
            await socket.close(_TRY_AGAIN_LATER, "too many browsers watch already")
            return
        viewer = self.hub.join()
        hearing = asyncio.ensure_future(self._hear(socket, viewer))
        sending = asyncio.ensure_future(viewer.serve(socket))
        try:
            await asyncio.wait([hearing, sending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.hub.leave(viewer)
            for task in (hearing, sending):
                task.cancel()
            for result in await asyncio.gather(hearing, sending, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, (WebSocketDisconnect, RuntimeError)):
                    self._log.warning("a browser was let go: %s", result)
            # It may have gone by itself.
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close()

    async def _hear(self, socket: WebSocket, viewer: Viewer) -> None:
        while True:
            self.hub.hear(viewer, await socket.receive_text())


def _static_routes() -> list[Route]:
    """The files of the page, read once: no path of a request ever leads to the disk."""
    routes = [Route("/health", _health)]
    for file in (resources.files(__package__) / "static").iterdir():
        name = file.name
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        answer = partial(_static, file.read_bytes(), kind or "application/octet-stream")
        routes.append(Route("/" if name == "index.html" else f"/{name}", answer))
    return routes


async def _static(data: bytes, kind: str, request: Request) -> Response:
    return Response(data, media_type=kind)


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok\n")

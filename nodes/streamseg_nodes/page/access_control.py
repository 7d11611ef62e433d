"""Who gets in: the host that was asked for, the page that asks, the token. And what a browser may do with the page."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from streamseg_nodes.page.address import is_own

_WRONG_TOKEN_S = 0.5
"""So long is the wait after a wrong token, which is no matter for people and much for those who try them all."""
_FORM_MAX_BYTES = 4096
_ENTER = "/enter"

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:20vh auto;max-width:24rem;padding:0 1rem;color-scheme:light dark}"
    "input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin-top:.5rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_DOOR = f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Token</title><style>{_STYLE}</style><main><h1>Token</h1><form method="post" action="{_ENTER}">
<label for="token">This page is closed. The token is in the file that the run was given.</label>
<input id="token" name="token" type="password" autocomplete="off" required autofocus>
<button>Enter</button></form></main>
"""
_INSIDE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>…</title>'
)

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    # With no-referrer a form would be sent without saying where it comes from.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
_DOOR_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class AccessControl:
    """Stands before the application.

    Args:
        app: what is behind the door.
        port: that the page is at.
        token: that everybody has to have; None lets all in who reach the port.
        secure: whether it is reached by TLS.
        names: of this machine, besides its IP addresses and the name it has itself.
    """

    def __init__(
        self, app: ASGIApp, *, port: int, token: str | None, secure: bool, names: Collection[str] = ()
    ) -> None:
        self._app = app
        self._token = token
        self._secure = secure
        # Cookies do not tell ports apart.
        self._cookie = f"streamseg-{port}"
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or say why not."""
        refusal = await self._refusal(scope, receive)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refusal)
        else:
            await refusal(scope, receive, _with_headers(send))

    async def _refusal(self, scope: Scope, receive: Receive) -> Response | None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if not is_own(host, self._names):
            return PlainTextResponse("This page is not known by that name.\n", 421)
        origin = headers.get("origin")
        scheme = "https" if self._secure else "http"
        asks = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if (asks or origin is not None) and origin != f"{scheme}://{host}":
            return PlainTextResponse("Only the page itself may ask this.\n", 403)
        if self._token is None or self._has_cookie(headers.get("cookie", "")):
            return None
        return await self._let_in(scope, receive)

    def _has_cookie(self, header: str) -> bool:
        try:
            found = SimpleCookie(header).get(self._cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._pass().encode())

    def _pass(self) -> str:
        """What the cookie holds: who sees it does not know the token."""
        return hmac.new((self._token or "").encode(), b"streamseg page", hashlib.sha256).hexdigest()

    async def _let_in(self, scope: Scope, receive: Receive) -> Response:
        token = None
        if scope["type"] == "http" and scope["path"] == "/" and scope["method"] == "GET":
            token = parse_qs(scope["query_string"].decode("latin-1")).get("token", [None])[0]
        elif scope["type"] == "http" and scope["path"] == _ENTER and scope["method"] == "POST":
            token = parse_qs(await _body(Request(scope, receive))).get("token", [None])[0]
        if token is not None and self._token is not None and hmac.compare_digest(token.encode(), self._token.encode()):
            # Not a redirect: a browser that came by a link from elsewhere would not send the cookie along it.
            response = HTMLResponse(_INSIDE)
            response.set_cookie(self._cookie, self._pass(), httponly=True, samesite="strict", secure=self._secure)
            return response
        if token is not None:
            await asyncio.sleep(_WRONG_TOKEN_S)
        headers = {"content-security-policy": _DOOR_POLICY}
        return HTMLResponse(_DOOR, 401, headers=headers)


async def _body(request: Request) -> str:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > _FORM_MAX_BYTES:
            return ""
    return data.decode("latin-1")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            extra = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *(each for each in extra if each[0] not in there)]}
        await send(message)

    return sending

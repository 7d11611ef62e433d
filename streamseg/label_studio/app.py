"""The requests of Label Studio to an ML backend, over HTTP."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from streamseg.errors import StreamsegError, UsageError
from streamseg.label_studio.backend import Backend

log = logging.getLogger("streamseg.label_studio")

_LARGEST_BYTES = 64 << 20
_WRONG_TOKEN_S = 0.5
_BAD, _FAILED = 400, 500


def make_app(backend: Backend, *, token: str | None, is_own: Callable[[str], bool]) -> Starlette:
    """The application.

    Args:
        backend: answers.
        token: that whoever asks has to have, as a bearer token or as the password of basic authentication, which
            Label Studio can send; None lets all in who reach the port.
        is_own: whether a ``Host`` header means this machine; asked if there is no token.
    """

    async def health(request: Request) -> Response:
        return await refused(request) or JSONResponse({"status": "UP", "model_class": "streamseg"})

    async def versions(request: Request) -> Response:
        return await refused(request) or JSONResponse({"versions": [backend.version]})

    async def setup(request: Request) -> Response:
        return await refused(request) or await _answered(request, backend.set_up)

    async def predict(request: Request) -> Response:
        return await refused(request) or await _answered(request, backend.predict)

    async def webhook(request: Request) -> Response:
        # There is nothing to train: what was labeled is exported, and 'streamseg train' reads it.
        return await refused(request) or await _answered(request, lambda said: {})

    async def refused(request: Request) -> Response | None:
        if token is None:
            if is_own(request.headers.get("host", "")):
                return None
            return _error(421, "this machine is not known by that name; ask 127.0.0.1, or start it with a token")
        header = request.headers.get("authorization", "")
        given = _token_in(header)
        if given is not None and hmac.compare_digest(given.encode(), token.encode()):
            return None
        if header:
            await asyncio.sleep(_WRONG_TOKEN_S)  # No matter for people, and much for those who try them all.
        return _error(401, "expected the token, as the password of Label Studio's basic authentication")

    routes = [
        Route("/", health),
        Route("/health", health),
        Route("/versions", versions),
        Route("/setup", setup, methods=["POST"]),
        Route("/predict", predict, methods=["POST"]),
        Route("/webhook", webhook, methods=["POST"]),
    ]
    return Starlette(routes=routes)


async def _answered(request: Request, answer: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Response:
    began_s = time.monotonic()
    try:
        said = await _body(request)
        found = await run_in_threadpool(answer, said)
    except ClientDisconnect:
        return Response(status_code=_BAD)
    except UsageError as error:
        log.warning("%s: %s", request.url.path, error)
        return _error(_BAD, str(error))
    except StreamsegError as error:
        log.warning("%s: %s", request.url.path, error)
        return _error(_FAILED, str(error))
    log.info("%s: answered in %.1f s", request.url.path, time.monotonic() - began_s)
    return JSONResponse(found)


async def _body(request: Request) -> Mapping[str, Any]:
    # A page in a browser cannot send this type to another server without being allowed to.
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise UsageError("expected JSON (Content-Type: application/json)")
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > _LARGEST_BYTES:
            raise UsageError(f"expected at most {_LARGEST_BYTES >> 20} MiB, got more")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"expected JSON, got: {error}") from error
    if not isinstance(said, dict):
        raise UsageError(f"expected a JSON object, got {type(said).__name__}")
    return said


def _token_in(header: str) -> str | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _error(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)

"""A small web server in a thread: ``/metrics`` for Prometheus, ``/healthz``, ``/readyz``, ``/figures`` as JSON."""

from __future__ import annotations

import hmac
import http.server
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from streamseg.errors import UsageError
from streamseg.monitoring.figures import figures
from streamseg.monitoring.health import unhealthy, unready
from streamseg.monitoring.monitor import Monitor

log = logging.getLogger(__name__)

_PATIENCE_S = 10.0
_MOST_AT_ONCE = 16
_WRONG_TOKEN_S = 0.5
_PLAIN = "text/plain; charset=utf-8"
_INDEX = b"streamseg: /metrics for Prometheus, /healthz, /readyz, /figures (JSON; 'streamseg top' shows them)\n"

Answer = tuple[int, bytes, str]
"""Status, body, content type."""


class MonitorServer:
    """Answers from `start` to `close`, each request in a thread of its own, a few at once.

    Args:
        listener: a socket that listens.
        monitor: what it tells of.
        exposition: the answer to Prometheus, given its ``Accept`` header.
        is_own: whether a ``Host`` header names this machine. A page of somebody else's cannot ask a server that only
            this machine reaches by any other name than one that is not this machine's.
        token: that everybody has to have; None lets all in who reach the port.
        cert: certificate (PEM), for https; with `key`.
        key: its key.

    Raises:
        UsageError: certificate and key cannot be used.
    """

    def __init__(
        self,
        listener: socket.socket,
        monitor: Monitor,
        exposition: Callable[[str], tuple[bytes, str]],
        *,
        is_own: Callable[[str], bool],
        token: str | None = None,
        cert: Path | None = None,
        key: Path | None = None,
    ) -> None:
        self._monitor = monitor
        self._exposition = exposition
        self._is_own = is_own
        self._token = token
        tls = None if cert is None else _tls(cert, key)
        self._server = _Server(listener, self._respond, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more and close the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def _respond(self, path: str, headers: Any) -> Answer:
        refusal = self._refusal(headers)
        if refusal is not None:
            return refusal
        run = self._monitor.snapshot
        if path == "/metrics":
            return 200, *self._exposition(headers.get("Accept", ""))
        if path == "/figures":
            return 200, msgspec.json.encode(figures(self._monitor)) + b"\n", "application/json"
        if path in ("/healthz", "/readyz"):
            reason = unhealthy(run) if path == "/healthz" else unready(run)
            return (200, b"ok\n", _PLAIN) if reason is None else (503, f"{reason}\n".encode(), _PLAIN)
        return (200, _INDEX, _PLAIN) if path == "/" else (404, b"There is nothing here. " + _INDEX, _PLAIN)

    def _refusal(self, headers: Any) -> Answer | None:
        if self._token is None:
            known = self._is_own(headers.get("Host", ""))
            return None if known else (421, b"This machine is not known by that name.\n", _PLAIN)
        given = headers.get("Authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return None
        if given:
            time.sleep(_WRONG_TOKEN_S)  # No matter for people, and much for those who try them all.
        return 401, b"Expected the header 'Authorization: Bearer TOKEN'.\n", _PLAIN


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, listener: socket.socket, respond: Callable[[str, Any], Answer], tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        listener.setblocking(True)
        self.socket = listener
        self.respond = respond
        self._tls = tls
        self._room = threading.BoundedSemaphore(_MOST_AT_ONCE)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, unless too many have one."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer; the handshake is part of it, so that nobody else waits for who is slow at it."""
        try:
            request.settimeout(_PATIENCE_S)
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            super().process_request_thread(request, client_address)
        except OSError as error:
            log.debug("a connection was let go: %s", error)
            self.shutdown_request(request)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say it where people look who look for it."""
        log.debug("a request could not be answered", exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version = "streamseg"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, body, content_type = self.server.respond(self.path.partition("?")[0], self.headers)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """One line for every scrape would bury everything else."""


def _tls(cert: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"metrics: expected a certificate and its key in {cert} and {key}, got: {error}") from error
    return context

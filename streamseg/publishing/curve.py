"""ZeroMQ sockets that only known keys get into, and sockets that get into them.

CURVE (rfc.zeromq.org/spec/26) encrypts and authenticates a connection with keys made anew for it, so what was recorded
cannot be played again. Whether the other side's key is known is decided by a thread that ZeroMQ asks; without its
answer nobody gets in.
"""

from __future__ import annotations

import logging
from typing import Any

import zmq

from streamseg.publishing.keys import Door, Guest

log = logging.getLogger(__name__)

_DOMAIN = "streamseg"
_HANDSHAKE_MS = 3000
"""Who has not proved a key by then is cut off: open connections are not free."""


class Doorkeeper:
    """Lets only known keys into the sockets of one context. Close it before the context.

    Args:
        context: of the sockets; has no other authenticator.
        door: who we are and whom we let in.
    """

    def __init__(self, context: zmq.Context[Any], door: Door) -> None:
        # It brings asyncio along, which most who publish do not need.
        from zmq.auth.thread import ThreadAuthenticator

        self._door = door
        self.refused = 0
        """Connections with a key that is not known."""
        self._authenticator = ThreadAuthenticator(context, log=log)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(_DOMAIN, self)

    def guard(self, socket: zmq.Socket[Any]) -> None:
        """Make a socket take connections of known keys only; to be called before it is bound."""
        socket.set(zmq.CURVE_SERVER, 1)
        socket.set(zmq.CURVE_SECRETKEY, self._door.own.secret)
        socket.set(zmq.ZAP_DOMAIN, _DOMAIN.encode())
        # Should the thread be gone, ZeroMQ would otherwise let everybody in who has any key.
        socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        socket.set(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)

    @property
    def alive(self) -> bool:
        """Whether anybody can get in."""
        return bool(self._authenticator.is_alive())

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a key is known; the authenticator asks with one in Z85."""
        known = key in self._door.allowed
        if not known:
            self.refused += 1
            if self.refused == 1:
                log.warning("a key that is not on the list was refused; further ones are only counted")
        return known

    def close(self) -> None:
        """End the thread; from then on nobody gets in."""
        if not self.alive and self._authenticator.pipe is not None:
            # The authenticator's own way to end waits for the thread to answer, for ever if that one crashed.
            self._authenticator.pipe.close()
            self._authenticator.pipe = None  # type: ignore[assignment]
        self._authenticator.stop()


def introduce(socket: zmq.Socket[Any], guest: Guest) -> None:
    """Make a socket prove its key to a server, and talk to nobody who has not that server's own.

    To be called before it connects.
    """
    socket.set(zmq.CURVE_SERVERKEY, guest.server_public)
    socket.set(zmq.CURVE_PUBLICKEY, guest.own.public)
    socket.set(zmq.CURVE_SECRETKEY, guest.own.secret)

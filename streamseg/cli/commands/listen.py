"""``streamseg listen``: print or record what a run publishes."""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path

import zmq

from streamseg.cli.interrupts import Interrupts
from streamseg.cli.output.heard import Heard, line_of
from streamseg.cli.output.text import say, shown
from streamseg.cli.parser import Parser, positive
from streamseg.errors import EXIT_INTERRUPTED, UsageError, WireError
from streamseg.publishing import recorded
from streamseg.publishing.connection import Connection
from streamseg.publishing.format import decode
from streamseg.publishing.subscriber import listen

_DESCRIPTION = """Print what 'streamseg run --publish ADDRESS' sends, a line for each message: how old it is, which
frame, and its objects with states, scores, boxes and areas. Says on standard error whether there is a connection, and
whether anything comes. Goes on until Ctrl-C, also when the publisher ends and comes back."""

_LOOK_MS = 100
_NOBODY_AFTER_S = 1.0
_NOTHING_AFTER_S = 2.0
"""Publishers say something of every stream once a second."""
_SILENT_AFTER_S = 3.0
_WAITING = 1000
"""Messages that may wait for a slow terminal or disk: here every one counts, not only the newest."""


def add_to(parser: Parser) -> None:
    """Add its arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("address", metavar="ADDRESS", help="tcp://HOST:PORT or ipc://PATH, as --publish was given")
    parser.add_argument(
        "--topic", metavar="TEXT", help="only messages whose topic begins so, say camera/frame (default: all)"
    )
    parser.add_argument("--count", type=positive, metavar="N", help="end after so many messages")
    parser.add_argument("--json", action="store_true", help="print each message as a line of JSON")
    parser.add_argument("--masks", action="store_true", help="with --json: each mask, too, as COCO's run lengths")
    parser.add_argument(
        "--record", metavar="FILE", help="append every message, with masks and picture, to a file of JSON lines"
    )
    parser.add_argument("--own-key", type=Path, metavar="FILE", help="our .key_secret file, if the publisher has keys")
    parser.add_argument("--server-key", type=Path, metavar="FILE", help="and the publisher's .key file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Listen until Ctrl-C or the last message that was asked for.

    Raises:
        UsageError: the address or a key cannot be used, or the publisher does not let us in.
        OutputError: the recording cannot be written.
    """
    if args.masks and not args.json:
        raise UsageError("--masks goes with --json; --record has masks by itself")
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        recorder = stack.enter_context(recorded.Recorder(Path(args.record))) if args.record else None
        context = zmq.Context()
        stack.callback(context.destroy, linger=0)
        connection = Connection()
        socket = listen(
            context,
            args.address,
            topics=[args.topic or ""],
            own_key=args.own_key,
            server_key=args.server_key,
            waiting=_WAITING,
            connection=connection,
        )
        stack.callback(connection.close)
        listener = _Listener(args, socket, connection, recorder)
        while not interrupts.stop and not listener.is_done:
            listener.turn()
        say(listener.heard.summary())
    return 0 if listener.is_done else EXIT_INTERRUPTED


class _Listener:
    """What is done with what comes, and what people are told meanwhile."""

    def __init__(
        self,
        args: argparse.Namespace,
        socket: zmq.Socket[bytes],
        connection: Connection,
        recorder: recorded.Recorder | None,
    ) -> None:
        self._args = args
        self._socket = socket
        self._connection = connection
        self._recorder = recorder
        self._address = shown(args.address)
        self._last_s = time.monotonic()
        """When something came last, or the connection changed."""
        self._told = False
        """Whether people know what has been so since then."""
        self._was_up = False
        self._others: set[str] | None = None
        """Streams that are published under other topics, while we look for such."""
        self.heard = Heard()

    @property
    def is_done(self) -> bool:
        """Whether as much has come as was asked for."""
        return self._args.count is not None and self.heard.count >= self._args.count

    def turn(self) -> None:
        """Wait for a moment, and take what comes.

        Raises:
            UsageError: the publisher does not let us in.
            OutputError: the recording cannot be written.
        """
        self._socket.poll(_LOOK_MS)
        self._look()
        while not self.is_done and self._socket.poll(0):
            self._take(self._socket.recv_multipart(), time.time_ns())
        if not self._told:
            self._tell(time.monotonic() - self._last_s)

    def _take(self, parts: list[bytes], received_ns: int) -> None:
        if not parts[0].startswith((self._args.topic or "").encode()):
            if self._others is not None:
                self._others.add(parts[0].decode("utf-8", "replace"))
            return
        self._last_s, self._told = time.monotonic(), False
        try:
            message = decode(parts)
            # All that can be wrong with it is wrong before anything is written.
            text = (
                recorded.line(message, received_ns, masks=self._args.masks, image=False).decode().rstrip("\n")
                if self._args.json
                else shown(line_of(message, received_ns))
            )
            if self._recorder is not None:
                self._recorder.add(message, received_ns)
        except WireError as error:
            if not self.heard.strange:
                say(f"what comes is not understood: {error}")
            self.heard.strange += 1
            return
        self.heard.add(message, received_ns)
        print(text, flush=True)

    def _look(self) -> None:
        self._connection.look()
        if self._connection.refused:
            raise UsageError(f"{self._address}: {self._connection.refused}")
        if self._connection.up != self._was_up:
            self._was_up = self._connection.up
            self._last_s, self._told = time.monotonic(), False
            say(
                f"connected to {self._address}"
                if self._was_up
                else "the publisher has gone; waiting for it to come back"
            )

    def _tell(self, silent_s: float) -> None:
        if not self._connection.up:
            if silent_s >= _NOBODY_AFTER_S and not self.heard.count:
                self._told = True
                what = (
                    "what answers there is no publisher, or is busy" if self._connection.answered else "nobody is there"
                )
                say(f"{self._address}: {what}; waiting for one to come")
        elif silent_s >= _SILENT_AFTER_S and self.heard.count:
            self._told = True
            why = "the publisher hangs, or all its streams are over"
            say(f"nothing for {_SILENT_AFTER_S:g} s, not even a heartbeat: {why}")
        elif silent_s >= _NOTHING_AFTER_S and not self.heard.count:
            self._told = self._say_that_nothing_comes(silent_s)

    def _say_that_nothing_comes(self, silent_s: float) -> bool:
        if self._args.topic and self._others is None:
            # Who publishes under other topics is heard of within a second, the time between two heartbeats.
            self._others = set()
            self._socket.subscribe(b"")
        if self._args.topic and silent_s < _NOTHING_AFTER_S + 1.5 and not self._others:
            return False
        if self._others:
            topics = ", ".join(sorted(self._others))
            say(f"nothing comes with a topic that begins with {self._args.topic!r}; there is {shown(topics)}")
        else:
            say("connected, but nothing comes yet, not even a heartbeat")
        if self._args.topic:
            self._socket.unsubscribe(b"")
        return True

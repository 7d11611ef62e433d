"""page: the results in a browser, and prompts from there."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import threading
import time
from functools import partial
from typing import Annotated, Any

import msgspec

from streamseg import extras
from streamseg.errors import OutputError, UsageError
from streamseg.mailbox import Mailbox
from streamseg.messages import Segmented, SourceStatus
from streamseg.node import Node, NodeConfig, Option
from streamseg_nodes.page import shown_frame
from streamseg_nodes.page.address import DEFAULT, checked, open_port
from streamseg_nodes.page.figures import RunFigures

_NICE = 4
_SHARE = 3.0
"""Between two pictures there are so many times that long as one takes to be made: a quarter of a core at most."""


class Page(Node[Segmented, None]):
    """Serves a page that shows what goes by and takes prompts.

    Pictures are made only while somebody watches who has room for one, so a page that nobody looks at costs nothing,
    and the run waits for nobody. Prompts go the way of those of ``streamseg prompt``.
    """

    class Config(NodeConfig, frozen=True):
        """Options of page."""

        bind: Annotated[
            str,
            Option(
                f"show the run in a browser and take prompts there, at HOST:PORT ({DEFAULT} if left out); with a token "
                f"and a certificate also for other machines",
                flag="--page",
                metavar="HOST:PORT",
                alone=DEFAULT,
            ),
        ] = DEFAULT
        token: Annotated[
            str | None,
            Option("a file with the token that everybody has to know", flag="--page-token", metavar="FILE"),
        ] = None
        cert: Annotated[
            str | None, Option("the page's certificate (PEM), for https", flag="--page-cert", metavar="FILE")
        ] = None
        key: Annotated[str | None, Option("the key of that certificate (PEM)", flag="--page-key", metavar="FILE")] = (
            None
        )
        names: Annotated[
            list[str], Option("names that this machine has besides its own, as browsers are given them")
        ] = []
        titles: Annotated[
            dict[str, str], Option("what streams are called on the page: name of the source -> title")
        ] = {}
        node: Annotated[str | None, Option("which node takes the prompts, if several of the graph do")] = None
        width_px: Annotated[
            int, msgspec.Meta(ge=64, le=16384), Option("wider pictures are sent reduced to this width")
        ] = 1280
        quality: Annotated[int, msgspec.Meta(ge=1, le=100), Option("of the JPEG pictures that are sent")] = 80
        max_fps: Annotated[
            float, msgspec.Meta(gt=0, le=240), Option("at most so many pictures a second of one stream")
        ] = 30.0

    gives_commands = True
    resumable = True

    config: Config

    @classmethod
    def check(cls, config: Config) -> None:
        """Refuse an address that strangers reach, and a page without what it is made of.

        Raises:
            GraphError: others could reach it, or it is no address.
            UsageError: a package, the token, the certificate or its key is missing or cannot be used.
        """
        missing = [name for name in extras.EXTRAS["page"] if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(f"the page needs {', '.join(missing)}; {extras.command('page')} installs it")
        checked(config.bind, config.token, config.cert, config.key)

    def setup(self) -> None:
        """Open the port and begin to serve.

        Raises:
            GraphError: others could reach the address.
            UsageError: the token, the certificate or its key cannot be used.
            OutputError: the port is in use, or cannot be had.
        """
        config = self.config
        address, secrets = checked(config.bind, config.token, config.cert, config.key)
        listener = open_port(address)
        from streamseg_nodes.page.server import PageServer

        titles = {stream: config.titles.get(stream, stream) for stream in self.context.streams}
        self._server = PageServer(
            listener,
            address,
            secrets,
            titles=titles,
            give=partial(self.context.command, node=config.node),
            log=self.context.log,
            names=config.names,
        )
        self._server.start()
        self._shown = 0
        self._figures = self.context.figures
        self._run_figures = RunFigures()
        self._rooms = {stream: Mailbox[shown_frame.Sight]("freshest") for stream in titles}
        self._painters = [
            threading.Thread(target=self._paint, args=(stream, room), name=f"paint {stream}", daemon=True)
            for stream, room in self._rooms.items()
        ]
        for painter in self._painters:
            painter.start()

    def describe(self) -> dict[str, Any]:
        """Where it is, and how many pictures were made."""
        return {"url": self._server.url, "closed": self.config.token is not None, "pictures": self._shown}

    def process(self, message: Segmented) -> None:
        """Keep the frame for who has time to show it."""
        stream = message.stamp.stream
        if self._server.hub.wants(stream):
            self._rooms[stream].put(shown_frame.Sight.of(message))

    def status(self, status: SourceStatus) -> None:
        """Say that a source is away or back."""
        self._server.hub.post(partial(self._server.hub.status, status))

    def tick(self) -> None:
        """Say how the run does, when that is known anew."""
        if self.context.figures is not self._figures:
            self._figures = self.context.figures
            values = self._run_figures.of(self._figures)
            self._server.hub.post(partial(self._server.hub.tell, "", "figures", values))

    def finish(self, stream: str) -> None:
        """Say that a stream is over."""
        self._server.hub.post(partial(self._server.hub.ended, stream))

    def close(self) -> None:
        """Say goodbye and close the port."""
        for room in self._rooms.values():
            room.close()
        for painter in self._painters:
            painter.join()
        self._server.hub.post(partial(self._server.hub.end, "The run is over."))
        self._server.close()

    def _paint(self, stream: str, room: Mailbox[shown_frame.Sight]) -> None:
        _let_others_first()
        while (sight := room.wait()) is not None:
            began_s = time.monotonic()
            try:
                picture = shown_frame.encode(sight, self.config.width_px, self.config.quality)
            except OutputError as error:
                self.context.log.warning("a picture of %s is not shown: %s", stream, error)
                continue
            self._server.hub.post(partial(self._server.hub.show, stream, picture))
            self._shown += 1
            took_s = time.monotonic() - began_s
            time.sleep(max(_SHARE * took_s, 1 / self.config.max_fps - took_s))


def _let_others_first() -> None:
    """Where cores are short, this thread waits and not the nodes that the masks come from."""
    if sys.platform == "linux":  # Elsewhere a thread has no priority of its own to be lowered.
        with contextlib.suppress(OSError):
            own = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, own, os.getpriority(os.PRIO_PROCESS, own) + _NICE)

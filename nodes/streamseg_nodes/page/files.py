"""Files on the page: each has a player, and all of them one server."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import msgspec

from streamseg.commands import Refused, Reply
from streamseg.errors import OutputError, UsageError
from streamseg.node import NodeContext
from streamseg.prompts.model import ObjectPrompt
from streamseg_nodes.decode_options import DecodeOptions
from streamseg_nodes.page.address import checked, open_port
from streamseg_nodes.page.node import Page
from streamseg_nodes.page.player import Player
from streamseg_nodes.page.stepper import StepOptions
from streamseg_nodes.record.node import Record

PROMPTS = "prompts.yaml"


class Exports(Protocol):
    """What becomes of a folder of results, once they are written."""

    formats: Mapping[str, str]
    """Name of each format that may be asked for -> what it holds."""

    def write(self, stream: str, folder: Path, facts: Mapping[str, dict[str, Any]], also: str) -> list[str]:
        """Write down what the results come from, and write them in other formats.

        Args:
            stream: that they are of.
            folder: where they are.
            facts: what the nodes say of themselves.
            also: a format that was asked for, or none.

        Returns:
            A line for each thing that was written, or could not be.
        """


class FilesPage:
    """Use as a context manager: entering it opens files and port, leaving it closes them.

    Args:
        files: stream -> options of decode; the file that it names.
        options: of the nodes that follow.
        page: where the page is.
        record: what is written when somebody exports.
        folder: stream -> where to, a folder that is not there yet or may be replaced.
        exports: what else is written there.
        threads: that the encoder uses.
    """

    def __init__(
        self,
        files: Mapping[str, DecodeOptions],
        options: StepOptions,
        page: Page.Config,
        record: Record.Config,
        folder: Callable[[str], str],
        exports: Exports,
        *,
        threads: int,
    ) -> None:
        self._files = files
        self._options = options
        self._page = page
        self._record = record
        self._folder = folder
        self._exports = exports
        self._threads = threads
        self._players: dict[str, Player] = {}
        self._written: set[str] = set()
        """Folders that this page has written to, and may write to again."""

    def __enter__(self) -> FilesPage:
        page = self._page
        address, secrets = checked(page.bind, page.token, page.cert, page.key)
        listener = open_port(address)
        from streamseg_nodes.page.server import PageServer

        try:
            for stream, decode in self._files.items():
                self._players[stream] = Player(
                    stream,
                    decode,
                    self._options,
                    self,
                    self._save,
                    width_px=page.width_px,
                    quality=page.quality,
                    threads=self._threads,
                )
            titles = {stream: page.titles.get(stream, stream) for stream in self._files}
            self._server = PageServer(
                listener,
                address,
                secrets,
                titles=titles,
                give=_nobody,
                log=logging.getLogger("streamseg.page"),
                names=page.names,
                players=self._players,
            )
            self._server.start()
        except BaseException:
            listener.close()
            self._close_players()
            raise
        self.url = self._server.url
        for stream, player in self._players.items():
            self.say(stream, "formats", formats=self._exports.formats)
            player.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._close_players()
        self._server.hub.post(partial(self._server.hub.end, "The page was closed where it was opened."))
        self._server.close()

    def wants(self, stream: str) -> bool:
        """Whether somebody has time for a picture."""
        return self._server.hub.wants(stream)

    def show(self, stream: str, picture: bytes) -> None:
        """Show a picture."""
        self._server.hub.post(partial(self._server.hub.show, stream, picture))

    def say(self, stream: str, kind: str, **values: object) -> None:
        """Say what else there is to be known."""
        self._server.hub.post(partial(self._server.hub.tell, stream, kind, values))

    def _close_players(self) -> None:
        for player in self._players.values():
            player.close()

    def _save(self, player: Player, also: str) -> str:
        """Write what was followed, as record does, the prompts that led to it, and what else is asked for.

        Raises:
            UsageError: there is no such format.
            OutputError: it cannot be written.
        """
        if also and also not in self._exports.formats:
            raise UsageError(
                f"there is no format {also!r} to export in; those that there are can be chosen on the page"
            )
        folder = self._folder(player.stream)
        options = msgspec.structs.replace(
            self._record, output=folder, overwrite=self._record.overwrite or folder in self._written
        )
        record = Record(options, NodeContext("record", streams=(player.stream,)))
        record.setup()
        self._written.add(folder)
        try:
            for index in range(len(player.spool)):
                record.process(player.result(index))
            record.finish(player.stream)
            facts = {**player.facts(), "record": record.describe()}
        finally:
            record.close()
        _write_prompts(Path(folder).expanduser() / PROMPTS, player.marks.prompts)
        more = self._exports.write(player.stream, Path(folder).expanduser(), facts, also)
        where = f"{folder} ({len(player.spool)} frames, and {PROMPTS} for 'streamseg run --prompts')"
        return "; ".join([where, *more])


def _write_prompts(path: Path, prompts: list[ObjectPrompt]) -> None:
    plain = [
        {name: value for name, value in msgspec.to_builtins(each).items() if value or name == "frame"}
        for each in prompts
    ]
    try:
        # JSON is YAML.
        path.write_text("[\n" + ",\n".join(json.dumps(each) for each in plain) + "\n]\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"expected to write {path}, got: {error.strerror}") from error


def _nobody(body: bytes, reply: Reply) -> None:
    reply(Refused("PromptError", "there is no such stream"))

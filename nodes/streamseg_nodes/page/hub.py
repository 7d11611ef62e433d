"""What all browsers see, and what becomes of what they say. It lives on the event loop of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from streamseg.commands import Answer, Applied, Refused, Reply
from streamseg.messages import SourceStatus
from streamseg_nodes.page import protocol
from streamseg_nodes.page.protocol import Act, Prompt, Said, Shown, Watch
from streamseg_nodes.page.viewers import Viewer

Give = Callable[[bytes, Reply], None]
"""Gives a prompt (msgpack) to the run; the reply may come from any thread."""


class Plays(Protocol):
    """What plays a file; may be called from any thread."""

    def act(self, do: str, frame: int | None, also: str = "") -> None:
        """Play, pause, follow, export (also in a format), or go to a frame."""

    def give(self, body: bytes, reply: Reply) -> None:
        """Take a prompt."""


MOST_VIEWERS = 32
MOST_UNANSWERED = 20
"""Prompts of one browser that wait for their answers."""


class Hub:
    """Make it on the event loop that it shall live on.

    Args:
        titles: stream -> what people call it; the first is shown first.
        give: takes prompts.
        players: stream -> what plays it, for those that are files.
    """

    def __init__(self, titles: Mapping[str, str], give: Give, players: Mapping[str, Plays] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._titles = dict(titles)
        self._give = give
        self._players = players or {}
        self._viewers: dict[int, Viewer] = {}
        self._joined = 0
        self._unanswered: dict[int, int] = {}
        self._pictures: dict[str, bytes] = {}
        self._states: dict[str, str] = {}
        """Stream -> what is to be said of it to whoever comes."""
        self._last_by: dict[tuple[str, int], int] = {}
        """(stream, object) -> which viewer pointed at it last."""
        self._over = ""

    # From any thread.

    def wants(self, stream: str) -> bool:
        """Whether a picture of the stream would go to a browser at once."""
        # A copy made by one operation: the event loop may change the books meanwhile.
        return any(viewer.stream == stream and viewer.ready for viewer in list(self._viewers.values()))

    def post(self, call: Callable[[], None]) -> None:
        """Have something done on the event loop; nothing is, once that is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    # On the event loop.

    @property
    def full(self) -> bool:
        """Whether no more browsers are taken."""
        return len(self._viewers) >= MOST_VIEWERS

    def join(self) -> Viewer:
        """A browser has come."""
        self._joined += 1
        viewer = Viewer(self._joined, next(iter(self._titles), ""))
        streams = [
            {"name": name, "title": title, "player": name in self._players} for name, title in self._titles.items()
        ]
        viewer.say(protocol.encode("hello", viewer=viewer.number, streams=streams))
        for state in self._states.values():
            viewer.say(state)
        self._show_last(viewer)
        if self._over:
            viewer.say(protocol.encode("over", text=self._over))
        self._viewers[viewer.number] = viewer
        self._say_how_many()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """A browser has gone."""
        self._viewers.pop(viewer.number, None)
        self._unanswered.pop(viewer.number, None)
        self._say_how_many()

    def hear(self, viewer: Viewer, text: str) -> None:
        """A browser has said something."""
        try:
            said = protocol.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            viewer.say(protocol.encode("event", about="refused", text=f"That was not understood: {error}"))
            return
        self._act(viewer, said)

    def show(self, stream: str, picture: bytes) -> None:
        """A new picture is there."""
        self._pictures[stream] = picture
        for viewer in self._viewers.values():
            if viewer.stream == stream:
                viewer.show(picture)

    def status(self, status: SourceStatus) -> None:
        """A source is away or back."""
        text = protocol.encode(
            "status", stream=status.stream, state=status.state, text=status.reason, attempts=status.attempts
        )
        self._tell_state(status.stream, text)

    def tell(self, stream: str, kind: str, values: Mapping[str, object]) -> None:
        """Say something of a stream; of each kind but events the last is said to whoever comes later, too."""
        text = protocol.encode(kind, stream=stream, **values)
        if kind != "event":
            self._states[f"{stream} {kind}"] = text
        for viewer in self._viewers.values():
            if kind == "event":
                viewer.say(text)
            else:
                viewer.say_latest(f"{stream} {kind}", text)

    def ended(self, stream: str) -> None:
        """A stream is over."""
        self._tell_state(stream, protocol.encode("status", stream=stream, state="ended", text="", attempts=0))

    def end(self, text: str) -> None:
        """The run is over: tell everybody, and let them go."""
        self._over = text
        for viewer in self._viewers.values():
            viewer.say(protocol.encode("over", text=text))
            viewer.leave()

    def _act(self, viewer: Viewer, said: Said) -> None:
        if isinstance(said, Shown):
            viewer.shown()
        elif isinstance(said, Watch):
            if said.stream in self._titles:
                viewer.watch(said.stream)
                self._show_last(viewer)
        elif isinstance(said, Act):
            if said.stream in self._players:
                self._players[said.stream].act(said.do, said.frame, said.format)
        else:
            self._point(viewer, said)

    def _show_last(self, viewer: Viewer) -> None:
        if viewer.stream in self._pictures:
            viewer.show(self._pictures[viewer.stream])

    def _point(self, viewer: Viewer, said: Prompt) -> None:
        refusal = self._refusal(viewer, said)
        if refusal:
            viewer.say(protocol.refused(said.number, refusal))
            return
        plain = {**msgspec.to_builtins(said.prompt), "stream": said.stream}
        if said.seen is not None:
            plain["seen"] = said.seen
        self._unanswered[viewer.number] = self._unanswered.get(viewer.number, 0) + 1

        def reply(answer: Answer) -> None:
            self.post(lambda: self._answer(viewer, said, answer))

        player = self._players.get(said.stream)
        (self._give if player is None else player.give)(msgspec.msgpack.encode(plain), reply)

    def _refusal(self, viewer: Viewer, said: Prompt) -> str:
        if self._over:
            return self._over
        if said.stream not in self._titles:
            return f"There is no stream called {said.stream!r}."
        if self._unanswered.get(viewer.number, 0) >= MOST_UNANSWERED:
            return f"{MOST_UNANSWERED} prompts of yours wait for their frames already; maybe the camera is away."
        last = self._last_by.get((said.stream, said.prompt.id or 0), viewer.number)
        if said.prompt.undo and said.stream not in self._players and last != viewer.number:
            return f"Somebody else has corrected object {said.prompt.id} since; nothing was undone."
        return ""

    def _answer(self, viewer: Viewer, said: Prompt, answer: Answer) -> None:
        if viewer.number in self._unanswered:
            self._unanswered[viewer.number] -= 1
        if isinstance(answer, Refused):
            viewer.say(protocol.refused(said.number, answer.message))
            return
        for identity in answer.ids if answer.id is None else [answer.id]:
            self._last_by[answer.stream, identity] = viewer.number
        viewer.say(protocol.applied(said.number, answer, _sentence(answer)))
        for other in self._viewers.values():
            if other is not viewer:
                other.say(protocol.encode("event", about="other", text=f"Somebody else: {_sentence(answer)}"))

    def _tell_state(self, stream: str, text: str) -> None:
        self._states[stream] = text
        for viewer in self._viewers.values():
            viewer.say(text)

    def _say_how_many(self) -> None:
        text = protocol.encode("viewers", count=len(self._viewers))
        for viewer in self._viewers.values():
            viewer.say(text)


def _sentence(answer: Applied) -> str:
    where = f"from frame {answer.frame} on"
    if answer.id is None and answer.what == "undone":
        return "the last step was undone"
    if answer.id is None:
        count = len(answer.ids)
        return f"{count or 'no'} new object{'' if count == 1 else 's'} found in frame {answer.frame}"
    state = f", {answer.state.lower()}" if answer.state else ""
    return f"object {answer.id} {answer.what} {where}{state}"

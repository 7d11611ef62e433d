"""propagate: from the frame before to this one. Prompts the mask decoder with where each object was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from streamseg import tracking
from streamseg.commands import Reply
from streamseg.errors import GraphError, PromptError, nearest
from streamseg.jobs import NO_TRACKER, Position
from streamseg.masks import label_map
from streamseg.masks.label_map import MAX_ID
from streamseg.messages import Embedded, Gap, ObjectResult, Regions, Segmented
from streamseg.node import Awaited, Node, Option
from streamseg.prompts.files import given_prompts
from streamseg.prompts.model import FramePrompt, ObjectPrompt, PendingPrompt
from streamseg.prompts.prepare import fit, prepare
from streamseg.sam.automatic_masks import AutomaticMaskOptions
from streamseg.sam.checkpoints import weights_of
from streamseg.sam.models import find
from streamseg.tracking import NAIVE, Candidate, DetectionOptions, EncodedView, TrackerState, TrackingOptions, Update
from streamseg.video.source import file_facts
from streamseg_nodes.model_config import ModelConfig
from streamseg_nodes.propagate.admission import Admission, free_ids, views_of, with_new
from streamseg_nodes.propagate.decoder_queries import DecoderQueries
from streamseg_nodes.propagate.everything import Everything, FoundObjects
from streamseg_nodes.propagate.meanings import MeaningsToTell, choices_at
from streamseg_nodes.propagate.prompts import as_given
from streamseg_nodes.propagate.stream_state import StreamState


class Propagate(Node[Embedded, Segmented]):
    """Follow objects from frame to frame, starting from prompts."""

    class Config(ModelConfig, frozen=True):
        """Options of propagate."""

        prompts: Annotated[
            list[ObjectPrompt] | str | None, Option("objects pointed at, or a YAML or JSON file with a list of them")
        ] = None
        everything: Annotated[
            AutomaticMaskOptions | None, Option("also follow all objects of one frame, found without a prompt")
        ] = None
        detections: Annotated[
            DetectionOptions | None,
            Option("also follow what a detector finds; defaults if None, and then there must be prompts, too"),
        ] = None
        tracker: Annotated[
            Literal["default", "naive"],
            Option(
                "default, or naive: the box of the last mask is the next prompt, and nothing else", flag="--tracker"
            ),
        ] = "default"
        tracking: Annotated[TrackingOptions, Option("thresholds of the default tracker")] = TrackingOptions()

    gives_feedback = Regions
    takes_commands = ObjectPrompt
    resumable = True

    @classmethod
    def depends_on(cls, config: Config) -> dict[str, Any]:
        """The weights, the file of prompts, and the masks that they name."""
        files = [config.prompts] if isinstance(config.prompts, str) else []
        files += [prompt.mask for prompt in given_prompts(config.prompts or []) if isinstance(prompt.mask, str)]
        return {"weights": weights_of(config.model, config.checkpoint), "files": list(map(file_facts, files))}

    @classmethod
    def threads_wanted(cls, config: Config) -> Literal["one", "all"]:
        """The bundled model is so light that threads wait for each other longer than they work (benchmarks/)."""
        return "one" if find(config.model).light else "all"

    @classmethod
    def check(cls, config: Config) -> None:
        """Whether the prompts can be meant, as far as that can be said without a frame.

        Raises:
            PromptError: they cannot.
        """
        if config.prompts is None and config.everything is None and config.detections is None:
            raise PromptError(
                "expected to be told what to follow: give propagate prompts, or everything: {}, or detections: {} with "
                "a detector before embed"
            )
        prepare(given_prompts(config.prompts or []))

    @classmethod
    def check_stream(cls, config: Config, stream: str, facts: Mapping[str, Any]) -> None:
        """Whether the prompts lie in the stream's frames, all of which have one size.

        Raises:
            PromptError: a box or click outside the frame, a mask of another size.
        """
        width, height = facts.get("width"), facts.get("height")
        if not isinstance(width, int) or not isinstance(height, int):
            return
        for pending in prepare(given_prompts(config.prompts or [])):
            if pending.prompt.stream in (None, stream):
                fit(msgspec.structs.replace(pending, note=None), width, height)

    @classmethod
    def awaits(cls, config: Config) -> list[Awaited]:
        """The frames of the prompts, and the one in which everything is looked for."""
        asked = given_prompts(config.prompts or [])
        found = [Awaited(each.name, each.stream, each.frame, each.time_s) for each in asked]
        every = config.everything
        if every is not None:
            when = f"frame {every.frame}" if every.time_s is None else f"{every.time_s:g} s"
            found.append(Awaited(f"everything at {when}", every.stream, every.frame, every.time_s))
        # The first frame need not be asked after.
        return [each for each in found if each.frame or each.time_s]

    def setup(self) -> None:
        """Load the decoder, check the prompts, and say where to look first."""
        from streamseg.sam.loading import load_decoder, load_matching

        chosen = NAIVE if self.config.tracker == "naive" else self.config.tracking
        # With a large model it costs too much to encode for nothing.
        self._options = chosen if find(self.config.model).light else msgspec.structs.replace(chosen, ahead=0.0)
        checkpoint = None if self.config.checkpoint is None else Path(self.config.checkpoint)
        self._decoder = load_decoder(
            self.config.model,
            checkpoint=checkpoint,
            device=self.config.device,
            engine=self.config.engine,
            threads=self.context.threads,
        )
        matching = load_matching(self.config.model, checkpoint=checkpoint) if self._options.templates else None
        self._decoder_queries = DecoderQueries(self._decoder, matching)
        self._admission = Admission(self.config.detections or DetectionOptions(), self._options)
        self._ids_are_used = False
        self._everything = self._looking_for(self.config.everything)
        self._meanings = MeaningsToTell()
        self.begin(given_prompts(self.config.prompts or []))

    def begin(self, prompts: Sequence[ObjectPrompt]) -> None:
        """Follow what these prompts point at, and nothing of what was followed before, with the model that is loaded.

        Raises:
            PromptError: they cannot be meant.
        """
        self._prompts = prepare(prompts, self.context.streams)
        self._streams: dict[str, StreamState] = {}
        positions = {} if self.context.job is None else self.context.job.positions
        for past in [] if self.context.job is None else self.context.job.commands:
            if past.node == self.context.name and past.stream in self.context.streams:
                self.stream(past.stream).given.repeat(past)
        for stream in self.context.streams:
            if (position := positions.get(stream)) is not None:
                self._resume(stream, position)
            else:
                self.look(self.stream(stream))

    def describe(self) -> dict[str, Any]:
        """The model, its checksum, where and in what it runs, and how objects are followed."""
        return {
            "model": self._decoder.info.name,
            "sha256": self._decoder.sha256,
            "device": self._decoder.device,
            "engine": self._decoder.engine,
            "precision": self._decoder.precision,
            "tracker": self.config.tracker,
            "tracking": msgspec.to_builtins(self._options),
            **({"everything": self._everything.facts} if self._everything.used else {}),
        }

    def process(self, message: Embedded) -> Segmented:
        """Find every object of the frame before, and those newly pointed at, in this frame."""
        stamp = message.stamp
        stream = self.stream(stamp.stream)
        stream.come(stamp)
        with self._looking_on(stream):
            self._check_model(message)
            height, width = message.frame.image_rgb.shape[:2]
            stream.check_fit((width, height))
            stream.history.add(stamp.index, message.frame.image_rgb)
            state = self._admission.without_gone(stream.state)
            views = [
                self._decoder_queries.encoded_view(view)
                for view in message.views
                if view.detection is None and not view.crop_layer
            ]
            planned = tracking.usable_prompts(stream.due(stamp.index, stamp.pts_s), views)
            prompts = [prompt for pending in planned for prompt in self._fit(pending, state, (width, height))]
            busy = {pending.id for pending in planned}
            given_due = stream.given.due(stamp, views, busy, has_feedback=self.context.has_feedback)
            given = stream.given.fit(given_due, state, (width, height), stream.carried)
            told = [(each.pending.id, each.pending.prompt) for each, _ in given]
            state = tracking.amend(state, told)
            pointing = [prompt for each, prompt in given if each.pending.prompt.points_at or prompt.remove]
            asked = any(prompt.everything for _, prompt in told)
            state = msgspec.structs.replace(state, prompts_done=state.prompts_done + len(planned) - len(prompts))
            new = self._admission.find(message, free_ids(state, stream.free_id, stream.meant_ids))
            self._warn_of_used_ids(stream, [prompt.id for prompt in new.values()])
            views += [self._decoder_queries.encoded_view(view) for view in views_of(message, new)]
            unplanned = [*pointing, *new.values()]
            found = self._found(message, views, state, [*prompts, *unplanned], stream.free_id + len(new), asked=asked)
            unplanned += found.prompts
            views += found.views
            queries = tracking.build_queries(state, prompts, views, message.frame.image_rgb, self._options, unplanned)
            answers = self._decoder_queries.answer(queries.queries)
            answers = self._everything.pick(found, answers)
            if self._options.passes > 1:
                answers = self._decoder_queries.refine(answers, message.frame.image_rgb, self._options)
            update = tracking.update_tracks(state, queries, answers, message.frame.image_rgb, self._options)
            after = msgspec.structs.replace(
                update.state,
                everything_done=state.everything_done or found.planned,
                earlier=state.earlier,
                detected=state.detected,
                gone=state.gone,
                last_detected=state.last_detected,
            )
            after = with_new(after, [prompt.id for prompt in new.values()])
            update = Update(tracking.remember(state, after, [prompt.id for prompt in pointing]), update.masks)
            stream.reach(update.state)
            self._meanings.tell_of(given, answers, message.frame.image_rgb, self._options)
            stream.given.applied([each for each, _ in given], stamp, state, update.state, found.ids)
        # Embed is at work again by now.
        return self._segmented(message, update, [*prompts, *(prompt for _, prompt in given)])

    def choices(
        self, message: Embedded, pending: PendingPrompt | None = None, *, only_best: bool = False
    ) -> list[Candidate]:
        """The things that a click may mean in a frame, the largest first; nothing is followed for it.

        Args:
            message: the frame.
            pending: the prompt; the first that is planned if None.
            only_best: nothing but the one that a run would take.

        Raises:
            PromptError: it lies outside the frame.
        """
        asked, queries = pending or self._prompts[0], self._decoder_queries
        return choices_at(message, asked, queries, self._options, only_best=only_best)

    def find_everything(self, stream: StreamState, options: AutomaticMaskOptions | None) -> None:
        """Look for all objects of a frame that is still to come, whether or not that was done before; None: do not."""
        self._everything = self._looking_for(options)
        stream.state = msgspec.structs.replace(stream.state, everything_done=False)

    def restore(self, stream: str, state: TrackerState, next_index: int, next_seq: int = 0) -> None:
        """Go on from a state that was written down (`Segmented.tracker`) instead of from the beginning.

        Args:
            stream: whose.
            state: after the last frame that was finished.
            next_index: position in the stream of the first frame to come.
            next_seq: its number among the frames that enter the graph.
        """
        followed = self.stream(stream)
        followed.resume(state, next_index, next_seq)
        self.look(followed)

    def _resume(self, stream: str, position: Position) -> None:
        state = TrackerState() if position.tracker == NO_TRACKER else tracking.from_bytes(position.tracker)
        self.restore(stream, state, position.next_index, position.seq)

    def on_command(self, prompt: ObjectPrompt, reply: Reply) -> None:
        """Add, correct or remove an object; answered when it has come into force.

        Raises:
            PromptError: that is not possible.
        """
        self._stream_of(prompt).take(prompt, reply, has_feedback=self.context.has_feedback)

    def on_withdrawn(self, reply: Reply) -> None:
        """A prompt that has not come into force is taken back."""
        for stream in self._streams.values():
            stream.given.withdraw(reply)

    def tick(self) -> None:
        """The frame is on its way: say what the clicks in it may mean."""
        self._meanings.tell()

    def gap(self, gap: Gap) -> None:
        """A frame that does not come must not keep embed waiting."""
        stream = self.stream(gap.stamp.stream)
        stream.miss(gap.stamp)
        self.look(stream)

    def repeated(self, gap: Gap) -> None:
        """Embed may have been replaced and not know where to look."""
        self.look(self.stream(gap.stamp.stream))

    def finish(self, stream: str) -> None:
        """Complain of prompts for frames that never came, unless the stream was ended before its end.

        Raises:
            PromptError: there is one.
        """
        followed = self.stream(stream)
        self._admission.finish(stream)
        followed.end()
        if stream in self.context.stopped:
            return
        self._everything.check_done(followed.state, stream, followed.next_index)
        followed.check_done()

    def stream(self, name: str) -> StreamState:
        """The books of a stream."""
        # Made when it is asked for: outside a graph nobody says beforehand which streams there will be.
        if name not in self._streams:
            self._streams[name] = StreamState(name, self._prompts)
        return self._streams[name]

    def _looking_for(self, options: AutomaticMaskOptions | None) -> Everything:
        return Everything(options, self._decoder, self.context.log)

    def _warn_of_used_ids(self, stream: StreamState, new: list[int]) -> None:
        if not self._ids_are_used and any(identity < stream.free_id for identity in new):
            self._ids_are_used = True
            self.context.log.warning(
                "all ids up to %d have been used; those of objects of the detector that are gone are used again", MAX_ID
            )

    def _fit(self, pending: PendingPrompt, state: TrackerState, frame_size: tuple[int, int]) -> list[FramePrompt]:
        """The prompt in this frame, if what has become of its object allows it."""
        try:
            tracking.check_possible(pending, state)
        except PromptError as error:
            self.context.log.warning("%s; it is left out", error)
            return []
        return [fit(pending, *frame_size)]

    def _stream_of(self, prompt: ObjectPrompt) -> StreamState:
        """The stream that a command is about.

        Raises:
            PromptError: it does not say which, there is no such stream, or it is over.
        """
        streams = self.context.streams
        stream = prompt.stream or (streams[0] if len(streams) == 1 else None)
        if stream is None:
            raise PromptError(f"{prompt.name}: there are several streams; say which: {', '.join(streams)}")
        if stream not in streams:
            raise PromptError(f"{prompt.name}: there is no such stream; {nearest(stream, streams)}")
        followed = self.stream(stream)
        if followed.over:
            raise PromptError(f"{prompt.name}: stream {stream!r} is over; nothing can be followed in it any more")
        return followed

    @contextlib.contextmanager
    def _looking_on(self, stream: StreamState) -> Iterator[None]:
        """Whatever happens to this frame, embed is told where to look in the next."""
        try:
            yield
        finally:
            self.look(stream)

    def look(self, stream: StreamState) -> None:
        """Tell embed where to look in the next frame; once more, if there is more to look for than it was told."""
        state, index, seq = stream.state, stream.next_index, stream.last_seq
        given = [stream.carried(pending) for pending in stream.given.to_look_for(seq, index)]
        asked = any(pending.prompt.everything for pending in given)
        whole, crops = self._everything.where(state, stream.name, index, asked=asked)
        regions = tracking.next_regions(state, stream.planned, index, self._options, given) + whole
        wanted = self._admission.want(stream.name, state, [*stream.due(index, None), *given])
        foreseen = tracking.regions_ahead(state, self._options)
        self.context.feedback(Regions(stream.name, seq, regions, wanted, crops, foreseen))

    def _found(
        self,
        message: Embedded,
        views: Sequence[EncodedView],
        state: TrackerState,
        prompts: Sequence[FramePrompt],
        first_id: int,
        *,
        asked: bool,
    ) -> FoundObjects:
        """All objects that nobody pointed at, if this is the frame to look for them."""
        crops = [
            (self._decoder_queries.encoded_view(view), view.crop_layer) for view in message.views if view.crop_layer
        ]
        return self._everything.find(message.stamp, views, crops, state, prompts, first_id, asked=asked)

    def _check_model(self, message: Embedded) -> None:
        if message.model != self._decoder.info.name:
            raise GraphError(
                f"node {self.context.name!r} decodes with model {self._decoder.info.name!r}, but the features come "
                f"from {message.model!r}; give embed and propagate the same model"
            )

    def _segmented(self, message: Embedded, update: Update, prompts: Sequence[FramePrompt]) -> Segmented:
        frame = message.frame
        kept = self.context.empty(frame.stamp, frame.image_rgb.shape[:2], np.uint16)
        label_map.merge(update.masks, kept)
        measured = label_map.areas_and_boxes(kept, len(update.masks), label_map.around(update.masks))
        objects = [
            ObjectResult(track.id, track.state, track.score, box, area, track.label, track.reason)
            for track, (area, box) in zip(update.state.tracks, measured, strict=True)
        ]
        return Segmented(frame, objects, kept, msgspec.Raw(tracking.to_bytes(update.state)), [*map(as_given, prompts)])

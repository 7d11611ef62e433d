"""What is fuzzed: each target takes bytes from a stranger and may only raise the errors that are meant for that.

Any other exception, a crash, a hang or a failed assertion is a finding. ``seeds()`` makes a small corpus in code.
"""

from __future__ import annotations

import atexit
import functools
import os
import zlib

import msgspec
import numpy as np
import yaml
import zmq
from fuzz.base import PIXELS_MAX, SEPARATOR, Target, file_of, folder_of_inputs
from fuzz.file_targets import FILE_TARGETS
from fuzz.ros_targets import ROS_TARGETS

from streamseg import frame_pipe, redaction
from streamseg.commands import Refused, Request
from streamseg.errors import MediaError, PromptError, UsageError, WireError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.masks import rle
from streamseg.messages import Crops, Embedded, End, Frame, Gap, ObjectResult, Regions, Segmented, Stamp, View
from streamseg.prompts import files
from streamseg.prompts.model import ObjectPrompt
from streamseg.prompts.prepare import fit, prepare, prepare_one
from streamseg.publishing import format, keys
from streamseg.runtime.library import saved_tracker
from streamseg.training import recipe
from streamseg.transport import control, tickets
from streamseg.transport.command_socket import CommandServer
from streamseg.transport.slots import SlotBuffer, make_shared_file
from streamseg.transport.wire import MessageDecoder, MessageEncoder, stamp_of
from streamseg.types import MASK_URL, Region
from streamseg.video.open import open_source

_BUILT_IN = {"decode", "propagate", "cleanup", "record", "publish", "embed"}


@functools.cache
def _slots() -> tuple[SlotBuffer, SlotBuffer]:
    fd = make_shared_file(2 << 16)
    made = SlotBuffer(fd, 2, 1 << 16, writable=True), SlotBuffer(fd, 2, 1 << 16, writable=False)
    for ticket in range(2):
        made[0].empty(ticket, 1, (1 << 15,), np.uint8)[...] = ticket
    os.close(fd)
    return made


@functools.cache
def _decoder() -> MessageDecoder:
    return MessageDecoder([Frame, Embedded, Segmented, Gap, End, Regions], {4: _slots()[1]})


def wire(data: bytes) -> None:
    """A message of a data edge, with slots that it may refer to."""
    parts = data.split(SEPARATOR)
    try:
        message = _decoder().decode(parts)
    except WireError:
        stamp_of(parts)
        return
    if isinstance(message, Frame):
        # Every byte that it says is there can be read, and none can be written.
        assert not message.image_rgb.flags.writeable
        message.image_rgb.tobytes()


def _wire_seeds() -> list[bytes]:
    stamp = Stamp("cam", 0, 0, 40, (1, 1000), 5, 1, 1)
    image = _slots()[0].empty(1, 1, (64, 64, 3), np.uint8)
    frame = Frame(stamp, image)
    objects = [ObjectResult(1, "TRACKED", 0.5, (0.0, 0.0, 2.0, 2.0), 4, "cup")]
    messages = [
        frame,
        Frame(stamp, np.zeros((2, 2, 3), np.uint8)),
        Embedded(frame, [View((0, 0, 2, 2), (2, 2), np.zeros((1, 2, 2), np.float32))], "tiny"),
        Segmented(frame, objects, np.zeros((64, 64), np.uint16)),
        Gap(stamp, "embed", "failed", "no luck"),
        End("cam", 3, "finished"),
        Regions("cam", 3, [Region((0.0, 0.0, 1.0, 1.0), 1, (0.5,))], crops=Crops(1, 0.3)),
    ]
    encoder = MessageEncoder({4: _slots()[0]}, None)
    return [SEPARATOR.join(map(bytes, encoder.encode(message))) for message in messages]


def control_channel(data: bytes) -> None:
    """What workers, the supervisor and sinks tell each other."""
    decoders = ((control.decode_from_worker, data.split(SEPARATOR)), (control.decode_from_supervisor, data))
    for decode, received in decoders:
        try:
            decode(received)
        except WireError:
            continue
    book = tickets.TicketBook(range(3), ["record"])
    book.take(0)
    try:
        report = tickets.decode_report(data)
        if isinstance(report, tickets.Finished):
            book.finish(report)
    except WireError:
        return
    assert book.in_flight in (0, 1)


def _control_seeds() -> list[bytes]:
    stats = control.Stats(frames=3, process_ms={"p50": 1.0}, finished={"done": 3})
    said: list[object] = [
        control.Ready({"endpoint": "x"}),
        control.Beat(stats),
        control.Trouble("RunError", "message", "traceback", True),
        control.Done(),
        control.Bye(stats, {}),
    ]
    orders: list[object] = [control.Start(), control.Stop(), control.Exit(), tickets.Finished("record", 0, 1, "done")]
    pack = msgspec.msgpack.encode
    return [b"sum" + SEPARATOR + pack(each) for each in said] + [pack(each) for each in orders]


def published_results(data: bytes) -> None:
    """What a listener makes of what it hears."""
    try:
        heard = format.decode(data.split(SEPARATOR))
        if isinstance(heard.header, format.FrameHeader) and heard.header.height * heard.header.width > PIXELS_MAX:
            return  # allowed, but slow
        heard.image_rgb()
        for found in getattr(heard.header, "objects", []):
            heard.mask(found)
    except WireError:
        return


def _published_seeds() -> list[bytes]:
    frame = Frame(Stamp("cam", 0, 0, 40, (1, 1000), 5, 0, 1), np.full((8, 8, 3), 90, np.uint8))
    labels = np.zeros((8, 8), np.uint16)
    labels[2:5, 3:6] = 1
    message = Segmented(frame, [ObjectResult(1, "TRACKED", 0.5, (3.0, 2.0, 6.0, 5.0), 9, "cup")], labels)
    made = [format.encode_frame(message, 5, *kinds) for kinds in (("rle", "jpeg"), ("raw", "raw"), ("none", "none"))]
    gap = format.encode_gap(Gap(frame.stamp, "embed", "failed", "no luck"))
    return [SEPARATOR.join(parts) for parts in [*made, gap, format.encode_end("cam")]]


def graph_file(data: bytes) -> None:
    """A graph file, up to the plan of its processes; only built-in nodes: any other name is a program to be run."""
    try:
        graph = config.load(file_of(".yaml", data))
        if all(spec.use in _BUILT_IN for spec in graph.nodes.values()):
            plan = Plan(graph)
            for spec in plan.workers():
                msgspec.json.encode(spec)
    except UsageError:
        return
    assert config.parse(config.to_plain(graph)) == graph


def _graph_seeds() -> list[bytes]:
    whole = {
        "version": 1,
        "nodes": {
            "camera": {"use": "decode", "options": {"source": "0", "live": True, "fps": 5.0}},
            "embed": {"replicas": 2, "options": {"batch": 4, "focus": "off"}},
            "propagate": {"options": {"prompts": [{"id": 1, "label": "ball", "box": [62, 238, 128, 304]}]}},
            "cleanup": {"options": {"keep": "largest"}},
            "record": {"options": {"output": "out"}},
            "publish": {"options": {"bind": "tcp://127.0.0.1:5560"}},
        },
        "links": ["camera -> embed -> propagate -> cleanup -> record", "cleanup -> publish"],
        "feedback": [],
        "tickets": 4,
    }
    light = {"nodes": {"decode": {"options": {"source": "a"}}, "record": None}, "links": ["decode -> record"]}
    texts = [yaml.safe_dump(each).encode() for each in (whole, light)]
    return [*texts, b"nodes: &a {b: *a}\n", b"a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]\n", b"{nodes: {a: !!bool 7}}"]


def prompts_file(data: bytes) -> None:
    """A prompts file, YAML or JSON, and whether its prompts make sense together and in a frame."""
    for suffix in (".yaml", ".json"):
        try:
            found = files.read_prompts(file_of(suffix, data))
            # A mask is a file of the user's; whether it can be read is not the question here.
            planned = prepare([each for each in found if each.mask is None], ["camera"])
            for pending in planned:
                fit(pending, 640, 480)
        except PromptError:
            continue


def _prompts_seeds() -> list[bytes]:
    entries = [
        {"id": 1, "label": "ball", "box": [62, 238, 128, 304]},
        {"id": 2, "frame": 40, "points": [[300, 200]], "negative": [[350, 210]]},
        {"id": 1, "time_s": 1.5, "points": [[3.5, 2.5]], "stream": "camera"},
        {"id": 2, "frame": 200, "remove": True},
        {"text": "the red cup"},
    ]
    return [yaml.safe_dump(entries).encode(), msgspec.json.encode(entries), msgspec.json.encode({"prompts": entries})]


def recipe_file(data: bytes) -> None:
    """The recipe of a training run."""
    try:
        found = recipe.load(file_of(".yaml", data))
    except UsageError:
        return
    assert recipe.difference(found, found) is None


def _recipe_seeds() -> list[bytes]:
    whole = {
        "version": 1,
        "data": {"photos": [{"path": "a", "images": "b", "focus": 0.5}], "films": [{"path": "c", "held_out": ["d"]}]},
        "start_from": "packaged",
        "training": {"steps": 10, "batch": 2},
        "running": {"threads": 1, "time_limit_min": 1.5},
    }
    return [yaml.safe_dump(whole).encode(), b"data: {photos: [{path: a}]}\n"]


@functools.cache
def _command_door() -> tuple[CommandServer, zmq.Socket[bytes]]:
    server = CommandServer(folder_of_inputs() / "c")
    client = zmq.Context.instance().socket(zmq.DEALER)
    client.connect(f"ipc://{folder_of_inputs() / 'c'}")
    atexit.register(server.close)
    atexit.register(client.close, 0)
    return server, client


def command(data: bytes) -> None:
    """What another process of the same user tells a run, through its real socket; then the prompt that is in it."""
    server, client = _command_door()
    client.send_multipart(data.split(SEPARATOR))
    assert server.socket.poll(5000)
    for request, reply in server.requests():
        reply(Refused("PromptError", "not today"))
        try:
            asked = msgspec.msgpack.decode(request.body, type=ObjectPrompt)
            if asked.mask is None or asked.mask.startswith(MASK_URL):
                fit(prepare_one(asked, ("camera",)), 640, 480)
        except (PromptError, msgspec.DecodeError, UnicodeDecodeError):
            continue  # `Stage.command` answers with any of them
    assert client.poll(5000)
    while client.poll(0):
        client.recv_multipart()


def _command_seeds() -> list[bytes]:
    pack = msgspec.msgpack.encode
    asked = [ObjectPrompt(id=1, box=[1.0, 2.0, 30.0, 40.0], label="cup"), ObjectPrompt(id=1, remove=True)]
    bodies = [*map(pack, asked), b"\xc0"]
    return [pack(Request(3, "propagate", msgspec.Raw(body))) for body in bodies]


def run_lengths(data: bytes) -> None:
    """COCO's compressed masks: what is read is written again as the same mask."""
    height, width = (data[0], data[1]) if len(data) > 1 else (1, 1)
    try:
        mask = rle.decode(rle.decompress(data[2:]), height, width)
    except UsageError:
        return
    assert mask.shape == (height, width)
    assert np.array_equal(rle.decode(rle.decompress(rle.compress(rle.encode(mask))), height, width), mask)


def _rle_seeds() -> list[bytes]:
    rng = np.random.default_rng(0)
    masks = [np.zeros((5, 7), bool), np.ones((5, 7), bool), rng.random((40, 30)) > 0.5, np.tri(60, 200, dtype=bool)]
    return [bytes(mask.shape) + rle.compress(rle.encode(mask)).encode() for mask in masks]


def key_file(data: bytes) -> None:
    """A file with keys."""
    for key in keys.entries(data).values():
        assert len(key) == 40
    path = file_of(".key", data)
    path.chmod(0o600)
    for load in (keys.load_public, keys.load_pair):
        try:
            load(path)
        except UsageError:
            continue


def _key_seeds() -> list[bytes]:
    made = keys.KeyFiles(folder_of_inputs() / "seed.key", folder_of_inputs() / "seed.key_secret")
    if not made.public.exists():
        made = keys.make("seed", folder_of_inputs())
    return [made.public.read_bytes(), made.secret.read_bytes(), b'public-key = "' + b"#" * 40 + b'"']


def source_name(data: bytes) -> None:
    """A URL with a password, somewhere in a text: the password is not in what is shown."""
    name = data.decode("utf-8", "replace")
    redaction.redact(name)
    redaction.redact_text(name)
    host = "".join(char for char in name if char.isalnum())[:50]
    assert "hunter2" not in redaction.redact_text(f"lost rtsp://{host}:hunter2@camera/live, {name}")


def _source_seeds() -> list[bytes]:
    return [
        b"rtsp://ann:pw@camera/live?token=abc",
        b"http://host/?user=me&pwd=x;y",
        b"file:///a%20b",
        b"0",
        b"srt://[::1]:9",
    ]


def container(data: bytes) -> None:
    """A video or a picture, read as decode does, a few frames of it."""
    if not data:
        return
    suffix = {0: ".png", 1: ".jpg"}.get(data[0], ".video")
    try:
        with open_source(str(file_of(suffix, data[1:])), max_frames=3, threads=1) as reader:
            if reader.info.width * reader.info.height > PIXELS_MAX:
                return
            out = np.empty((reader.info.height, reader.info.width, 3), np.uint8)
            for picture in reader:
                picture.write_rgb(out)
    except MediaError:
        return


def _container_seeds() -> list[bytes]:
    import cv2
    from support.media import moving_images, write_video

    images = moving_images(4, 32, 32)
    _, png = cv2.imencode(".png", images[0])
    _, jpeg = cv2.imencode(".jpg", images[0])
    seeds = [b"\0" + png.tobytes(), b"\1" + jpeg.tobytes()]
    for name, codec in (("a.mp4", "mpeg4"), ("a.mkv", "mpeg4"), ("a.avi", "mjpeg"), ("a.ts", "mpeg2video")):
        path = write_video(
            folder_of_inputs() / name, images, codec=codec, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p"
        )
        seeds.append(b"\2" + path.read_bytes())
    return seeds


def piped_frames(data: bytes) -> None:
    """Frames that another process hands over on a pipe."""
    read_end, write_end = os.pipe()
    try:
        # As much as a pipe holds without anybody who reads.
        os.write(write_end, data[: 1 << 15])
        os.close(write_end)
        with open_source(f"frames:///proc/self/fd/{read_end}", max_pixels=PIXELS_MAX) as reader:
            for picture in reader:
                picture.to_rgb()
    except MediaError:
        return
    finally:
        os.close(read_end)


def _piped_seeds() -> list[bytes]:
    read_end, write_end = os.pipe()
    frame = frame_pipe.PipedFrame(np.zeros((4, 6, 3), np.uint8), 40_000_000, 1, 1, (12, 8))
    frame_pipe.send_frame(write_end, frame, lambda: False)
    frame_pipe.send_frame(write_end, frame._replace(pts_ns=None, scaled_from=None), lambda: False)
    frames = os.read(read_end, 1 << 15)
    frame_pipe.send_end(write_end, lambda: False)
    end = os.read(read_end, 1 << 15)
    frame_pipe.send_failure(write_end, "the lens fell off", lambda: False)
    failure = os.read(read_end, 1 << 15)
    os.close(read_end)
    os.close(write_end)
    return [frames + end, frames + failure, end]


def tracker_state(data: bytes) -> None:
    """The state of a tracker, with a checksum that is right."""
    try:
        saved_tracker.from_bytes(saved_tracker.MAGIC + zlib.crc32(data).to_bytes(4, "big") + data)
    except UsageError:
        return


def _state_seeds() -> list[bytes]:
    saved = saved_tracker.SavedTracker(
        model="tiny",
        sha256="0" * 64,
        frames=3,
        frame_size=(640, 360),
        state=b"\xc0",
        prompts=[{"id": 1, "box": [1, 2, 3, 4]}],
        everything={"max_objects": 3},
    )
    return [saved_tracker.to_bytes(saved)[len(saved_tracker.MAGIC) + 4 :]]


TARGETS = {
    **FILE_TARGETS,
    "frames": Target(piped_frames, _piped_seeds, 2048),
    "tracker": Target(tracker_state, _state_seeds, 1024),
    **ROS_TARGETS,
    "wire": Target(wire, _wire_seeds),
    "control": Target(control_channel, _control_seeds),
    "published": Target(published_results, _published_seeds),
    "graph": Target(graph_file, _graph_seeds, 2048),
    "prompts": Target(prompts_file, _prompts_seeds, 1024),
    "recipe": Target(recipe_file, _recipe_seeds, 1024),
    "command": Target(command, _command_seeds, 1024),
    "rle": Target(run_lengths, _rle_seeds, 2048),
    "keys": Target(key_file, _key_seeds, 1024),
    "source": Target(source_name, _source_seeds, 512),
    "container": Target(container, _container_seeds, 16384),
}

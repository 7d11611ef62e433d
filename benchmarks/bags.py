"""How quickly a bag is read, beside the same frames as a video file.

    python benchmarks/bags.py                # 1000 frames of 1920x1080, 200 of them as raw pixels
    python benchmarks/bags.py --frames 100 --raw-frames 20

The same JPEGs as `sensor_msgs/CompressedImage` in an MCAP file and in a ROS 2 bag (SQLite), and as Motion JPEG; the
same H.264 packets as `foxglove.CompressedVideo` and as MP4; the same raw pixels as `sensor_msgs/Image` and as a file of
raw video. Every frame is decoded and written as RGB, as `decode` does it, in one process. The ways take turns.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from bench_report import machine, ratios, save, say_machine, table
from foxglove_schemas_protobuf.CompressedVideo_pb2 import CompressedVideo
from mcap.writer import CompressionType, Writer
from mcap_protobuf.writer import Writer as ProtobufWriter
from rosbags.rosbag2 import Writer as RosWriter
from rosbags.typesys import Stores, get_typestore

from streamseg.video.open import open_source

HEIGHT, WIDTH = 1080, 1920
STORE = get_typestore(Stores.ROS2_HUMBLE)
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
FIRST_NS, STEP_NS = 1_700_000_000_000_000_000, 33_333_333


def pictures(count: int) -> Iterator[np.ndarray]:
    """A camera that pans over blotches with grain in them, RGB."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (HEIGHT // 10, (WIDTH + 500) // 8, 3), np.uint8)
    wide = cv2.resize(small, (WIDTH + 500, HEIGHT), interpolation=cv2.INTER_CUBIC)
    wide = np.clip(wide.astype(np.int16) + rng.integers(-8, 8, wide.shape), 0, 255).astype(np.uint8)
    for number in range(count):
        left = 2 * (number % 250)
        yield np.ascontiguousarray(wide[:, left : left + WIDTH])


def header(number: int) -> Any:
    seconds, rest_ns = divmod(FIRST_NS + number * STEP_NS, 10**9)
    return STORE.types["std_msgs/msg/Header"](STORE.types["builtin_interfaces/msg/Time"](seconds, rest_ns), "camera")


def compressed(number: int, jpeg: bytes) -> bytes:
    message = STORE.types[COMPRESSED](header(number), "jpeg", np.frombuffer(jpeg, np.uint8))
    return bytes(STORE.serialize_cdr(message, COMPRESSED))


def raw(number: int, image: np.ndarray) -> bytes:
    data = image.reshape(-1)
    return bytes(
        STORE.serialize_cdr(STORE.types[IMAGE](header(number), HEIGHT, WIDTH, "rgb8", 0, WIDTH * 3, data), IMAGE)
    )


def ros_mcap(path: Path, messages: Iterator[bytes], kind: str) -> Path:
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start("ros2")
        definition = STORE.generate_msgdef(kind, ros_version=2)[0].encode()
        channel = writer.register_channel("/camera", "cdr", writer.register_schema(kind, "ros2msg", definition))
        for number, data in enumerate(messages):
            writer.add_message(channel, FIRST_NS + number * STEP_NS, data, FIRST_NS + number * STEP_NS)
        writer.finish()
    return path


def ros_sqlite(path: Path, messages: Iterator[bytes], kind: str) -> Path:
    with RosWriter(path, version=9) as writer:
        connection = writer.add_connection("/camera", kind, typestore=STORE)
        for number, data in enumerate(messages):
            writer.write(connection, FIRST_NS + number * STEP_NS, data)
    return path


def video_mcap(path: Path, packets: Sequence[bytes]) -> Path:
    with path.open("wb") as file:
        writer = ProtobufWriter(file, compression=CompressionType.NONE)
        for number, data in enumerate(packets):
            message = CompressedVideo(format="h264", data=data)
            message.timestamp.FromNanoseconds(FIRST_NS + number * STEP_NS)
            writer.write_message("/camera", message, FIRST_NS + number * STEP_NS)
        writer.finish()
    return path


def video(path: Path, codec: str, count: int, options: dict[str, str] | None = None) -> Path:
    """Encode the pictures; without B-frames, since messages may not have them."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=30, options=options or {})
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "rgb24" if codec == "rawvideo" else "yuv420p"
        for image in pictures(count):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    return path


def motion_jpeg(path: Path, jpegs: Sequence[bytes]) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=30)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number, data in enumerate(jpegs):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 30)
            packet.is_keyframe = True
            container.mux(packet)
    return path


def packets_of(path: Path) -> list[bytes]:
    """The packets of an MP4 as messages have them: with start codes, and all that a decoder needs before key frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        filtered = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        return [bytes(each) for packet in container.demux(stream) for each in filtered.filter(packet)]


def make(folder: Path, frames: int, raw_frames: int) -> dict[str, dict[str, Path]]:
    """Kind of picture -> way -> source."""
    jpegs = [cv2.imencode(".jpg", image[..., ::-1])[1].tobytes() for image in pictures(frames)]
    clip = video(folder / "clip.mp4", "libx264", frames, {"preset": "veryfast", "bf": "0", "g": "30"})

    def messages() -> Iterator[bytes]:
        return (compressed(number, jpeg) for number, jpeg in enumerate(jpegs))

    def raw_messages() -> Iterator[bytes]:
        return (raw(number, image) for number, image in enumerate(pictures(raw_frames)))

    return {
        "JPEG": {
            "file (Motion JPEG)": motion_jpeg(folder / "jpeg.mkv", jpegs),
            "MCAP": ros_mcap(folder / "jpeg.mcap", messages(), COMPRESSED),
            "ROS 2 bag, SQLite": ros_sqlite(folder / "jpeg", messages(), COMPRESSED),
        },
        "H.264": {"file (MP4)": clip, "MCAP": video_mcap(folder / "video.mcap", packets_of(clip))},
        "raw": {
            "file (raw video)": video(folder / "raw.nut", "rawvideo", raw_frames),
            "MCAP": ros_mcap(folder / "raw.mcap", raw_messages(), IMAGE),
            "ROS 2 bag, SQLite": ros_sqlite(folder / "raw", raw_messages(), IMAGE),
        },
    }


def read(source: Path, count: int) -> tuple[float, float]:
    """(frames/s, processor milliseconds a frame) of reading all of it."""
    out = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    begin_s, begin_ns = time.perf_counter(), time.process_time_ns()
    with open_source(str(source), threads=1) as reader:
        seen = 0
        for picture in reader:
            picture.write_rgb(out)
            seen += 1
    if seen != count:
        raise SystemExit(f"{source} gave {seen} of {count} frames")
    return seen / (time.perf_counter() - begin_s), (time.process_time_ns() - begin_ns) / 1e6 / seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--raw-frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    facts: dict[str, Any] = {**vars(args), "size": [HEIGHT, WIDTH], "machine": machine()}
    say_machine(facts["machine"])
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, ways in make(Path(folder), args.frames, args.raw_frames).items():
            count = args.raw_frames if kind == "raw" else args.frames
            found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for _ in range(args.rounds):
                for way, source in ways.items():
                    found[way].append(read(source, count))
            facts[kind] = {way: [list(each) for each in rounds] for way, rounds in found.items()}
            rows += rows_of(kind, found)
    print(table(("frames", "frames/s", "processor ms", "frames/s of the file's"), rows))
    save("bags", facts)


def rows_of(kind: str, found: dict[str, list[tuple[float, float]]]) -> list[tuple[str, ...]]:
    file = [fps for fps, _ in next(iter(found.values()))]
    median: Callable[[list[float]], float] = statistics.median
    rows = []
    for way, rounds in found.items():
        ratio, low, high = ratios([fps for fps, _ in rounds], file)
        beside = "" if way.startswith("file") else f"{ratio:.2f} x ({low:.2f} - {high:.2f})"
        fps, processor_ms = median([each for each, _ in rounds]), median([each for _, each in rounds])
        rows.append((f"{kind}, {way}", f"{fps:.0f}", f"{processor_ms:.2f}", beside))
    return rows


if __name__ == "__main__":
    main()

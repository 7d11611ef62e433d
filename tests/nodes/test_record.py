"""The record node: what is on disk after a run, and what is refused before one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from streamseg_nodes.record.node import Record
from support.bright_nodes import bright_labels, drawn
from support.media import decode_plainly, moving_images, write_video

from streamseg.errors import GraphError, OutputError, PromptError
from streamseg.graph import config
from streamseg.graph.plan import Plan
from streamseg.masks.cleanup import CleanupRules, clean
from streamseg.masks.label_map import areas_and_boxes
from streamseg.masks.png import voc_palette
from streamseg.messages import Gap, Segmented, Stamp
from streamseg.node import NodeContext, run_node
from streamseg.runtime.inline import InlineRun
from streamseg.runtime.supervision.supervisor import Supervisor
from streamseg.tracking.records import TrackRecord, read_tracks


def record(output: Path, messages: list[Any], *, streams: tuple[str, ...] = ("s",), **options: Any) -> dict[str, Any]:
    """Run the node over messages and gaps."""
    node = Record(Record.Config(output=str(output), **options), NodeContext("record", streams=streams))
    node.setup()
    for message in messages:
        node.gap(message) if isinstance(message, Gap) else node.process(message)
    for stream in streams:
        node.finish(stream)
    facts = node.describe()
    node.close()
    return facts


def disk(center_x: int, radius: int = 9, shape: tuple[int, int] = (48, 64)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((x - center_x) ** 2 + (y - 24) ** 2 < radius**2).astype(np.uint16)


def messages(count: int, **more: Any) -> list[Segmented]:
    return [drawn(seq, disk(20 + seq), (1,), **more) for seq in range(count)]


def mask(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def overlay_frames(path: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(path)) as container:
        return [
            (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24"))
            for frame in container.decode(video=0)
        ]


def gap(seq: int, kind: Any = "failed") -> Gap:
    return Gap(Stamp("s", seq, seq, seq, (1, 10), 0, 0, seq + 1), "propagate", kind, "ValueError: no luck")


def bright_graph(source: Path, output: Path, **bright: Any) -> config.Graph:
    return config.parse(
        {
            "nodes": {
                "decode": {"options": {"source": str(source)}},
                "bright": {"use": "support.bright_nodes:Bright", "options": bright},
                "cleanup": {"options": {"min_area_px": 30, "fill_holes_px": 30}},
                "record": {"options": {"output": str(output)}},
            },
            "links": ["decode -> bright -> cleanup -> record"],
        }
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lossless, so that every mask is known."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mkv", moving_images(40), codec="ffv1", pix_fmt="bgr0")


def expected_labels(clip: Path) -> list[np.ndarray]:
    rules = CleanupRules(min_area_px=30, fill_holes_px=30)
    return [clean(bright_labels(image), 2, rules) for image in decode_plainly(clip)]


@pytest.mark.parametrize("mode", ["processes", "inline"])
def test_a_graph_records_exact_masks_tracks_and_overlay(clip: Path, tmp_path: Path, mode: str) -> None:
    output = tmp_path / "out"
    plan = Plan(bright_graph(clip, output))
    if mode == "inline":
        InlineRun(plan).run()
    else:
        with Supervisor(plan) as supervisor:
            supervisor.run()
        assert supervisor.facts["record"]["frames"] == {"decode": 40}
        assert supervisor.stats["decode"].finished == {"done": 40}
    labels = expected_labels(clip)
    assert sorted(path.name for path in output.iterdir()) == ["masks", "overlay.mp4", "tracks.jsonl"]
    assert sorted(path.name for path in (output / "masks").iterdir()) == [f"{i:05d}.png" for i in range(40)]
    tracks = list(read_tracks(output / "tracks.jsonl"))
    assert [(track.frame, track.id) for track in tracks] == [(i, k) for i in range(40) for k in (3, 300)]
    ids = np.array([0, 3, 300])
    for index, expected in enumerate(labels):
        assert np.array_equal(mask(output / "masks" / f"{index:05d}.png"), ids[expected])
        for track, (area_px, box) in zip(tracks[2 * index :], areas_and_boxes(expected, 2), strict=False):
            assert (track.area_px, track.box_xyxy) == (area_px, box)
            assert track.pts_s == pytest.approx(index / 25, abs=1e-3)
            assert (track.score, track.state, track.label) == (0.75, "TRACKED", f"thing {track.id}")
    assert len(overlay_frames(output / "overlay.mp4")) == 40


def test_missing_frames_have_empty_masks_and_a_note_in_the_overlay(clip: Path, tmp_path: Path) -> None:
    plan = Plan(bright_graph(clip, tmp_path / "out", drop=[0, 5], fail=[1, 6, 39]))
    with Supervisor(plan) as supervisor:
        supervisor.run()
    labels = expected_labels(clip)
    assert supervisor.facts["record"] == {
        "folder": str(tmp_path / "out"),
        "frames": {"decode": 40},
        "gaps": {"decode": 5},
    }
    for index in range(40):
        found = mask(tmp_path / "out" / "masks" / f"{index:05d}.png")
        expected = np.zeros_like(labels[0]) if index in (0, 1, 5, 6, 39) else labels[index]
        assert np.array_equal(found, np.array([0, 3, 300])[expected])
    assert len(overlay_frames(tmp_path / "out" / "overlay.mp4")) == 40
    tracked = {track.frame for track in read_tracks(tmp_path / "out" / "tracks.jsonl")}
    assert tracked == set(range(40)) - {0, 1, 5, 6, 39}


def test_small_ids_are_palette_images_and_large_ones_are_never_cut(tmp_path: Path) -> None:
    labels = disk(20) + 2 * disk(45)
    record(tmp_path / "out", [drawn(0, labels, (1, 255)), drawn(1, labels, (2, 256)), drawn(2, labels, (1, 65535))])
    small = Image.open(tmp_path / "out" / "masks" / "00000.png")
    assert small.mode == "P"
    assert np.array_equal(np.array(small.getpalette()).reshape(-1, 3), voc_palette())
    for index, ids in enumerate([(1, 255), (2, 256), (1, 65535)]):
        assert np.array_equal(mask(tmp_path / "out" / "masks" / f"{index:05d}.png"), np.array([0, *ids])[labels])


def test_names_and_lines_have_the_number_of_the_frame_in_the_source(tmp_path: Path) -> None:
    live = [drawn(seq, disk(20), (1,), index=index) for seq, index in enumerate([2, 3, 9, 123456])]
    record(tmp_path / "out", live)
    names = sorted(path.name for path in (tmp_path / "out" / "masks").iterdir())
    assert names == ["00002.png", "00003.png", "00009.png", "123456.png"]
    assert [track.frame for track in read_tracks(tmp_path / "out" / "tracks.jsonl")] == [2, 3, 9, 123456]


def test_the_overlay_keeps_the_times_of_the_stream_from_zero_on(tmp_path: Path) -> None:
    record(tmp_path / "out", [drawn(seq, disk(20), (1,), index=index) for seq, index in enumerate([50, 51, 58])])
    assert [time for time, _ in overlay_frames(tmp_path / "out" / "overlay.mp4")] == pytest.approx([0, 0.1, 0.8])


def test_the_overlay_of_a_gap_is_the_last_picture_with_a_note(tmp_path: Path) -> None:
    size = (240, 320)
    frame = [drawn(seq, disk(100, 50, size), (1,)) for seq in (0, 1)]
    record(tmp_path / "out", [frame[0], frame[1], gap(2)])
    pictures = [picture.astype(int) for _, picture in overlay_frames(tmp_path / "out" / "overlay.mp4")]
    assert len(pictures) == 3
    changed = np.abs(pictures[2] - pictures[1]).max(2) > 60
    assert changed[:30].any()
    assert not changed[40:].any()


def test_gaps_before_the_first_frame_wait_for_its_size(tmp_path: Path) -> None:
    facts = record(tmp_path / "out", [gap(0), gap(1, "dropped"), drawn(2, disk(20), (1,))])
    assert facts["frames"] == {"s": 3}
    assert [bool(mask(tmp_path / "out" / "masks" / f"{i:05d}.png").any()) for i in range(3)] == [False, False, True]
    assert len(overlay_frames(tmp_path / "out" / "overlay.mp4")) == 3


def test_a_stream_of_gaps_alone_leaves_no_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    facts = record(tmp_path / "out", [gap(0), gap(1)])
    assert facts["frames"] == {"s": 0}
    assert "none of 2 frames" in caplog.text


def test_a_picture_of_another_size_fits_into_the_overlay(tmp_path: Path) -> None:
    record(tmp_path / "out", [drawn(0, disk(20), (1,)), drawn(1, disk(20, shape=(96, 80)), (1,))])
    assert mask(tmp_path / "out" / "masks" / "00001.png").shape == (96, 80)
    assert [picture.shape for _, picture in overlay_frames(tmp_path / "out" / "overlay.mp4")] == [(48, 64, 3)] * 2


@pytest.mark.parametrize(
    ("off", "left"),
    [
        ({"overlay": False}, ["masks", "tracks.jsonl"]),
        ({"masks": False}, ["overlay.mp4", "tracks.jsonl"]),
        ({"tracks": False}, ["masks", "overlay.mp4"]),
    ],
)
def test_what_is_switched_off_is_not_written(tmp_path: Path, off: dict[str, bool], left: list[str]) -> None:
    record(tmp_path / "out", messages(2), **off)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == left


def test_several_streams_have_a_folder_each(tmp_path: Path) -> None:
    both = [m for pair in zip(messages(3, stream="left"), messages(3, stream="right"), strict=True) for m in pair]
    record(tmp_path / "out", both, streams=("left", "right"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["left", "right"]
    for stream in ("left", "right"):
        assert len(list((tmp_path / "out" / stream / "masks").iterdir())) == 3
        assert len(overlay_frames(tmp_path / "out" / stream / "overlay.mp4")) == 3


def test_a_graph_of_two_sources_records_both(clip: Path, tmp_path: Path) -> None:
    spec = {"use": "decode", "options": {"source": str(clip), "max_frames": 12}}
    graph = {
        "nodes": {
            "left": spec,
            "right": {**spec, "options": {**spec["options"], "start": 20}},
            "bright": {"use": "support.bright_nodes:Bright"},
            "record": {"options": {"output": str(tmp_path / "out")}},
        },
        "links": ["left -> bright", "right -> bright", "bright -> record"],
    }
    with Supervisor(Plan(config.parse(graph))) as supervisor:
        supervisor.run()
    images = decode_plainly(clip)
    for stream, first in (("left", 0), ("right", 20)):
        folder = tmp_path / "out" / stream
        assert [track.frame for track in read_tracks(folder / "tracks.jsonl")][::2] == list(range(first, first + 12))
        for index in range(first, first + 12):
            found = mask(folder / "masks" / f"{index:05d}.png")
            assert np.array_equal(found, np.array([0, 3, 300])[bright_labels(images[index])])
        assert len(overlay_frames(folder / "overlay.mp4")) == 12


@pytest.mark.parametrize("stream", ["..", "../up", "/tmp/x", "a/b", "", ".hidden"])
def test_no_stream_name_leads_out_of_the_folder(tmp_path: Path, stream: str) -> None:
    with pytest.raises(OutputError, match="stream name"):
        record(tmp_path / "out", [], streams=("s", stream))
    assert list(tmp_path.iterdir()) == []


def test_run_node_records_one_stream(tmp_path: Path) -> None:
    assert run_node(Record(Record.Config(output=str(tmp_path))), messages(2)) == []
    assert len(list(read_tracks(tmp_path / "tracks.jsonl"))) == 2


def test_the_callers_folder_is_taken_if_the_options_name_none(tmp_path: Path) -> None:
    node = Record(Record.Config(), NodeContext("record", output_dir=str(tmp_path / "given")))
    run_node(node, messages(1))
    assert (tmp_path / "given" / "tracks.jsonl").exists()


def test_no_folder_and_nothing_to_write_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="option 'output'"):
        Record(Record.Config()).setup()
    with pytest.raises(GraphError, match="all off"):
        Record(Record.Config(output=str(tmp_path), overlay=False, masks=False, tracks=False)).setup()


def test_a_folder_with_something_in_it_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"--overwrite .*overwrite: true"):
        record(tmp_path, messages(1))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_overwriting_removes_earlier_results_and_nothing_else(tmp_path: Path) -> None:
    record(tmp_path, messages(5))
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "masks" / "mine.png").write_text("mine")
    record(tmp_path, messages(2), overwrite=True, overlay=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks", "notes.txt", "tracks.jsonl"]
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["00000.png", "00001.png", "mine.png"]
    assert len(list(read_tracks(tmp_path / "tracks.jsonl"))) == 2


def test_earlier_results_stay_until_the_first_frame_comes(tmp_path: Path) -> None:
    record(tmp_path, messages(2))
    record(tmp_path, [], overwrite=True)
    assert len(list(read_tracks(tmp_path / "tracks.jsonl"))) == 2


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    for output in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(OutputError, match="is a file"):
            record(output, messages(1))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_closed_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="closed to this user"):
        record(tmp_path / "out", messages(1))


def test_a_run_that_cannot_start_makes_no_folder(tmp_path: Path, clip: Path) -> None:
    with (
        pytest.raises(OSError, match="does not exist"),
        Supervisor(Plan(bright_graph(tmp_path / "none.mp4", tmp_path / "out"))) as supervisor,
    ):
        supervisor.run()
    assert list(tmp_path.iterdir()) == []


# No file may grow beyond so many bytes: the nearest thing to a full disk that needs no privileges.
FULL = """
import resource, sys
from pathlib import Path
from support.bright_nodes import drawn
from streamseg.errors import OutputError
from streamseg_nodes.record.node import Record
from test_record import disk
node = Record(Record.Config(output=sys.argv[1], overlay=sys.argv[3] == "overlay"))
node.setup()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    for seq in range(2000):
        node.process(drawn(seq, disk(20 + seq % 20), (1,)))
except OutputError as error:
    print(seq, error)
node.finish("s")
node.close()
"""


def _fill(output: Path, limit_bytes: int, what: str) -> tuple[int, str]:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(output), str(limit_bytes), what],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seq, _, error = done.stdout.partition(" ")
    return int(seq), error


def test_a_disk_that_fills_up_leaves_whole_lines_and_says_what_is_saved(tmp_path: Path) -> None:
    seq, error = _fill(tmp_path / "out", 20_000, "none")
    assert f"{seq} frames are whole in {tmp_path / 'out'}" in error
    assert "tracks.jsonl" in error and "free space" in error
    tracks = list(read_tracks(tmp_path / "out" / "tracks.jsonl"))
    assert [track.frame for track in tracks] == list(range(seq))
    assert (tmp_path / "out" / "tracks.jsonl").stat().st_size <= 20_000


def test_a_disk_that_fills_up_under_the_overlay_leaves_a_file_that_opens(tmp_path: Path) -> None:
    _, error = _fill(tmp_path / "out", 60_000, "overlay")
    assert "overlay.mp4" in error or "tracks.jsonl" in error
    assert len(overlay_frames(tmp_path / "out" / "overlay.mp4")) > 0


def test_a_fatal_error_elsewhere_leaves_whole_files(tmp_path: Path) -> None:
    node = Record(Record.Config(output=str(tmp_path / "out")))

    def stream() -> Any:
        yield from messages(7)
        raise PromptError("the next frame is not to be had")

    with pytest.raises(PromptError):
        run_node(node, stream())
    assert len(overlay_frames(tmp_path / "out" / "overlay.mp4")) == 7
    assert len(list(read_tracks(tmp_path / "out" / "tracks.jsonl"))) == 7


def test_tracks_without_a_time_or_a_box_say_null(tmp_path: Path) -> None:
    empty = drawn(0, np.zeros((48, 64)), (1,))
    record(tmp_path / "out", [empty])
    text = (tmp_path / "out" / "tracks.jsonl").read_text()
    assert '"box_xyxy":null' in text
    assert "reason" not in text
    (track,) = read_tracks(tmp_path / "out" / "tracks.jsonl")
    assert track == TrackRecord(
        frame=0,
        pts_s=0.0,
        id=1,
        box_xyxy=None,
        area_px=0,
        score=0.75,
        state="TRACKED",
        label="thing 1",
        captured_ns=1000,
        captured_clock="arrival",
    )


def test_tracks_say_when_the_picture_of_a_live_source_was_taken_and_by_which_clock(tmp_path: Path) -> None:
    found = [
        drawn(0, disk(20), (1,)),
        drawn(1, disk(21), (1,), captured_clock="sender", arrived_ns=77),
        drawn(2, disk(22), (1,), captured_clock="reading"),
        drawn(3, disk(22), (1,), captured_clock="recording", arrived_ns=77),
    ]
    record(tmp_path / "out", found, overlay=False)
    tracks = list(read_tracks(tmp_path / "out" / "tracks.jsonl"))
    times = [(track.captured_ns, track.captured_clock, track.arrived_ns) for track in tracks]
    # When a file is read is another time in each run, and says nothing.
    assert times == [(1000, "arrival", None), (1001, "sender", 77), (None, None, None), (1003, "recording", None)]
    assert "captured" not in (tmp_path / "out" / "tracks.jsonl").read_text().splitlines()[2]

"""Nothing that a graph, a source or an earlier user of the folder says leads out of the folder that is written to."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamseg_nodes.record.node import output_folder
from support.command import streamseg
from support.media import moving_images, write_video

from streamseg.cli.running.run_graph import _stem
from streamseg.errors import OutputError


@pytest.mark.parametrize("stream", ["..", "../../x", "/etc", "a/b", "", ".hidden", "a\0b", "a\nb"])
def test_a_stream_name_that_leads_elsewhere_is_refused(tmp_path: Path, stream: str) -> None:
    with pytest.raises(OutputError, match="expected a stream name"):
        output_folder.stream_folder(tmp_path, stream)


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "00000.png").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "masks").symlink_to(mine)
    (out / "tracks.jsonl").symlink_to(mine / "00000.png")
    (out / "camera").symlink_to(mine)
    with pytest.raises(OutputError, match="a link that leads elsewhere"):
        output_folder.stream_folder(out, "camera")
    output_folder.clear(out)
    assert (mine / "00000.png").read_text() == "mine"
    assert not (out / "masks").exists() and not (out / "tracks.jsonl").exists()


@pytest.mark.parametrize("target", ["gone", "out"])
def test_a_link_that_leads_nowhere_is_no_folder_to_write_to(tmp_path: Path, target: str) -> None:
    (tmp_path / "out").symlink_to(tmp_path / target)
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(OutputError, match="out is a link that leads nowhere"):
            output_folder.check(folder, overwrite=True)


@pytest.mark.parametrize("source", ["...mp4", "..", ".", "a/...mp4", "rtsp://u:p@../x", "http://h/../..", "....mkv"])
def test_the_default_folder_is_inside_out(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = (Path("out") / _stem(source)).resolve()
    assert folder.parent == tmp_path / "out"


def test_a_node_name_cannot_be_a_path(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mkv", moving_images(2), codec="ffv1", pix_fmt="bgr0")
    graph = tmp_path / "graph.yaml"
    graph.write_text(
        f"nodes: {{'../../evil': {{use: decode, options: {{source: {clip}}}}}, record: {{options: {{output: out}}}}}}\n"
        "links: ['../../evil -> record']\n"
    )
    done = streamseg("check", graph)
    assert done.returncode == 2
    assert "use a letter first" in done.stderr

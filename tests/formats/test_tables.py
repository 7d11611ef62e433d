"""CSV, Parquet and SA-V, read by pandas and pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pycocotools import mask as coco_mask
from support.exported import assert_identical, truth
from support.strange_masks import IDS, LOST

from streamseg.formats.convert import write_clip
from streamseg.formats.data_sets.sa_v import SaV
from streamseg.formats.runs.run import Run

FRAMES = 9

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_tables_by_pandas(run: Run, tmp_path: Path, name: str) -> None:
    write_clip(run, name, tmp_path, {"masks": True})
    path = tmp_path / f"tracks.{name}"
    table = pd.read_csv(path) if name == "csv" else pd.read_parquet(path)
    assert len(table) == FRAMES * len(IDS)
    assert set(table[table.id == 7].label) == {"object"}
    lost = table[(table.id == 70) & (table.state == "LOST")]
    assert lost.frame.tolist() == list(LOST)
    assert lost.x0.isna().all()
    assert (lost.area_px == 0).all()
    assert np.allclose(table.pts_s, table.frame / 25)
    found = {}
    for row in table[table.area_px > 0].itertuples():
        mask = coco_mask.decode({"size": list(run.size), "counts": row.mask.encode()}).astype(bool)
        found[row.frame, row.id] = mask
        y, x = np.nonzero(mask)
        assert (row.x0, row.y0, row.x1, row.y1) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        assert row.area_px == mask.sum()
    assert_identical(found, FRAMES)


def test_sa_v(run: Run, tmp_path: Path) -> None:
    write_clip(run, "sa-v", tmp_path)
    data = json.loads((tmp_path / "clip_manual.json").read_text())
    assert data["masklet_num"] == len(IDS)
    assert data["masklet_first_appeared_frame"] == [0, 0, 0, 0, -1]
    found = {
        (n, i): coco_mask.decode(mask).astype(bool)
        for n, masks in enumerate(data["masklet"])
        for i, mask in zip(data["masklet_id"], masks, strict=True)
    }
    assert len(found) == FRAMES * len(IDS)
    assert_identical({key: mask for key, mask in found.items() if mask.any()}, FRAMES)
    assert_identical({(f.index, s.id): s.mask for f in SaV.read(tmp_path) for s in f.shapes if s.is_there}, FRAMES)
    sizes = {i: sum(mask.sum() for (_, each), mask in truth(FRAMES).items() if each == i) for i in IDS}
    assert np.allclose(data["masklet_size_rel"], [sizes[i] / FRAMES / run.size[0] / run.size[1] for i in IDS])

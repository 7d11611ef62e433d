"""Tracks as a table: a row for each object in each frame, as CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from streamseg.extras import load
from streamseg.formats.clip import Clip
from streamseg.formats.files.json_file import writing
from streamseg.formats.format import Format, FormatConfig, Option

COLUMNS = ("frame", "pts_s", "id", "label", "state", "score", "x0", "y0", "x1", "y1", "area_px")
_ROWS = 50_000
"""In a group of Parquet, which is in memory at a time."""


class TableConfig(FormatConfig, frozen=True):
    """Options of tables."""

    masks: Annotated[bool, Option("a column with COCO's compressed run lengths of each mask")] = False


class Csv(Format):
    """CSV (tracks.csv): a row for each object in each frame; what is not known is empty."""

    Config = TableConfig
    holds = "boxes, areas, scores, states, labels; run lengths if asked for"
    read_by = "pandas, spreadsheets, R"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``tracks.csv``."""
        path = folder / "tracks.csv"
        with writing(path), path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(_columns(masks=self.config.masks))
            writer.writerows(_rows(clip, masks=self.config.masks))


class Parquet(Format):
    """Parquet (tracks.parquet): the same table, typed and small."""

    Config = TableConfig
    holds = Csv.holds
    read_by = "pandas, polars, DuckDB, Spark"

    def write(self, clip: Clip, folder: Path) -> None:
        """Write ``tracks.parquet``."""
        pa = load("pyarrow", "formats", "to write Parquet")
        parquet = load("pyarrow.parquet", "formats", "to write Parquet")
        kinds = [pa.int64(), pa.float64(), pa.int32(), pa.string(), pa.string(), *[pa.float64()] * 5, pa.int64()]
        kinds += [pa.string()] * self.config.masks
        names = _columns(masks=self.config.masks)
        schema = pa.schema(list(zip(names, kinds, strict=True)))
        path = folder / "tracks.parquet"
        rows: list[tuple[Any, ...]] = []
        with writing(path), parquet.ParquetWriter(path, schema) as writer:

            def flush() -> None:
                if rows:
                    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
                    writer.write_table(pa.table(columns, schema=schema))
                    rows.clear()

            for row in _rows(clip, masks=self.config.masks):
                rows.append(row)
                if len(rows) >= _ROWS:
                    flush()
            flush()


def _columns(*, masks: bool) -> list[str]:
    return [*COLUMNS, *["mask"] * masks]


def _rows(clip: Clip, *, masks: bool) -> Iterator[tuple[Any, ...]]:
    for frame in clip:
        for shape in frame.shapes:
            row = (
                frame.index,
                frame.pts_s,
                shape.id,
                clip.label(shape.id),
                shape.state,
                shape.score,
                *(shape.box_xyxy or (None,) * 4),
                shape.area_px,
            )
            yield (*row, shape.text) if masks else row

"""The notebook in samples/ runs from its first cell to its last, and lies there without results."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "samples" / "notebook"


def printed(cell: NotebookNode) -> str:
    return "".join(output.get("text", "") or output["data"].get("text/plain", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def notebook() -> NotebookNode:
    return nbformat.read(FOLDER / "own_loop.ipynb", as_version=4)


def test_it_lies_there_without_results(notebook: NotebookNode) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_it_runs(notebook: NotebookNode) -> None:
    NotebookClient(notebook, timeout=100, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    _, first, pictures, states, saved, graph = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert all("image/png" in cell.outputs[-1].data for cell in (first, pictures))
    assert [line.split()[:3] for line in printed(states).splitlines()] == [
        ["2", "dog", "TRACKED"],
        ["3", "car", "TRACKED"],
    ]
    assert printed(saved).endswith("True)")
    lines = [line.split() for line in printed(graph).splitlines()]
    assert [(int(index), float(time), state) for index, time, state, _ in lines] == [
        (number, number / 25, "TRACKED") for number in range(8)
    ]

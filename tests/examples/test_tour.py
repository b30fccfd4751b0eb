"""The notebook: every cell runs, and what it asserts holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading import EXAMPLES

pytest.importorskip("aowhisk", reason="aowhisk needs Python 3.11", exc_type=ImportError)
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

import nbformat
from nbclient import NotebookClient

TOUR = EXAMPLES / "tour.ipynb"


@pytest.fixture
def tour(monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    import object_store

    # The kernel is a process of its own: it has to find this very checkout.
    monkeypatch.setenv("PYTHONPATH", str(Path(object_store.__file__).parents[1]))
    return nbformat.read(TOUR, as_version=4)


def test_every_cell_runs_and_what_it_asserts_holds(
    tour: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    NotebookClient(
        tour,
        timeout=60,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    printed = ["".join(out.get("text", "") for out in cell.outputs) for cell in code]
    assert "{'words': 30}" in printed[4]
    assert "Counter({'count': 5, 'add': 2, 'cut': 1})" in printed[5]
    assert "run 2 calls again to bring back counts/" in printed[6]
    assert "texts/none.txt" in printed[9]
    assert sum("assert " in cell.source for cell in code) == 7


def test_it_has_ten_cells_and_is_kept_without_outputs(tour: nbformat.NotebookNode) -> None:
    nbformat.validate(tour)
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert len(code) == 10
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert tour.metadata.kernelspec.name == "python3"

"""The notebooks run from a fresh clone, carry their outputs and define nothing."""

import ast
import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from src.core.metric_names import unnest
from tests.support.workspaces import ROOT, Workspace

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURES = {"01_explore_data": 5, "02_compare_runs": 1}  # at least


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output.text for output in outputs if output.output_type == "stream" and output.name == "stdout"]


def pictures(notebook: nbformat.NotebookNode) -> int:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_notebooks() -> None:
    assert [path.name for path in NOTEBOOKS] == [f"{name}.ipynb" for name in PICTURES]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_carries_its_outputs_and_defines_nothing(path: Path) -> None:
    notebook = read(path)
    assert [cell.execution_count for cell in code_cells(notebook)] == [
        *range(1, len(code_cells(notebook)) + 1)
    ]
    assert pictures(notebook) >= PICTURES[path.stem]
    tree = ast.parse("\n".join(cell.source for cell in code_cells(notebook)))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, definitions)] == []


@pytest.mark.prove
def test_the_data_are_shown_in_a_fresh_clone_as_the_notebook_carries_them(workspace: Workspace) -> None:
    for stage in ("ingest", "split", "normalize"):
        workspace.run(sys.executable, "-m", f"src.{stage}")
    notebook = read(workspace / "notebooks/01_explore_data.ipynb")
    carried, drawn = printed(notebook), pictures(notebook)
    run(notebook, workspace)
    assert printed(notebook) == carried
    assert pictures(notebook) == drawn


@pytest.mark.prove
def test_the_variants_of_a_finished_pipeline_are_found_and_compared(finished: Workspace) -> None:
    notebook = read(finished / "notebooks/02_compare_runs.ipynb")
    drawn = pictures(notebook)
    run(notebook, finished)
    models = json.loads((finished / "reports/benchmark/benchmark.json").read_text())["models"]
    names = sorted(models.keys() - {"torch_fp32", "onnxruntime_fp32"})
    assert f"variants: {', '.join(names)}" in "".join(printed(notebook))
    side_by_side, *differences = tables(notebook)
    latency = {name: unnest(models[name])["speed/latency_p50_ms"] for name in names}
    places = {name: side_by_side.index(f">{name}</th>") for name in names}
    assert sorted(names, key=places.get) == sorted(names, key=latency.get)
    fastest = min(places, key=places.get)
    assert [fastest in table for table in differences] == [True, True, True, False]  # the last is DVC's
    assert pictures(notebook) == drawn


def run(notebook: nbformat.NotebookNode, workspace: Workspace) -> None:
    where = {"metadata": {"path": str(workspace / "notebooks")}}
    NotebookClient(notebook, timeout=120, resources=where).execute()


def tables(notebook: nbformat.NotebookNode) -> list[str]:
    """The tables that the cells show, in order, as HTML."""
    outputs = [output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs]
    return [data["text/html"] for data in outputs if "text/html" in data]

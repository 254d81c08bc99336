"""The notebooks run from a fresh clone, carry their outputs and define nothing."""

import ast
import io
import json
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from tests.workspaces import ROOT, Workspace

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


def test_the_data_are_shown_in_a_fresh_clone_as_the_notebook_carries_them(workspace: Workspace) -> None:
    for stage in ("ingest", "split", "normalize"):
        workspace.run(sys.executable, "-m", f"src.{stage}")
    notebook = read(workspace / "notebooks/01_explore_data.ipynb")
    carried, drawn = printed(notebook), pictures(notebook)
    run(notebook, workspace)
    assert printed(notebook) == carried
    assert pictures(notebook) == drawn


def test_the_variants_of_a_finished_pipeline_are_found_and_compared(finished: Workspace) -> None:
    notebook = read(finished / "notebooks/02_compare_runs.ipynb")
    drawn = pictures(notebook)
    run(notebook, finished)
    benchmark = json.loads((finished / "reports/benchmark/benchmark.json").read_text())
    expected = sorted(benchmark["models"].keys() - {"torch_fp32", "onnxruntime_fp32", "base"})
    assert f"variants: {', '.join(expected)}" in "".join(printed(notebook))
    side_by_side, differences = tables(notebook)[0], tables(notebook)[1:]
    assert set(side_by_side.iloc[:, 0]) >= set(expected)
    assert side_by_side["latency_ms_p50"].dropna().astype(float).is_monotonic_increasing
    assert [len(table) > 0 for table in differences] == [True] * 4
    assert pictures(notebook) == drawn


def run(notebook: nbformat.NotebookNode, workspace: Workspace) -> None:
    where = {"metadata": {"path": str(workspace / "notebooks")}}
    NotebookClient(notebook, timeout=120, resources=where).execute()


def tables(notebook: nbformat.NotebookNode) -> list[pd.DataFrame]:
    """The tables that the cells show, in order."""
    outputs = [output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs]
    return [pd.read_html(io.StringIO(data["text/html"]))[0] for data in outputs if "text/html" in data]

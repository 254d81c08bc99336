"""The notebooks run from a fresh clone, carry their outputs and define nothing."""

import ast
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.workspaces import ROOT, Workspace

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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
    assert [path.name for path in NOTEBOOKS] == ["01_explore_data.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_carries_its_outputs_and_defines_nothing(path: Path) -> None:
    notebook = read(path)
    assert [cell.execution_count for cell in code_cells(notebook)] == [
        *range(1, len(code_cells(notebook)) + 1)
    ]
    assert pictures(notebook) >= 5
    tree = ast.parse("\n".join(cell.source for cell in code_cells(notebook)))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, definitions)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_in_a_fresh_clone_and_prints_what_it_carries(path: Path, workspace: Workspace) -> None:
    for stage in ("ingest", "split", "normalize"):
        workspace.run(sys.executable, "-m", f"src.{stage}")
    notebook = read(workspace / "notebooks" / path.name)
    carried, drawn = printed(notebook), pictures(notebook)
    where = {"metadata": {"path": str(workspace / "notebooks")}}
    NotebookClient(notebook, timeout=120, resources=where).execute()
    assert printed(notebook) == carried
    assert pictures(notebook) == drawn

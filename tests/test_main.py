"""``python -m src``: what can be run here."""

import ast
import subprocess
import sys

import pytest
import yaml

from src.__main__ import STAGES
from tests.support.workspaces import ROOT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "src", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_it_lists_every_stage_and_command_with_a_line_each():
    done = run()
    assert done.returncode == 0
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    runnable = {path.stem for path in (ROOT / "src").glob("*.py")} - {"__init__", "__main__"}
    assert set(listed) == runnable
    assert listed[: len(STAGES)] == list(STAGES)
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines() if line.startswith("  "))
    assert "python -m src.NAME --help" in done.stdout


def test_the_stages_are_those_of_the_pipeline_in_its_order():
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    assert list(pipeline["stages"]) == list(STAGES)


def test_nothing_is_imported_for_it():
    names = {
        name.name.split(".")[0]
        for node in ast.walk(ast.parse((ROOT / "src/__main__.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert names <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("arguments", [["train"], ["--no-such-option"]])
def test_a_wrong_argument_is_named(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert f"unrecognized arguments: {arguments[0]}" in done.stderr

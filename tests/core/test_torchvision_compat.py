"""The operators that a CPU build of torch lacks are declared once, however often somebody asks for them."""

import ast
import subprocess
import sys

import pytest

from tests.support.workspaces import ROOT

CODE = """
from importlib.util import find_spec
from src.core import torchvision_compat
torchvision_compat.install()
find_spec("torchvision")  # looks for it without importing it, as an exporter does
torchvision_compat.install()
import torchvision
"""


@pytest.mark.slow
def test_a_search_for_torchvision_between_two_installs_does_no_harm():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


LOADERS = {"torchvision", "timm", "torchmetrics", "pytorch_lightning"}  # what imports torchvision


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_every_package_that_needs_torchvision_installs_the_workaround_first():
    needs = [
        path
        for path in (ROOT / "src").rglob("*.py")
        if LOADERS & {name.split(".")[0] for name in imported(path)}
    ]
    assert len(needs) > 10
    bare = [
        path.relative_to(ROOT).as_posix()
        for path in needs
        if path.name != "torchvision_compat.py"
        and not any(
            "torchvision_compat.install()" in (folder / "__init__.py").read_text(encoding="utf-8")
            for folder in path.parents
            if folder.is_relative_to(ROOT / "src")
        )
    ]
    assert bare == []

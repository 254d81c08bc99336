"""The operators that a CPU build of torch lacks are declared once, however often somebody asks for them."""

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


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "torchmetrics",
        *(
            pytest.param(name, marks=pytest.mark.prove)
            for name in ("torchvision", "timm", "pytorch_lightning")
        ),
    ],
)
def test_what_needs_torchvision_can_be_imported_after_anything_of_ours(module):
    code = f"import src.core.wording, {module}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

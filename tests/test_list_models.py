"""``python -m src.list_models``: every file of conf/model with what it costs."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from src.proposal.model_table import longest_path
from tests.support.workspaces import ROOT


def table(*arguments: str) -> str:
    command = [sys.executable, "-m", "src.list_models", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.prove
def test_every_model_has_a_line_with_its_numbers_and_its_description():
    text = table("--data", "fashion_mnist")
    assert "For gray images of 28 × 28 pixels (fashion_mnist)" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for path in (ROOT / "conf/model").glob("*.yaml"):
        assert path.stem in lines
    assert lines["lenet"].split()[1:6] == ["61,706", "5", "416,520", "246,824", "4"]
    assert "LeNet-5" in lines["lenet"]


def test_the_longest_path_counts_layers_in_a_row_and_not_beside_each_other():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.long = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
            self.short = nn.Conv2d(3, 3, 1)
            self.head = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head((self.long(x) + self.short(x)).mean((2, 3)))

    assert longest_path(Branches(), torch.zeros(1, 3, 4, 4)) == 3  # of four layers

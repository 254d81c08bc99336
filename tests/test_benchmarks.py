"""The benchmark of training still runs when the configuration changes."""

import subprocess
import sys

import pytest

from tests.support.workspaces import ROOT


@pytest.mark.prove
def test_throughput_runs_to_its_end():
    command = [sys.executable, "-m", "benchmarks.throughput", "--batches", "2", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bare" in done.stdout

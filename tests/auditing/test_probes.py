"""Probes of the numerics: equal on every CPU that is held to AVX2, and not without that."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.core.portable import HELD
from src.numerics import RECORDED
from tests.support.workspaces import ROOT

EMULATOR = shutil.which("qemu-x86_64")
NATIVE = "import json; from src.auditing.probes import hashes; print(json.dumps(dict(hashes())))"


def run(*command, **environment):
    """With nothing held that this process may hold."""
    kept = {name: value for name, value in os.environ.items() if name not in HELD}
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_this_machine_computes_the_recorded_bytes():
    done = run(sys.executable, "-m", "src.numerics")
    count = len(json.loads(RECORDED.read_text())["hashes"])
    assert (done.returncode, f"{count} of {count} probes" in done.stdout) == (0, True), (
        done.stdout + done.stderr
    )


@pytest.mark.prove
def test_without_being_held_some_differ_and_are_named():
    """Otherwise the comparison could not fail. One thread in both cases."""
    if "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has nothing above AVX2")
    done = run(sys.executable, "-c", NATIVE, OMP_NUM_THREADS="1")
    native, recorded = json.loads(done.stdout), json.loads(RECORDED.read_text())["hashes"]
    different = {name for name in recorded if native[name] != recorded[name]}
    assert {"network cnn", "training step 5"} <= different
    assert "torch rand" not in different  # exact everywhere


def test_one_that_differs_is_named(monkeypatch, tmp_path, capsys):
    from src import numerics

    content = json.loads(RECORDED.read_text())
    (tmp_path / "probes.json").write_text(json.dumps(content))
    monkeypatch.setattr(numerics, "RECORDED", tmp_path / "probes.json")
    assert numerics._compare(content["hashes"]) == 0
    assert numerics._compare({**content["hashes"], "torch sum": "0"}) == 1
    assert "  differs: torch sum\n" in capsys.readouterr().out


@pytest.mark.prove
@pytest.mark.skipif(EMULATOR is None, reason="qemu-user is not installed")
@pytest.mark.parametrize("cpu", ["Haswell-v4", "EPYC-v1"])
def test_an_emulated_cpu_computes_the_recorded_bytes(cpu):
    """A CPU of either maker with AVX2 and nothing above it."""
    done = run(EMULATOR, "-cpu", cpu, sys.executable, "-m", "src.numerics")
    assert done.returncode == 0, done.stdout + done.stderr

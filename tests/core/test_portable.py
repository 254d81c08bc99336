"""Held to AVX2 and one thread: before NumPy is imported, and in every process that is started."""

import os
import subprocess
import sys

import pytest

from src.core.portable import HELD
from tests.support.workspaces import ROOT

HOLD = "from src.core.portable import hold_to_avx2; hold_to_avx2(); "
CHECK = "from src.models.held_libraries import check_held; check_held(); print('held')"


def run(code, **environment):
    kept = {name: value for name, value in os.environ.items() if name not in HELD}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_libraries_say_that_they_are_held():
    assert run(HOLD + CHECK).stdout == "held\n"


@pytest.mark.slow
def test_what_the_person_has_set_is_replaced():
    assert run(HOLD + CHECK, OPENBLAS_CORETYPE="SkylakeX", OMP_NUM_THREADS="2").stdout == "held\n"


def test_after_numpy_it_is_too_late():
    done = run("import numpy; " + HOLD)
    assert "numpy is imported already" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ATEN_CPU_CAPABILITY", "default", "this CPU has no AVX2 (torch uses DEFAULT)"),
        ("OPENBLAS_CORETYPE", "Nehalem", "OpenBLAS uses Nehalem instead of Haswell"),
    ],
)
def test_a_library_that_is_not_held_is_named(variable, value, says):
    done = run(f"{HOLD}import os; os.environ[{variable!r}] = {value!r}; {CHECK}")
    assert (done.returncode, says in done.stderr) == (1, True), done.stderr


@pytest.mark.slow
def test_processes_that_are_started_are_held():
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHECK!r}], check=True)"
    assert "held" in run(HOLD + child).stdout

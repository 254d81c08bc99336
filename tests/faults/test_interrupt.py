"""Ctrl-C ends with one line and no traceback: amid imports, in worker processes, in DVC's stages."""

import os
import signal
import sys
import time

import psutil
import pytest

from tests.support.pictures import encoded, noise
from tests.support.workspaces import ROOT, Workspace, clone_working_tree

IMPORTED = "src.core.interruption"  # of all that Assay imports, the first
# A shell shows both as 130. Python ends itself by the signal if that arrived in the exec of a string, as in a
# dataclass, whoever has caught the KeyboardInterrupt.
INTERRUPTED = (130, -signal.SIGINT)
WORKERS = """
import sys
from pathlib import Path
from src.core.errors import ends_with_message
from src.data.dataset.arrays import create_array
from src.data.ingestion.decoding_pool import decode_files
from src.search.engine.worker_pool import WorkerPool
from src.serving.decoding import ImageFormat

def decode(folder):
    names = ["image.png"] * 1_000_000
    create_array(folder / "images.npy", (len(names), 3, 12, 16))
    decode_files(folder, names, ImageFormat(12, 16, 3, "pad", 10**6), folder / "images.npy", 2, print)

def search(folder):
    from tests.faults.test_interrupt import sleep
    with WorkerPool(2, 0) as pool:
        pool.submit(1, sleep, 60)
        pool.submit(2, sleep, 60)
        pool.collect()

if __name__ == "__main__":
    with ends_with_message("it"):
        {"decode": decode, "search": search}[sys.argv[1]](Path(sys.argv[2]))
"""


def sleep(seconds):
    """A task that takes long."""
    time.sleep(seconds)


def start(folder, *arguments, **environment):
    """Start Python in a process group of its own."""
    return Workspace(folder).start(sys.executable, *arguments, PYTHONPATH=str(ROOT), **environment)


def interrupt(process):
    """Press Ctrl-C, which goes to the whole group; returns what was printed, except for times of imports."""
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    return [line for line in out.splitlines() if line and not line.startswith("import time:")]


def wait_for_import(process):
    """Until Python has started: before that, nothing of Assay can help."""
    for line in process.stdout:
        if IMPORTED in line:
            return
    raise AssertionError("it ended before")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("command", ["train", "compose", "numerics"])
def test_a_command_that_still_imports_ends_with_one_line(tmp_path, command, seconds):
    process = start(tmp_path, "-X", "importtime", "-m", f"src.{command}")
    wait_for_import(process)
    time.sleep(seconds)
    said = interrupt(process)
    assert not any("Traceback" in line or "KeyboardInterrupt" in line for line in said), said
    if process.returncode != 1:  # these have ended by themselves: nothing to train or compose is here
        assert process.returncode in INTERRUPTED and len(said) == 1, said
        before = "Interrupted before the work began: the same command"
        assert said[0].startswith((before, f"{command} interrupted", f"{command} failed: ")), (
            "or just at the end"
        )


@pytest.mark.slow
def test_the_first_moment_of_a_stage_names_what_continues_it(tmp_path):
    process = start(tmp_path, "-X", "importtime", "-m", "src.train", DVC_STAGE="train")
    wait_for_import(process)
    time.sleep(0.02)  # the handler is set right after
    said = interrupt(process)
    assert process.returncode == 130
    assert said == [
        "Interrupted before the work began: dvc repro continues. dvc checkout brings the last good result "
        "back, if there is one"
    ]


@pytest.mark.prove
def test_a_stage_that_dvc_runs_names_what_continues_it_and_what_is_kept(tmp_path):
    workspace = clone_working_tree(tmp_path / "clone")
    workspace.run("dvc", "repro", "split")
    workspace.compose("split.method=stable")
    kept = 0
    for seconds in (0.1, 0.5, 1, 2):
        process = workspace.start("dvc", "repro", "split")
        while "> python -m src.split" not in (line := process.stdout.readline()):
            assert line, "it ended before"
        time.sleep(seconds)
        said = interrupt(process)
        assert not any("Traceback" in line or "KeyboardInterrupt" in line for line in said), said
        if process.returncode == 0:
            break
        if "split interrupted. Finished work is kept: dvc repro continues" in said:
            assert "The last good result is kept: dvc checkout data/split" in said
            kept += 1
        elif not any("interrupted by the user" in line for line in said):  # DVC had not started it yet
            assert "dvc repro continues. dvc checkout brings the last good result back" in said[0]
    assert kept > 0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("work", ["decode", "search"])
def test_worker_processes_are_silent_while_they_start(tmp_path, work, seconds):
    (tmp_path / "image.png").write_bytes(encoded(noise(0), "png"))
    (tmp_path / "script.py").write_text(WORKERS)
    process = start(tmp_path, str(tmp_path / "script.py"), work, str(tmp_path))
    while not any("spawn_main" in part for child in children(process) for part in child):
        time.sleep(0.005)
        assert process.poll() is None, process.communicate()
    time.sleep(seconds)
    said = [line for line in interrupt(process) if not line.isdigit()]
    assert process.returncode == 130
    assert said == ["it interrupted. Nothing is half done: run it again"]


def children(process):
    """The command lines of its children."""
    found = []
    for child in psutil.Process(process.pid).children():
        try:
            found.append(child.cmdline())
        except psutil.NoSuchProcess:
            continue
    return found

"""Interrupted work is continued only where it would be computed in the same way."""

from types import SimpleNamespace

import pytest

from src.core.cpus import THREADS, available_cpus
from src.pipeline.numerics import is_portable, machine_numerics, restart_if_changed
from src.provenance.work_dir import WorkDir

CHECKPOINT = "last.ckpt"


def make_job(precision="fp32", threads="auto", stage="train", parameters=("train",)):
    """A job with what decides its numerics; ``said`` collects its lines."""
    said = []
    train = SimpleNamespace(precision=precision, threads=threads)
    return SimpleNamespace(
        stage=stage,
        address=stage,
        graph=SimpleNamespace(stage=lambda name: SimpleNamespace(parameters=parameters)),
        loaded=SimpleNamespace(config=SimpleNamespace(train=train)),
        say=said.append,
        said=said,
    )


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Begun with two threads."""
    monkeypatch.setenv(THREADS, "2")
    state = WorkDir(tmp_path, "train", "0123")
    restart_if_changed(state, make_job())
    (state.path / CHECKPOINT).touch()
    return state


def test_unchanged_work_is_continued(state):
    job = make_job()
    restart_if_changed(state, job)
    assert (state.path / CHECKPOINT).is_file()
    assert job.said == []


def test_other_threads_start_again_with_one_line(state, monkeypatch):
    monkeypatch.setenv(THREADS, "1")
    job = make_job()
    restart_if_changed(state, job)
    assert not (state.path / CHECKPOINT).exists()
    (line,) = job.said
    assert line.endswith("has changed: threads 2 before, 1 now")
    (state.path / CHECKPOINT).touch()
    restart_if_changed(state, job)  # begun again: now it is continued
    assert (state.path / CHECKPOINT).is_file()


def test_portable_work_is_continued_on_any_machine(state, monkeypatch):
    restart_if_changed(state, make_job("portable"))
    (state.path / CHECKPOINT).touch()
    monkeypatch.setenv(THREADS, "16")
    monkeypatch.setattr("src.pipeline.numerics._cpu", lambda: "GenuineIntel avx2")
    job = make_job("portable")
    restart_if_changed(state, job)
    assert (state.path / CHECKPOINT).is_file()
    assert job.said == []


def test_another_cpu_counts_unless_portable(monkeypatch):
    before = [machine_numerics(make_job(precision)) for precision in ("fp32", "portable")]
    monkeypatch.setattr("src.pipeline.numerics._cpu", lambda: "another")
    after = [machine_numerics(make_job(precision)) for precision in ("fp32", "portable")]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, True]


def test_stages_with_threads_of_their_own_do_not_follow_the_cores():
    job = make_job(stage="sweep", parameters=("train", "sweep.threads"))
    assert "threads" not in machine_numerics(job)
    assert machine_numerics(make_job())["threads"] == str(available_cpus())


@pytest.mark.parametrize(
    ("stage", "parameters", "precision", "held"),
    [
        ("ingest", ("data",), "fp32", True),
        ("train", ("train",), "portable", True),
        ("train", ("train",), "fp32", False),
        ("evaluate", ("train.precision",), "portable", True),
        ("benchmark", ("benchmark",), "portable", False),
    ],
)
def test_which_stages_are_held(stage, parameters, precision, held):
    assert is_portable(make_job(precision, stage=stage, parameters=parameters)) is held

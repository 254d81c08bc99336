"""Where a variant finds what was trained with another decision rule."""

from types import SimpleNamespace

import pytest

from src.compress import _work_dir_of_last_rule
from src.provenance.dvc_lock import LockedStage
from src.provenance.lineage import LineageGraph
from src.provenance.work_dir import WorkDir

PIPELINE = """
stages:
  compress:
    foreach: {small: null}
    do:
      cmd: python -m src.compress ${key}
      params: [evaluate.decision, train]
      deps: [images]
      outs:
        - models/${key}
"""
STAGE, KEY = "compress@small", "evaluate.decision"
OLD, NEW = {"method": "argmax"}, {"method": "conformal", "coverage": 0.9}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text("evaluate: {decision: {}}\ntrain: {}\n")
    (tmp_path / "images").write_text("pixels")
    return tmp_path


def graph(folder, decision, lock=None, **train):
    return LineageGraph(folder, {"evaluate": {"decision": decision}, "train": train}, lock or {})


def found(folder, lock, **train):
    job = SimpleNamespace(address=STAGE, graph=graph(folder, NEW, lock, **train))
    return _work_dir_of_last_rule(SimpleNamespace(root=folder, job=job))


def place(folder, decision, **train):
    """The state of a variant that was made with this rule."""
    return WorkDir(folder, STAGE, graph(folder, decision, **train).of(STAGE).id).path


def test_it_is_the_state_with_the_rule_that_dvc_lock_records(folder):
    lock = {STAGE: LockedStage("", {}, {KEY: OLD, "train": {"epochs": 1}}, {})}
    assert found(folder, lock, epochs=1) == place(folder, OLD, epochs=1)


def test_another_training_is_not_taken_for_the_same(folder):
    lock = {STAGE: LockedStage("", {}, {KEY: OLD, "train": {"epochs": 1}}, {})}
    assert found(folder, lock, epochs=2) == place(folder, OLD, epochs=2)
    assert found(folder, lock, epochs=2) != place(folder, OLD, epochs=1)


@pytest.mark.parametrize("lock", [{}, {STAGE: LockedStage("", {}, {}, {})}], ids=["none", "before rules"])
def test_without_a_recorded_rule_it_is_the_variants_own_state(folder, lock):
    assert found(folder, lock) == place(folder, NEW)

"""A variant's parameters are its own settings, so that Compare shows what differs."""

from pathlib import Path

from src.tracking.run_tags import parameters_of, variant_parameters
from src.tracking.sync import synchronize
from tests.support.journals import begin, finish, lineage_of, trained
from tests.tracking.test_sync import runs

STEPS = [
    {"name": "finetune", "epochs": 2, "lr": 0.1},
    {"name": "distill", "student": {"width": 8, "depth": 2}, "alpha": 0.9},
    {"name": "finetune", "epochs": 3, "lr": 0.01},
    {"name": "export"},
]
PARAMS = {
    "train.epochs": 30,
    "compress.agreement": 0.95,
    "compress.variants.small.steps": STEPS,
    "compress.variants.other.steps": [],
}


def test_steps_become_flat_parameters() -> None:
    assert variant_parameters("small", PARAMS) == {
        "steps": "finetune > distill > finetune > export",
        "finetune.epochs": 2,
        "finetune.lr": 0.1,
        "distill.student.width": 8,
        "distill.student.depth": 2,
        "distill.alpha": 0.9,
        "finetune_2.epochs": 3,
        "finetune_2.lr": 0.01,
        "compress.agreement": 0.95,
    }


def test_every_other_stage_shows_all_that_it_read() -> None:
    assert parameters_of({"variant": None, "params": PARAMS}) == PARAMS


def test_mlflow_shows_them(root: Path) -> None:
    trained(root)
    parents = {"train": lineage_of("one")}
    finish(begin(root, "compress", "small", parents=parents, variant="small", params=PARAMS))
    synchronize(root)
    (run,) = runs(root, "small")
    assert run.data.params["steps"] == "finetune > distill > finetune > export"
    assert run.data.params["finetune_2.lr"] == "0.01"
    assert "train.epochs" not in run.data.params

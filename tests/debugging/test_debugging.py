"""``debug=…``: what each choice makes of a training, and what it finds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from src.config.schema.debug import Anomaly, OneBatch, Overfit, Profile, SmallData
from src.core.errors import AssayError
from src.debugging import phases
from src.debugging.phases import OF_EPOCH, OF_STEP, Phase, PhaseProfiler
from src.debugging.profile_report import advice
from src.debugging.run import debug_run
from src.debugging.smaller_tasks import smaller_task
from src.training.fine_tuning import FineTuning
from src.training.fit import fit
from tests.support.feature_models import feature_model
from tests.support.training_tasks import CROP, ROTATE, digits_task

ONE_BATCH, ANOMALY = OneBatch(kind="one_batch"), Anomaly(kind="anomaly")
OVERFIT = Overfit(kind="overfit", images=4, epochs=30)
BUSY = {  # everything that overfit has to switch off
    "model": {"widths": [8, 16], "dropout": 0.3},
    "train": {
        **{"epochs": 9, "precision": "fp32", "label_smoothing": 0.1, "mixup": 0.4, "cutmix": 1.0, "l1": 0.1},
        **{"ema_decay": 0.9, "monitor": "val/loss", "class_weights": {"3": 0.0}},
    },
    "optimizer": {"lr": 0.01, "weight_decay": 0.5},
    "augment": [CROP, ROTATE],
}


def run(task, debug, folder, **changes):
    """The lines that it ends with."""
    wanted = debug_run(task, debug)
    result = fit(wanted.task, folder / "state", device="cpu", watch=wanted.watch, **changes)
    return result, list(wanted.conclude(result, folder))


def test_one_batch_is_one_step_with_every_class(tmp_path):
    task = digits_task(images=1797, model={"widths": [4]}, train={"epochs": 9, "precision": "fp32"})
    result, lines = run(task, ONE_BATCH, tmp_path)
    smaller = smaller_task(task, ONE_BATCH)
    for rows, whole in ((smaller.train_rows, task.train_rows), (smaller.val_rows, task.val_rows)):
        assert len(rows) == 64 and set(rows) <= set(whole)
        assert set(np.bincount(task.targets[rows])) == {6, 7}
    assert len(result.history) == 1
    assert torch.load(tmp_path / "state/last.ckpt", weights_only=True)["global_step"] == 1
    assert lines == ["one batch went through training, validation, calibration and saving"]


def test_small_data_are_that_share_of_each_class():
    task = digits_task(images=1797)
    smaller = smaller_task(task, SmallData(kind="small_data", share=0.1))
    for rows, whole in ((smaller.train_rows, task.train_rows), (smaller.val_rows, task.val_rows)):
        counts = np.bincount(task.targets[whole])
        assert np.bincount(task.targets[rows]).tolist() == np.ceil(0.1 * counts).tolist()
        assert set(rows) <= set(whole)
    assert smaller.train == task.train and smaller.augment == task.augment
    least = smaller_task(task, SmallData(kind="small_data", share=1e-9))
    assert np.bincount(task.targets[least.train_rows]).tolist() == [1] * 10


def test_small_data_depend_on_the_seed_only():
    task, small = digits_task(images=1797), SmallData(kind="small_data", share=0.1)
    first = smaller_task(task, small).train_rows
    assert first.tolist() == smaller_task(task, small).train_rows.tolist()
    assert first.tolist() != smaller_task(replace(task, seed=1), small).train_rows.tolist()


def test_overfit_has_no_augmentation_and_no_regularization():
    task = smaller_task(digits_task(images=1797, **BUSY), OVERFIT)
    assert task.augment.operations == [] and task.model.dropout == 0
    train = task.train
    off = (train.label_smoothing, train.mixup, train.cutmix, train.l1, train.ema_decay, train.swa_start)
    assert set(off) == {0} and train.class_weights == "none" and train.optimizer.weight_decay == 0
    assert np.bincount(task.targets[task.val_rows]).tolist() == [4] * 10
    assert set(task.train_rows) == set(task.val_rows)
    assert train.optimizer.lr == 0.01 and train.epochs == 30


@pytest.mark.slow
def test_overfit_memorizes_its_images_and_stops(tmp_path):
    result, lines = run(digits_task(images=1797, **BUSY), OVERFIT, tmp_path)
    assert len(result.history) < 30
    assert result.history[-1]["val/accuracy"] == 1.0 > result.history[-2]["val/accuracy"]
    assert lines == [
        f"the network has memorized all 40 training images by epoch {len(result.history)}: network, "
        "loss and optimizer work together"
    ]


@pytest.mark.slow
def test_overfit_fails_where_nothing_is_learned(tmp_path):
    task = digits_task(images=1797, **BUSY | {"optimizer": {"lr": 1e-7}})
    with pytest.raises(AssayError, match=r"memorized only \d+ of 40 training images .*optimizer\.lr=1e-07"):
        run(task, replace_epochs(3), tmp_path)


def replace_epochs(epochs):
    return OVERFIT.model_copy(update={"epochs": epochs})


class Root(nn.Module):
    """Forwards it is 0 where its input is not positive, but backwards 0/0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x.sqrt(), 0.0)


def network(middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), middle, nn.Linear(32, 10))


PLAIN = {"train": {"epochs": 1, "precision": "fp32", "ema_decay": 0.0}}


def test_anomaly_names_the_layer_that_gives_a_nan(tmp_path):
    broken = network(nn.Linear(32, 32))
    with torch.no_grad():
        broken[3].weight[0, 0] = torch.nan
    with pytest.raises(
        AssayError, match=r"came out of layer 3 \(Linear.* step 1 of epoch 1: its weights are"
    ):
        run(digits_task(**PLAIN), ANOMALY, tmp_path, fine_tuning=FineTuning(network=broken))


def test_anomaly_names_the_layer_whose_gradient_is_nan(tmp_path):
    with pytest.raises(AssayError, match=r"NaN arose in the backward pass of layer 3, in step 1 .*Sqrt"):
        run(digits_task(**PLAIN), ANOMALY, tmp_path, fine_tuning=FineTuning(network=network(Root())))


def test_anomaly_finds_nothing_in_a_sound_training(tmp_path, capfd):
    result, lines = run(digits_task(model={"widths": [4]}, **PLAIN), ANOMALY, tmp_path)
    assert lines == ["every value and every gradient was finite in 1 epoch"]
    assert capfd.readouterr() == ("", "")
    plain = fit(digits_task(model={"widths": [4]}, **PLAIN), tmp_path / "plain", device="cpu")
    assert result.hashes == plain.hashes  # looking changes nothing


def test_a_phase_is_counted_without_what_is_nested_in_it(monkeypatch):
    clock = iter(
        [
            *(0, 10, 13, 100),  # the first step, which is left out
            *(100, 101, 103, 107, 108, 110),
            *(110, 150, 160),  # validation
        ]
    )
    monkeypatch.setattr(phases, "wall_clock", lambda: float(next(clock)))
    profiler = PhaseProfiler()
    for start, name in (
        *((True, "run_training_batch"), (True, "backward"), (False, "backward")),
        (False, "run_training_batch"),
        *((True, "run_training_batch"), (True, "Strategy.optimizer_step"), (True, "Strategy.training_step")),
        *((False, "Strategy.training_step"), (False, "Strategy.optimizer_step")),
        (False, "run_training_batch"),
        *((True, "Module.on_validation_start"), (False, "Module.on_validation_start")),
        (True, "Strategy.batch_to_device"),
    ):
        (profiler.start if start else profiler.stop)(name)
    assert profiler.steps == 1
    assert dict(profiler.seconds) == {"forward": 4.0, "optimizer": 3.0, "the rest": 3.0, "validation": 40.0}


@pytest.mark.slow
def test_profile_shows_where_the_time_goes(tmp_path):
    """All phases add up, and augmentation costs what it costs."""
    shares = {}
    for name, operations in (("none", []), ("much", [ROTATE, {"name": "blur", "sigma": 2.0, "p": 1.0}] * 3)):
        task = digits_task(
            images=1797, model={"widths": [4]}, augment=operations, train={"precision": "fp32"}
        )
        _, lines = run(task, Profile(kind="profile", steps=30), tmp_path / name)
        rows = [line.split(",") for line in (tmp_path / name / "profile.csv").read_text().splitlines()[1:]]
        assert [row[0] for row in rows] == [*OF_STEP, *OF_EPOCH]
        shares[name] = {row[0]: float(row[3]) for row in rows}
        assert sum(shares[name].values()) == pytest.approx(1, abs=0.01)
        assert all(shares[name][each] > 0.005 for each in ("forward", "backward", "optimizer", "validation"))
        assert (tmp_path / name / "profile.png").stat().st_size > 1000
        assert lines[0] == "an epoch has 24 steps" and "to change: " in lines[-1]
    assert shares["none"]["augmentation"] < shares["much"]["augmentation"]


def measured(**shares):
    return [Phase(name, None, 0.0, shares.get(name.split()[-1], 0.0)) for name in (*OF_STEP, *OF_EPOCH)]


NUMERICS = {"precision": "bf16", "device": "cpu", "threads": 1000}


def test_profile_advises_what_the_largest_phase_needs():
    task = digits_task(augment=[CROP, ROTATE])
    (text,) = advice(measured(augmentation=0.9), task, NUMERICS)
    assert text.startswith("augmentation: try fewer operations (crop, rotate)")
    first, second = advice(measured(loading=0.3, optimizer=0.4), task, NUMERICS)
    assert first.startswith("optimizer: larger batches") and second.startswith("loading: data/ingest")
    assert advice(measured(forward=0.2, loading=0.2), task, NUMERICS)[0].startswith("nothing stands out")


@pytest.mark.parametrize(
    ("train", "numerics", "expected"),
    [
        ({}, {"precision": "portable"}, "with one thread of"),
        ({"precision": "fp32"}, {"precision": "fp32"}, "train.precision=auto takes bf16"),
        ({}, {"threads": 0}, "train.threads=auto"),
        ({}, {}, "a smaller one"),
    ],
)
def test_profile_advises_how_the_network_computes_faster(train, numerics, expected):
    (text,) = advice(measured(forward=0.3, backward=0.3), digits_task(train=train), NUMERICS | numerics)
    assert expected in text


@pytest.mark.parametrize(
    "debug", [Overfit(kind="overfit", images=2, epochs=1), Profile(kind="profile", steps=2)]
)
def test_what_looks_at_steps_is_refused_for_a_model_that_is_fitted(debug):
    task = replace(digits_task(), model=feature_model("knn"))
    with pytest.raises(AssayError, match=r"model\.kind=knn is fitted without any"):
        debug_run(task, debug)

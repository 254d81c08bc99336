"""train.callbacks: which classes are taken, and what they may do to a training."""

import pytest
import pytorch_lightning as pl
import torch
from pydantic import ValidationError

from src.config.schema.train import CallbackConfig
from src.core.errors import AssayError
from src.core.seeds import derive_seed
from src.models.build import build_model
from src.training.callback_loading import load_callbacks
from src.training.callbacks import GradientNorm
from src.training.fit import fit
from tests.support.training_tasks import digits_task

OURS = "src.training.callbacks.GradientNorm"


def config(class_path: str, **init_args) -> CallbackConfig:
    return CallbackConfig(class_path=class_path, init_args=init_args)


def task(class_path: str | None = None, init_args: dict | None = None, train=None, optimizer=None):
    entries = [{"class_path": class_path, "init_args": init_args or {}}] if class_path else []
    return digits_task(
        model={"widths": [4, 8]},
        train={"epochs": 2, "precision": "fp32", "callbacks": entries} | (train or {}),
        optimizer=optimizer,
        schedule={"name": "constant", "warmup": 0.0},
    )


class Recorder(pl.loggers.logger.DummyLogger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics, step=None):
        self.rows.append(dict(metrics))

    def values(self, name: str) -> list[float]:
        return [row[name] for row in self.rows if name in row]


def test_a_callback_of_ours_gets_its_arguments():
    (callback,) = load_callbacks([config(OURS, every=5)])
    assert type(callback) is GradientNorm and callback.every == 5


@pytest.mark.slow
def test_a_callback_of_a_locked_package_is_taken():
    path = "pytorch_lightning.callbacks.EarlyStopping"
    (callback,) = load_callbacks([config(path, monitor="val/loss", patience=7)])
    assert type(callback) is pl.callbacks.EarlyStopping and callback.patience == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("class_path", "init_args", "message"),
    [
        (
            "pytest.Callback",
            {},
            r"\[0\]\.class_path=pytest\.Callback: the package pytest is not in requirements",
        ),
        ("nowhere.Callback", {}, r"the package nowhere is not in requirements\.lock.*`make lock`"),
        ("json.JSONDecoder", {}, r"json\.JSONDecoder belongs to Python"),
        ("os.path.join", {}, r"os\.path\.join belongs to Python, which has no Lightning callback"),
        ("src.training.hooks.StepProgress", {}, r"import the class in src/training/callbacks/__init__\.py"),
        ("src.training.callbacks.GradNorm", {}, r"has no class GradNorm; it has GradientNorm"),
        (
            "pytorch_lightning.nothing.Callback",
            {},
            r"the module pytorch_lightning\.nothing cannot be imported",
        ),
        ("pytorch_lightning.Trainer", {}, r"is not a subclass of pytorch_lightning\.Callback"),
        (OURS, {"often": 1}, r"\[0\]\.init_args do not fit GradientNorm\(every: int = 1\)"),
        (OURS, {"every": 0}, r"every must be at least 1, but got 0"),
        ("pytorch_lightning.callbacks.Timer", {"duration": "abc"}, r"init_args do not fit Timer"),
    ],
)
def test_others_are_refused_with_the_reason(class_path, init_args, message):
    with pytest.raises(AssayError, match=message):
        load_callbacks([config(class_path, **init_args)])


def test_without_a_lock_only_ours_are_taken(tmp_path):
    path = "pytorch_lightning.callbacks.Timer"
    assert load_callbacks([config(path), config(OURS)])
    assert load_callbacks([config(OURS)], tmp_path / "requirements.lock")
    with pytest.raises(AssayError, match="the package pytorch_lightning is not in"):
        load_callbacks([config(path)], tmp_path / "requirements.lock")


@pytest.mark.parametrize("class_path", ["GradientNorm", "a b.C", "../evil.C", "os.system('ls')"])
def test_a_class_path_is_dotted_names(class_path):
    with pytest.raises(ValidationError, match="class_path"):
        config(class_path)


def test_gradient_norm_is_that_of_the_step(tmp_path):
    """One step of SGD with Nesterov momentum m changes the weights by lr (1 + m) times the gradient."""
    recorder = Recorder()
    training = task(
        OURS,
        train={"epochs": 1, "ema_decay": 0.0, "batch_size": 10_000},
        optimizer={"name": "sgd", "lr": 0.01, "weight_decay": 0.0, "momentum": 0.5},
    )
    torch.manual_seed(derive_seed(training.seed, "weights"))
    before = build_model(training.model, 1, 10, (8, 8))
    after = fit(training, tmp_path, device="cpu", loggers=[recorder]).network
    with torch.no_grad():
        pairs = zip(before.parameters(), after.parameters(), strict=True)
        change = torch.cat([(one - other).flatten() for one, other in pairs]).norm()
    assert recorder.values("train/gradient_norm") == pytest.approx([float(change) / 0.015], rel=1e-3)
    assert recorder.values("train/gradient_norm/max") == recorder.values("train/gradient_norm")


def test_gradient_norm_changes_no_weight(tmp_path):
    plain = fit(task(), tmp_path / "plain", device="cpu")
    measured = fit(task(OURS), tmp_path / "measured", device="cpu")
    assert plain.history == measured.history
    weights = zip(plain.network.parameters(), measured.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in weights)


def test_a_training_that_a_callback_stopped_is_finished(tmp_path):
    """It is read, and not continued, when the same task comes again."""
    path = "pytorch_lightning.callbacks.EarlyStopping"
    training = task(path, {"monitor": "val/loss", "patience": 1, "min_delta": 99.0}, train={"epochs": 9})
    first = fit(training, tmp_path, device="cpu")
    assert len(first.history) == 2
    assert fit(training, tmp_path, device="cpu").history == first.history

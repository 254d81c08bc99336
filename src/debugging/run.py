"""From section ``debug`` to a training that looks for a fault, and what it found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytorch_lightning.callbacks import EarlyStopping

from src.config.schema.debug import Anomaly, Debug, OneBatch, Overfit, Profile, SmallData
from src.config.schema.model import FeatureModel
from src.core.errors import AssayError
from src.core.wording import counted
from src.data.loading.datamodule import ShuffledBatches
from src.debugging.anomaly import AnomalyLocator
from src.debugging.phases import AugmentationClock, PhaseProfiler
from src.debugging.profile_report import advice, table, write_profile
from src.debugging.smaller_tasks import smaller_task
from src.training.fit import TrainingResult, Watch
from src.training.task import TrainingTask

Conclusion = Callable[[TrainingResult, Path], Sequence[str]]
ACCURACY = "val/accuracy"


@dataclass(frozen=True)
class DebugRun:
    """A training to run instead.

    Attributes:
        task: The training.
        watch: What looks at it.
        conclude: Gets the result and a folder for files; returns lines for the person at the terminal. Raises
            AssayError if the training has not shown what it should.
    """

    task: TrainingTask
    watch: Watch
    conclude: Conclusion


def debug_run(task: TrainingTask, debug: Debug) -> DebugRun:
    """What ``debug`` makes of ``task``.

    Raises:
        AssayError: the model is fitted without steps, and the run would look at them.
    """
    if isinstance(task.model, FeatureModel) and isinstance(debug, Overfit | Anomaly | Profile):
        raise AssayError(
            f"debug={debug.kind} looks at the steps of a training, and model.kind={task.model.kind} is "
            "fitted without any. debug=one_batch and debug=small_data work"
        )
    smaller = smaller_task(task, debug)
    match debug:
        case OneBatch():
            return DebugRun(smaller, Watch(), lambda *_: [_ran(smaller)])
        case SmallData():
            return DebugRun(smaller, Watch(), lambda result, _: [_accuracy(result)])
        case Anomaly():
            return DebugRun(
                smaller, Watch([AnomalyLocator()], detect_anomaly=True), lambda result, _: [_sound(result)]
            )
        case Overfit():
            nearly = 1 - 0.5 / len(smaller.val_rows)  # Lightning stops above it
            enough = EarlyStopping(ACCURACY, mode="max", stopping_threshold=nearly, patience=debug.epochs)
            return DebugRun(smaller, Watch([enough]), lambda result, _: [_learned(smaller, result)])
        case Profile():
            profiler = PhaseProfiler()
            return DebugRun(
                smaller,
                Watch([AugmentationClock(profiler)], profiler),
                lambda result, folder: _profiled(profiler, task, result, folder),
            )


def _ran(task: TrainingTask) -> str:
    calibration = " calibration" if task.train.temperature_scaling else ""
    return f"one batch went through training, validation,{calibration} and saving"


def _accuracy(result: TrainingResult) -> str:
    return f"validation accuracy {result.best[ACCURACY]:.4f} {result.kept}, with few images"


def _sound(result: TrainingResult) -> str:
    return f"every value and every gradient was finite in {counted(len(result.history), 'epoch')}"


def _learned(task: TrainingTask, result: TrainingResult) -> str:
    images, share = len(task.val_rows), result.best[ACCURACY]
    right = round(share * images)
    if right < images:
        layers = task.train.finetune.layers
        frozen = "" if layers == "all" else f"layers are frozen (train.finetune.layers={layers}), "
        raise AssayError(
            f"the network has memorized only {right} of {images} training images in "
            f"{counted(len(result.history), 'epoch')}. Usual causes: {frozen}"
            f"train.optimizer.lr={task.train.optimizer.lr:g} does not suit it (python -m src.find_lr), the "
            "images are so small that they look alike, or equal images have different classes"
        )
    return (
        f"the network has memorized all {images} training images by epoch {len(result.history)}: "
        "network, loss and optimizer work together"
    )


def _profiled(profiler: PhaseProfiler, task: TrainingTask, result: TrainingResult, folder: Path) -> list[str]:
    """``task`` is the whole training, whose epochs are estimated."""
    batches = len(ShuffledBatches(task.train_rows, task.train.batch_size, task.seed))
    phases = profiler.phases(batches)
    write_profile(folder, phases, batches)
    return [
        *table(phases, batches),
        *(f"to change: {text}" for text in advice(phases, task, result.numerics)),
    ]

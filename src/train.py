"""Train one network on the training split and keep its best weights on the validation split.

    dvc repro train                                       with params.yaml, as a part of the pipeline
    python -m src.train model=lenet train.epochs=2        by hand, into outputs/train/

Reads data/ingest, data/split and data/normalize; writes models/base: model.safetensors, model.json and
history.csv. The default digits take about 20 seconds on 2 cores. A training that was killed goes on from
its last finished epoch and ends with the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.data.dataset.index import DatasetIndex
    from src.models.saving import ModelSpec
    from src.training.fit import TrainingResult, TrainingTask


INGEST = Path("data/ingest")


def build(config: Config, run: StageRun) -> None:
    """Write the trained model into ``run.folder``."""
    from src.core.files import read_json
    from src.data.dataset.index import read_index
    from src.models.saving import save_model
    from src.training.fit import fit

    rows = read_index(INGEST)
    classes, normalization = rows.classes, read_json(Path("data/normalize/normalization.json"))
    task = _task(config, rows, normalization)
    run.say(f"{len(task.train_rows)} images of {len(classes)} classes, {len(task.val_rows)} to choose by")
    fitted = fit(
        task,
        run.state,
        config.machine.device,
        show=run.progress,
        on_start=lambda numerics: run.log(numerics=numerics),  # a run that fails has them too
        on_epoch=run.epoch,
    )
    save_model(run.folder, fitted.network, _spec(config, task.images.shape, classes, normalization))
    _write_history(run.folder / "history.csv", fitted)
    metrics = {"val/accuracy": fitted.best["val/accuracy"], "val/loss": fitted.best["val/loss"]}
    run.log(metrics={**metrics, "epoch": fitted.best_epoch}, model=run.folder)
    run.say(
        f"validation accuracy {metrics['val/accuracy']:.4f} in epoch {fitted.best_epoch} of "
        f"{len(fitted.history)} ({fitted.numerics['precision']}, {fitted.numerics['threads']} threads)"
    )


def _task(config: Config, rows: DatasetIndex, normalization: dict[str, Any]) -> TrainingTask:
    from src.data.dataset.arrays import open_array
    from src.data.dataset.index import read_split
    from src.training.fit import TrainingTask

    split, _ = read_split(Path("data/split"))
    return TrainingTask(
        model=config.model,
        augment=config.augment,
        train=config.train,
        images=open_array(INGEST / "images.npy"),
        targets=rows.targets,
        train_rows=rows.ids[split == "train"],
        val_rows=rows.ids[split == "val"],
        shift=normalization["shift"],
        scale=normalization["scale"],
        classes=len(rows.classes),
        seed=config.seed,
    )


def _spec(
    config: Config, shape: tuple[int, ...], classes: list[str], normalization: dict[str, Any]
) -> ModelSpec:
    from src.models.saving import Input, ModelSpec, Normalization

    _, channels, height, width = shape
    return ModelSpec(
        model=config.model,
        classes=classes,
        input=Input(channels, height, width, config.data.resize_mode, config.data.max_pixels),
        normalization=Normalization(normalization["shift"], normalization["scale"]),
    )


def _write_history(path: Path, fitted: TrainingResult) -> None:
    import pandas as pd

    pd.DataFrame(fitted.history).to_csv(path, index=False, float_format="%.10g", lineterminator="\n")


if __name__ == "__main__":
    run_stage("train", build, __doc__)

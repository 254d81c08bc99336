"""Train one network on the training split and keep its best weights on the validation split.

    dvc repro train                                       with params.yaml, as a part of the pipeline
    python -m src.train model=lenet train.epochs=2        ad hoc, into outputs/train/
    python -m src.train debug=one_batch                   look for a fault: does everything run?

The other choices of debug are overfit, small_data, anomaly and profile.

Reads data/ingest, data/split and data/normalize; writes models/base: model.safetensors, model.json and
history.csv. The default digits take about 25 seconds on 2 cores. A training that was killed resumes after
its last finished epoch and ends with the same bytes. machine.loggers=[tensorboard] shows the curves live.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from src.core.hashing import file_hash
from src.core.wording import counted
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import LOGS, TRAINING

if TYPE_CHECKING:
    from pathlib import Path

    from torch.nn import Module

    from src.config.schema import Config
    from src.data.dataset.spec import DataSpec
    from src.models.saving import ModelSpec
    from src.training.fit import TrainingResult
    from src.training.task import TrainingTask


def build(config: Config, run: StageRun) -> None:
    """Write the trained model into ``run.folder``."""
    from src.debugging.run import debug_run
    from src.models.saving import Input, ModelSpec, Normalization, save_model
    from src.training.features import FEATURES
    from src.training.fit import Watch, fit
    from src.training.history_csv import write_history
    from src.training.loggers import create_loggers
    from src.training.task import read_task

    task, data = read_task(
        config.model, config.augment, config.train, config.seed, **TRAINING, features=run.root / FEATURES
    )
    debugging = debug_run(task, config.debug) if config.debug else None
    task = debugging.task if debugging else task
    run.say(
        f"{len(task.train_rows):,} training and {counted(len(task.val_rows), 'validation image')}, "
        f"{counted(len(task.classes), 'class')}"
    )
    trained = fit(
        task,
        _fresh(run.state / "debug") if debugging else run.state,
        config.machine.device,
        show=run.progress,
        on_start=lambda numerics: run.log(numerics=numerics),  # a run that fails has them too
        on_epoch=run.epoch,
        loggers=create_loggers(config.machine.loggers, run.root / LOGS / "train" / run.lineage.id),
        watch=debugging.watch if debugging else Watch(),
        say=run.say,
    )
    _, channels, height, width = task.images.shape
    spec = ModelSpec(
        model=task.model,
        classes=list(task.classes),
        input=Input(
            channels, height, width, config.data.resize_mode, config.data.max_pixels, config.data.pad
        ),
        normalization=Normalization(list(task.shift), list(task.scale)),
        trained_on={"images": str(data.images), "split": str(data.split)},
        started_from={"file": task.weights.name, "sha256": file_hash(task.weights)} if task.weights else {},
    )
    if config.train.temperature_scaling:
        spec = replace(spec, temperature=_temperature(config, trained.network, spec, task, data))
    for note in trained.notes:
        run.say(note)
    save_model(run.folder, trained.network, spec)
    write_history(run.folder / "history.csv", trained.history, trained.hashes)
    run.log(metrics={**trained.validation, "train/best_epoch": trained.best_epoch}, model=run.folder)
    for line in debugging.conclude(trained, run.folder) if debugging else [_summary(trained)]:
        run.say(line)


def _fresh(folder: Path) -> Path:
    """Without a checkpoint: a debug run has to see every step."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _summary(trained: TrainingResult) -> str:
    threads = counted(int(trained.numerics["threads"]), "thread")
    return (
        f"validation accuracy {trained.best['val/accuracy']:.4f} {trained.kept} "
        f"({trained.numerics['precision']}, {threads})"
    )


def _temperature(
    config: Config, network: Module, spec: ModelSpec, task: TrainingTask, data: DataSpec
) -> float:
    """The one with the lowest log loss on the images that were set apart, else on those of validation."""
    from src.data.dataset.index import read_calibration
    from src.evaluation.fitted.temperature import fit_temperature
    from src.models.inference import predict_logits
    from src.models.numerics import computing

    rows = read_calibration(TRAINING["ingest"], TRAINING["split"], data)
    with computing(config.train):
        logits = predict_logits(network, spec, task.images, rows.ids, device=config.machine.device)
    return fit_temperature(logits, rows.targets)


if __name__ == "__main__":
    run_stage("train", build, __doc__)

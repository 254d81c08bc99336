"""Train one network on the training split and keep its best weights on the validation split.

    dvc repro train                                       with params.yaml, as a part of the pipeline
    python -m src.train model=lenet train.epochs=2        ad hoc, into outputs/train/

Reads data/ingest, data/split and data/normalize; writes models/base: model.safetensors, model.json and
history.csv. The default digits take about 20 seconds on 2 cores. A training that was killed resumes after
its last finished epoch and ends with the same bytes. machine.loggers=[tensorboard] shows the curves live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.core.files import read_json
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import INGEST, LOGS, NORMALIZE, SPLIT

if TYPE_CHECKING:
    from src.config.schema import Config


def build(config: Config, run: StageRun) -> None:
    """Write the trained model into ``run.folder``."""
    from src.data.dataset.spec import DataSpec, describe_split, require_match
    from src.models.saving import Input, ModelSpec, Normalization, save_model
    from src.training.fit import fit
    from src.training.history_csv import write_history
    from src.training.loggers import create_loggers
    from src.training.task import read_task

    normalization = read_json(NORMALIZE / "normalization.json")
    data = describe_split(INGEST, SPLIT)
    require_match((INGEST, data), (NORMALIZE, DataSpec(**normalization.get("data", {}))))
    task, classes = read_task(
        config.model, config.augment, config.train, normalization, INGEST, SPLIT, config.seed
    )
    run.say(
        f"{len(task.train_rows)} training and {len(task.val_rows)} validation images, {len(classes)} classes"
    )
    trained = fit(
        task,
        run.state,
        config.machine.device,
        show=run.progress,
        on_start=lambda numerics: run.log(numerics=numerics),  # a run that fails has them too
        on_epoch=run.epoch,
        loggers=create_loggers(config.machine.loggers, run.root / LOGS / "train" / run.lineage.id),
    )
    _, channels, height, width = task.images.shape
    spec = ModelSpec(
        model=config.model,
        classes=classes,
        input=Input(
            channels, height, width, config.data.resize_mode, config.data.max_pixels, config.data.pad
        ),
        normalization=Normalization(normalization["shift"], normalization["scale"]),
        trained_on={"images": str(data.images), "split": str(data.split)},
    )
    save_model(run.folder, trained.network, spec)
    write_history(run.folder / "history.csv", trained.history, trained.hashes)
    run.log(metrics={**trained.validation, "train/best_epoch": trained.best_epoch}, model=run.folder)
    run.say(
        f"validation accuracy {trained.best['val/accuracy']:.4f} in epoch {trained.best_epoch} of "
        f"{len(trained.history)} ({trained.numerics['precision']}, {trained.numerics['threads']} threads)"
    )


if __name__ == "__main__":
    run_stage("train", build, __doc__)

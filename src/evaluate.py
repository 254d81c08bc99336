"""Say all there is to say about the base model on the test images.

    dvc repro evaluate                                     with params.yaml, as a part of the pipeline
    python -m src.evaluate evaluate.bootstrap=10000        by hand, into outputs/evaluate/

Reads models/base and the test rows of data/split; writes reports/evaluate: metrics.json (each figure with
its bootstrap interval), predictions.parquet, confusion.csv, roc.csv, pr.csv, calibration.csv, per_class.csv
and the figures confusion, roc, pr, reliability, mistakes and curves (PNG). Takes about ten seconds for the
digits, most of them imports; the default model is right on 98 to 99 of 100 digits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from torch import nn

    from src.config.schema import Config
    from src.evaluation.metrics.classification import Floats, Integers
    from src.evaluation.report.report import Report
    from src.models.saving import ModelSpec

BASE = Path("models/base")
IMAGES = Path("data/ingest/images.npy")


def build(config: Config, run: StageRun) -> None:
    """Write the tables and figures into ``run.folder``."""
    from src.core.cpus import resolve_threads
    from src.core.progress import progress_bar
    from src.evaluation.report.report import make_report
    from src.models.numerics import deterministic
    from src.models.saving import load_model

    network, spec = load_model(BASE)
    rows, targets = _test_rows(spec)
    with deterministic(resolve_threads(config.train.threads)):
        probabilities = _predict(config, run, network, spec, rows)
        settings = config.evaluate
        with progress_bar("Resampling", total=settings.bootstrap, show=run.progress) as advance:
            report = make_report(probabilities, targets, spec.classes, settings, config.seed, advance)
    figures = _write(config, run.folder, report, rows)
    run.log(subject="train", metrics=report.to_metrics(), figures=figures)
    run.say(report.sentence())


def _test_rows(spec: ModelSpec) -> tuple[Integers, Integers]:
    """Rows of the test images in the image array and their classes, both (n,)."""
    import numpy as np
    from pyarrow import parquet

    from src.core.errors import AssayError

    split = parquet.read_table("data/split/splits.parquet", columns=["id", "split"])
    test = split["split"].to_numpy() == "test"
    if not test.any():
        raise AssayError("data/split/splits.parquet has no test rows. Make it again: dvc repro split")
    rows = split["id"].to_numpy()[test].astype(np.int64)
    targets = parquet.read_table("data/ingest/manifest.parquet", columns=["target"])["target"].to_numpy()
    if targets.max() >= len(spec.classes):
        raise AssayError(
            f"data/ingest has {targets.max() + 1} classes, but models/base knows {len(spec.classes)}: "
            "they are of different data. Make the model again: dvc repro train"
        )
    return rows, targets[rows].astype(np.int64)


def _predict(config: Config, run: StageRun, network: nn.Module, spec: ModelSpec, rows: Integers) -> Floats:
    """Probabilities of the test images, (n, K)."""
    import numpy as np

    from src.core.errors import AssayError
    from src.data.dataset.arrays import open_array
    from src.evaluation.metrics.classification import softmax
    from src.models.inference import predict_logits

    size, device = config.evaluate.batch_size, config.machine.device
    logits = predict_logits(network, spec, open_array(IMAGES), rows, size, device, run.progress)
    broken = rows[~np.isfinite(logits).all(axis=1)]
    if len(broken):
        raise AssayError(
            f"models/base gives no finite output for {len(broken)} of {len(rows)} test images "
            f"(the first is row {broken[0]} of {IMAGES}): train it again with a lower train.optimizer.lr"
        )
    return softmax(logits)


def _write(config: Config, folder: Path, report: Report, rows: Integers) -> list[Path]:
    from src.data.dataset.arrays import open_array
    from src.evaluation.report.publish import draw_figures, read_history, write_tables

    write_tables(folder, report, rows, config.evaluate)
    history = read_history(BASE / "history.csv")
    return draw_figures(folder, report, rows, open_array(IMAGES), history, config.evaluate)


if __name__ == "__main__":
    run_stage("evaluate", build, __doc__)

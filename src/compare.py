"""Compare the compressed variants with the base model: accuracy, size, and what is more than chance.

    dvc repro compare                                      with params.yaml, as a part of the pipeline
    python -m src.compare evaluate.bootstrap=10000         by hand, into outputs/compare/

Reads models/base, models/VARIANT of the variants that the configuration names, and the held-out rows of
data/split; writes reports/compare: variants.csv, and variants.md for people. Within the pipeline it first
removes the folders of variants that params.yaml no longer names (DVC's cache has them). Takes about ten
seconds, most of them imports and the base's predictions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.data.dataset.index import HeldOutRows
    from src.leaderboard.comparison.variants import Model
    from src.leaderboard.table.rows import LeaderboardRow

MODELS, INGEST, SPLIT = Path("models"), Path("data/ingest"), Path("data/split")


def build(config: Config, run: StageRun) -> None:
    """Write the table, and attach each row's figures to the run of its model."""
    from src.core.progress import progress_bar
    from src.data.dataset.index import read_held_out
    from src.leaderboard.comparison.compare import compare
    from src.leaderboard.comparison.variants import read_variant, remove_stale_variants
    from src.leaderboard.table.markdown import write_variants
    from src.leaderboard.table.rows import BASE, write_rows

    names = list(config.compress.variants)
    if not run.job.loaded.is_ad_hoc:  # a run by hand may name others than the pipeline's
        for name in remove_stale_variants(MODELS, names):
            run.say(f"removed {MODELS / name}: params.yaml no longer names it (DVC's cache has it)")
    held = read_held_out(INGEST, SPLIT)
    variants = [read_variant(MODELS / name, held) for name in names]
    base = _base(config, run, held)
    with progress_bar("Comparing", total=1 + len(names), show=run.progress) as advance:
        rows = compare(base, variants, held, config.evaluate, config.seed, advance)
    write_rows(run.folder / "variants.csv", rows)
    write_variants(run.folder / "variants.md", rows, config.evaluate.confidence)
    for row in rows:
        if row.reason is not None:
            continue
        run.log_for("train" if row.name == BASE else f"compress@{row.name}", row.tracked())
    _tell(run, rows)


def _base(config: Config, run: StageRun, held: HeldOutRows) -> Model:
    import gzip

    import numpy as np
    import torch

    from src.core.cpus import resolve_threads
    from src.core.errors import AssayError
    from src.data.dataset.arrays import open_array
    from src.leaderboard.comparison.variants import Model, Size
    from src.models.inference import predict_logits
    from src.models.numerics import deterministic
    from src.models.saving import WEIGHTS, load_model
    from src.models.size import count_macs, count_nonzero, count_parameters

    network, spec = load_model(MODELS / "base")
    images, size = open_array(INGEST / "images.npy"), config.evaluate.batch_size
    with deterministic(resolve_threads(config.train.threads)):
        logits = predict_logits(network, spec, images, held.ids, size, "cpu", run.progress)
        macs = count_macs(network, torch.zeros(1, *images.shape[1:]))
    if not np.isfinite(logits).all():
        raise AssayError("models/base gives no finite output: train it again with a lower train.optimizer.lr")
    weights = (MODELS / "base" / WEIGHTS).read_bytes()
    gzipped = len(gzip.compress(weights, mtime=0))
    return Model(logits, Size(len(weights), gzipped, count_parameters(network), count_nonzero(network), macs))


def _tell(run: StageRun, rows: list[LeaderboardRow]) -> None:
    for row in rows[1:]:
        if row.reason is not None:
            run.say(f"{row.name} failed: {row.reason}")
            continue
        figures = row.metrics
        run.say(
            f"{row.name}: validation accuracy {figures['val_accuracy']:.4f} "
            f"({100 * figures['val_change']:+.2f} points), {figures['bytes']:,.0f} bytes"
        )


if __name__ == "__main__":
    run_stage("compare", build, __doc__)

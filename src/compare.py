"""Compare the compressed variants with the base model: accuracy, size, and which changes are significant.

    dvc repro compare                                      with params.yaml, as a stage of the pipeline
    python -m src.compare evaluate.confidence=0.99         an ad-hoc run, into outputs/compare/

Reads models/base, models/VARIANT for each variant in the configuration, and the held-out rows of
data/split. Writes reports/compare: variants.csv, and variants.md for people. Within the pipeline it first
removes the folders of variants that params.yaml no longer names (DVC's cache has them). Takes about ten
seconds, mostly imports and the base's predictions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from src.core.progress import progress_bar
from src.leaderboard.table.markdown import write_variants
from src.leaderboard.table.rows import BASE, LeaderboardRow, write_rows
from src.pipeline import paths
from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from src.config.schema import Config


def build(config: Config, run: StageRun) -> None:
    """Write the table, and log each row to the run of its model."""
    from src.data.dataset.index import read_held_out
    from src.data.dataset.spec import require_same_data
    from src.leaderboard.comparison import variants
    from src.leaderboard.comparison.compare import compare

    settings, names = config.evaluate, list(config.compress.variants)
    if not run.job.loaded.is_ad_hoc:  # an ad-hoc run may name other variants than the pipeline
        for name in variants.remove_stale_variants(paths.MODELS, names):
            run.say(f"removed {paths.MODELS / name}: params.yaml no longer names it (DVC's cache has it)")
    folders = [paths.MODELS / name for name in names]
    data = require_same_data(paths.BASE, paths.INGEST, paths.SPLIT, folders)
    held = read_held_out(paths.INGEST, paths.SPLIT, data)
    compared = [variants.read_variant(folder, held) for folder in folders]
    base = variants.measure_base(
        paths.BASE,
        paths.INGEST / "images.npy",
        held,
        batch_size=settings.batch_size,
        train=config.train,
        show=run.progress,
    )
    with progress_bar("Comparing", total=1 + len(names), show=run.progress) as advance:
        rows = compare(base, compared, held, settings, advance)
    write_rows(run.folder / "variants.csv", rows)
    write_variants(run.folder / "variants.md", rows, settings.confidence)
    for row in rows:
        _log(run, row)


def _log(run: StageRun, row: LeaderboardRow) -> None:
    if row.reason is not None:
        run.say(f"{row.name} failed: {row.reason}")
        return
    if row.name == BASE:
        run.log_for("train", row.tracked())
        return
    run.log_for(f"compress@{row.name}", row.tracked())
    run.say(
        f"{row.name}: validation accuracy {row.metrics['val/accuracy']:.4f} "
        f"({100 * row.metrics['val/accuracy/change']:+.2f} points), {row.metrics['model/bytes']:,.0f} bytes"
    )


if __name__ == "__main__":
    run_stage("compare", build, __doc__)

"""Assign each image to train, validation or test, and each training or validation image to a fold.

    python -m src.split                   what DVC runs
    python -m src.split split.folds=10    an ad-hoc run, into outputs/split/

Splits that the data define are kept; the missing ones are drawn, each with its share of every class.
Groups and equal images stay together. If two given splits share an image, it stays in the more
held-out one (test before val before train). Nearly equal images across splits are reported.

Takes a second for the digits; 7 s and 0.4 GB for 70,000 images of 28×28 on 2 cores.
Writes splits.parquet (id, split, fold) and report.json.
Result for the digits: 1,168 train, 270 val, 359 test; 5 folds.
"""

from typing import TYPE_CHECKING, Any

from src.core.files import write_json
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import INGEST

if TYPE_CHECKING:
    from src.config.schema import Config


def build(config: "Config", run: StageRun) -> None:
    """Write the folder of the stage."""
    from src.data.dataset.arrays import open_array
    from src.data.dataset.index import read_index
    from src.data.dataset.spec import describe_data
    from src.data.splitting.report import split_and_report, write_splits

    wanted, rows = config.split, read_index(INGEST)
    columns, report = split_and_report(
        rows,
        open_array(INGEST / "images.npy"),
        val=wanted.val,
        test=wanted.test,
        folds=wanted.folds,
        near_duplicate=wanted.near_duplicate,
        seed=config.seed,
        show=run.progress,
    )
    write_splits(run.folder / "splits.parquet", columns, describe_data(INGEST))
    write_json(run.folder / "report.json", report)
    _summarize(run, report)


def _summarize(run: StageRun, report: dict[str, Any]) -> None:
    sizes = ", ".join(f"{part['images']:,} {name}" for name, part in report["splits"].items())
    near = report["leakage"]["near"]["count"]
    run.say(f"{sizes}; {len(report['folds'])} folds; {near:,} near duplicates across splits")
    for gap in report["missing"]:
        run.say(f"note: {gap['split']} has no image of class {gap['class']!r}")


if __name__ == "__main__":
    run_stage("split", build, __doc__)

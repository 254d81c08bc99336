"""Split the images into train, validation and test, and train + validation into folds.

An official split of the data is kept; what is missing of it is drawn, so that every split has its
share of each class, and groups and equal images stay together. Of equal images in two official
splits the most held-out one stays. Nearly equal images across splits are reported.

    python -m src.split                   as dvc repro does it
    python -m src.split split.folds=10    by hand, below outputs/

Cost: a second for the digits; 7 s and 0.4 GB for 70,000 images of 28×28 on 2 cores.
Writes splits.parquet (id, split, fold) and report.json.
Result for the digits: 1,168 train, 270 val, 359 test; 5 folds.
"""

from typing import Any

from src.execution import Execution, execute
from src.schema import Config


def build(config: Config, run: Execution) -> None:
    import json
    from pathlib import Path

    import numpy as np

    from src.data.leakage import near_duplicates
    from src.data.split_report import SplitReport
    from src.data.splits import fold_rows, split_rows
    from src.data.store import open_array

    rows, classes = _read_manifest()
    targets, digests = np.array(rows["target"]), np.array(rows["sha256"], dtype=np.str_)
    wanted, groups = config.split, rows["group"]
    splits, copies = split_rows(
        targets, classes, digests, groups, rows["official"], wanted.val, wanted.test, config.seed
    )
    folds = fold_rows(targets, classes, digests, groups, splits, wanted.folds, config.seed)
    images = open_array(Path("data/ingest/images.npy"))
    count, near = near_duplicates(images, splits, wanted.near_duplicate, run.progress)

    reporter = SplitReport(rows["id"], rows["source"], targets, classes, splits, folds)
    report = reporter.counts() | {
        "official": sorted({name for name in rows["official"] if name}),
        "leakage": reporter.leakage(copies, near, count, wanted.near_duplicate),
    }
    (run.folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    _write_splits(run, {"id": rows["id"], "split": splits.tolist(), "fold": folds.tolist()})
    _say(run, report)


def _read_manifest() -> tuple[dict[str, list[Any]], list[str]]:
    """The columns of the manifest that a split depends on, and the names of the classes."""
    import json
    from pathlib import Path

    from pyarrow import parquet

    columns = ["id", "source", "target", "sha256", "official", "group"]
    rows = parquet.read_table("data/ingest/manifest.parquet", columns=columns).to_pydict()
    report = json.loads(Path("data/ingest/report.json").read_text(encoding="utf-8"))
    return rows, report["classes"]


def _write_splits(run: Execution, columns: dict[str, list[Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([("id", pyarrow.int64()), ("split", pyarrow.string()), ("fold", pyarrow.int64())])
    parquet.write_table(pyarrow.table(columns, schema=schema), run.folder / "splits.parquet")


def _say(run: Execution, report: dict[str, Any]) -> None:
    sizes = ", ".join(f"{part['images']:,} {name}" for name, part in report["splits"].items())
    near = report["leakage"]["near"]["count"]
    run.say(f"{sizes}; {len(report['folds'])} folds; {near:,} near duplicates across splits")
    for gap in report["missing"]:
        run.say(f"note: {gap['split']} has no image of class {gap['class']!r}")


if __name__ == "__main__":
    execute("split", build, __doc__)

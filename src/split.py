"""Assign each image to train, validation or test, and each training or validation image to a fold.

    python -m src.split                   what DVC runs
    python -m src.split split.folds=10    an ad-hoc run, into outputs/split/

Predefined splits are kept; missing ones are drawn. split.method=stratified gives each split its exact share
of every class. split.method=stable places each image by a hash, so that new images never move old ones.
split.calibration sets images apart for the temperature and the decision rule; they are in no fold.
Groups, subjects, equal images and (data.near_duplicates=group) near copies stay on one side; an image that
would join two sides is left out and reported. See docs/stable-splits.md.

Takes a second for the digits; 7 s and 0.4 GB for 70,000 images of 28×28 on 2 cores.
Writes splits.parquet (id, split, fold), near.parquet (the rule, and pairs of near copies) and report.json.
Result for the digits: 1,168 train, 270 val, 359 test; 5 folds.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.files import read_json, write_json
from src.core.wording import counted
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import INGEST

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.data.dataset.index import DatasetIndex
    from src.data.splitting.splits import Names

LAST = (("data/ingest", "manifest.parquet"), ("data/split", "splits.parquet"), ("data/split", "report.json"))


def build(config: "Config", run: StageRun) -> None:
    """Write the folder of the stage."""
    from src.data.dataset.arrays import open_array
    from src.data.dataset.index import read_index
    from src.data.dataset.spec import describe_data
    from src.data.splitting.assignment.rule_file import write_rule
    from src.data.splitting.report import SplitSettings, split_and_report, write_splits

    wanted, data, rows = config.split, config.data, read_index(INGEST)
    settings = SplitSettings(
        method=wanted.method,
        val=wanted.val,
        test=wanted.test,
        calibration=wanted.calibration,
        folds=wanted.folds,
        rare=wanted.rare,
        near_duplicates=data.near_duplicates,
        near_threshold=data.near_threshold,
        seed=config.seed,
    )
    result = split_and_report(rows, open_array(INGEST / "images.npy"), settings, run.progress)
    write_splits(run.folder / "splits.parquet", result.columns, describe_data(INGEST))
    write_rule(run.folder, result.rule)
    write_json(run.folder / "report.json", result.report)
    _summarize(run, result.report)
    _compare_with_last(run, rows, result.columns["split"], wanted.method)


def _summarize(run: StageRun, report: dict[str, Any]) -> None:
    parts = dict(report["splits"])
    dropped = parts.pop("dropped")["images"]
    sizes = ", ".join(f"{part['images']:,} {name} ({part['share']:.1%})" for name, part in parts.items())
    sizes += f", {dropped:,} dropped"
    near = report["leakage"]["near"]["count"]
    run.say(
        f"{sizes}; {counted(len(report['folds']), 'fold')}; {counted(near, 'near duplicate')} across splits"
    )
    for line in _notes(report, run.job.place / "report.json"):
        run.say(f"note: {line}")


def _notes(report: dict[str, Any], path: Path) -> Iterator[str]:
    left = report["left_out"]
    if left:
        counts = Counter(each["because"] for each in left)
        reasons = ", ".join(f"{why} {count:,}" for why, count in counts.items())
        yield (
            f"images left out: {len(left):,}, because they belong to images on another side ({reasons}); see "
            f"{path}. To keep all images of one subject, name it: data.subject"
        )
    if report["in_no_fold"]:
        yield f"images in no fold: {report['in_no_fold']:,}, because a near copy is in another one"
    for name in report["dropped_classes"]:
        yield f"class {name!r} is too small and was dropped (split.rare)"
    for gap in report["missing"]:
        if gap["class"] not in report["dropped_classes"]:
            yield f"{gap['split']} has no image of class {gap['class']!r}"


def _compare_with_last(run: StageRun, rows: "DatasetIndex", splits: "Names", method: str) -> None:
    """Say how many images moved. What DVC recorded last is no input, so only the journal keeps the number."""
    from src.data.splitting.movement import measure_movement
    from src.provenance.last_output import last_files

    before = last_files(run.root, "split", LAST)
    if before is None:
        return
    manifest, table, report = before
    movement = measure_movement(rows, splits, manifest, table)
    earlier = read_json(report).get("method", "stratified")  # Assay 0.2.0 knew no other
    moved = f"{movement.moved:,} of {counted(movement.images, 'image')} moved to another split"
    left_out = f"; {movement.left_out:,} of them are left out now" if movement.left_out else ""
    run.say(f"{moved} since the last version{left_out}")
    if earlier != method:
        run.say(
            f"warning: split.method was {earlier} and is {method} now. Of the images that moved, "
            f"{movement.test_to_train:,} were test images and are training images now, so earlier and later "
            f"results cannot be compared. To go back: split.method={earlier}"
        )
    run.attempt.update(tags={"split.moved": str(movement.moved), "split.left_out": str(movement.left_out)})


if __name__ == "__main__":
    run_stage("split", build, __doc__)

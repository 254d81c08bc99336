"""What evaluate says of corrupted images and of subgroups, against the stored answers and the model."""

import csv
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.auditing.file_comparison import read_table
from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.config.schema.evaluate import Evaluate
from src.core.wording import counted
from src.data.dataset.index import read_csv_columns
from src.evaluation.report import robustness, subgroups
from src.evaluation.robustness.answers import Answers, predict_corrupted
from src.evaluation.robustness.corruptions import SEVERITIES
from src.evaluation.robustness.subgroups import find_subgroups, subgroup_metrics

Table = Mapping[str, NDArray[Any]]

EXACT = 1e-8  # of a value in a table, which has ten digits
ASKED = 500  # images about which the model is asked again: there are many corruptions
CHANGED = 0.005  # share of their answers that rounding may change on another machine


def check_robustness(subject: AuditTarget, table: Table, classes: int, see: CheckLog) -> dict[str, float]:
    """Recompute robustness.csv and subgroups.csv as far as they are here; returns metrics by name.

    Args:
        subject: of which the base is audited.
        table: predictions.parquet.
        classes: their number.
        see: receives what is found.
    """
    folder = subject.folder / "reports/evaluate"
    found: dict[str, float] = {}
    if "evaluate" not in subject.lock:
        return found
    if (folder / robustness.ANSWERS).is_file():
        found |= _corruptions(subject, folder, table, classes, see)
    if (folder / subgroups.TABLE).is_file():
        found |= _subgroups(subject, folder, table, classes, see)
    return found


def _corruptions(
    subject: AuditTarget, folder: Path, table: Table, classes: int, see: CheckLog
) -> dict[str, float]:
    stored, (settings, seed) = read_table(folder / robustness.ANSWERS), _settings(subject)
    answers = robustness.read_answers(stored)
    wanted = [(name, severity) for name in settings.corruptions for severity in SEVERITIES]
    if not np.array_equal(stored["id"], table["id"]) or [*answers] != wanted:
        told = "answers for other images or corruptions"
        see.find(robustness.ANSWERS, "answers for the test images", told, Verdict.TAMPERED)
        return {}
    remade = robustness.measure_robustness(
        answers, table["predicted"], table["target"], classes, settings, seed
    )
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch) / robustness.TABLE
        robustness.write_robustness(again, remade)
        _same_table(folder / robustness.TABLE, again, see)
    _ask_again(subject, answers, stored["id"], see)
    return remade.means


def _ask_again(subject: AuditTarget, answers: Answers, ids: NDArray[np.int64], see: CheckLog) -> None:
    """The model itself, about some of the images."""
    model, images = subject.folder / "models/base", subject.folder / "data/ingest/images.npy"
    if not (model.is_dir() and images.is_file()):
        return  # which is noted for the images as they are
    settings, seed = _settings(subject)
    again = predict_corrupted(
        settings.corruptions,
        ids[:ASKED],
        model,
        images,
        batch_size=ASKED,
        device="cpu",
        seed=seed,
        show=False,
    )
    changed = sum(int((answers[row][:ASKED] != found).sum()) for row, found in again.items())
    total = len(again) * len(ids[:ASKED])
    if changed > CHANGED * total:
        see.find(
            "the model, asked again about corrupted images",
            f"its {total:,} stored answers",
            f"{changed:,} other answers",
            Verdict.TAMPERED,
        )
    else:
        see.agree(f"the model gives {total - changed:,} of its {total:,} answers for corrupted images again")


def _subgroups(
    subject: AuditTarget, folder: Path, table: Table, classes: int, see: CheckLog
) -> dict[str, float]:
    ingest, (settings, seed) = subject.folder / "data/ingest", _settings(subject)
    columns = read_csv_columns(ingest) if (ingest / "manifest.parquet").is_file() else {}
    if not {*settings.subgroups} <= columns.keys():
        see.note("the subgroups were not recomputed: the manifest with their columns is not here")
        return {}
    cells = {name: np.array(columns[name])[table["id"]] for name in settings.subgroups}
    remade = find_subgroups(table["predicted"], table["target"], cells, classes, settings, seed)
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch) / subgroups.TABLE
        subgroups.write_subgroups(again, remade)
        _same_table(folder / subgroups.TABLE, again, see)
    return subgroup_metrics(remade)


def _settings(subject: AuditTarget) -> tuple[Evaluate, int]:
    """Section ``evaluate`` and the seed that the stage was run with."""
    parameters = subject.lock["evaluate"].parameters
    return Evaluate.model_validate(parameters["evaluate"]), parameters["seed"]


def _same_table(told: Path, again: Path, see: CheckLog) -> None:
    """Compare the cells of two CSV files; the first that differs is named."""
    ours, theirs = _rows(again), _rows(told) if told.is_file() else []
    if len(ours) != len(theirs):
        see.find(
            told.name,
            f"{counted(len(ours), 'line')}, recomputed",
            counted(len(theirs), "line"),
            Verdict.TAMPERED,
        )
        return
    for line, (mine, other) in enumerate(zip(ours, theirs, strict=True), 2):
        for column in _differing(mine, other):
            see.find(
                f"{column} in line {line} of {told.name}",
                f"{mine.get(column)}, recomputed",
                other.get(column),
                Verdict.TAMPERED,
            )
            return
    see.agree(f"{told.name} follows from the stored answers")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    for column in dict.fromkeys([*one, *other]):
        mine, theirs = one.get(column), other.get(column)
        if mine != theirs and not _close(mine, theirs):
            yield column


def _close(one: str | None, other: str | None) -> bool:
    try:
        return abs(float(one or "") - float(other or "")) <= EXACT
    except ValueError:
        return False

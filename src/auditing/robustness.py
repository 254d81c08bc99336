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
from src.config.schema.evaluate import CorruptionName, Evaluate
from src.core.hashing import file_hash
from src.core.wording import counted
from src.data.dataset.index import read_csv_columns
from src.data.dataset.spec import PREDICTIONS, read_spec
from src.evaluation.report import robustness, subgroups
from src.evaluation.robustness.answers import Answers, predict_corrupted
from src.evaluation.robustness.corruptions import SEVERITIES
from src.evaluation.robustness.subgroups import find_subgroups, subgroup_metrics

Table = Mapping[str, NDArray[Any]]

EXACT = 1e-8  # of a value in a table, which has ten digits
ASKED = 500  # images about which the model is asked again: there are many corruptions
CHANGED = 0.005  # share of the answers for one corruption and severity that rounding may change, at least one
FILES = {"corruptions": (robustness.ANSWERS, robustness.TABLE), "subgroups": (subgroups.TABLE,)}


def check_robustness(subject: AuditTarget, table: Table, classes: int, see: CheckLog) -> dict[str, float]:
    """Recompute robustness.csv and subgroups.csv if dvc.lock asks for them; returns metrics by name.

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
    if _is_there(subject, folder, "corruptions", see):
        found |= _corruptions(subject, folder, table, classes, see)
    if _is_there(subject, folder, "subgroups", see):
        found |= _subgroups(subject, folder, table, classes, see)
    return found


def _is_there(subject: AuditTarget, folder: Path, setting: str, see: CheckLog) -> bool:
    """Whether the first file of a setting can be recomputed from; what is missing or too much is noted."""
    wanted, (first, *_) = subject.lock["evaluate"].parameters["evaluate"].get(setting), FILES[setting]
    for name in FILES[setting]:
        there, said = (folder / name).is_file(), f"evaluate.{setting} of dvc.lock is {wanted or []}"
        if wanted and not there:
            see.find(f"reports/evaluate/{name}", f"written: {said}", "missing", Verdict.INCOMPLETE)
        elif there and not wanted:
            see.find(f"reports/evaluate/{name}", f"not written: {said}", "a file", Verdict.TAMPERED)
    return bool(wanted) and (folder / first).is_file()


def _corruptions(
    subject: AuditTarget, folder: Path, table: Table, classes: int, see: CheckLog
) -> dict[str, float]:
    settings, seed = _settings(subject)
    answers = _stored_answers(folder, settings, table, classes, see)
    if answers is None:
        return {}
    remade = robustness.measure_robustness(
        answers, table["predicted"], table["target"], classes, settings, seed
    )
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch) / robustness.TABLE
        robustness.write_robustness(again, remade)
        _same_table(folder / robustness.TABLE, again, see)
    _ask_again(subject, answers, table["id"], see)
    return remade.means


def _stored_answers(
    folder: Path, settings: Evaluate, table: Table, classes: int, see: CheckLog
) -> Answers | None:
    """corrupted.parquet, compared with predictions.parquet; None if no metric can be made of it."""
    path = folder / robustness.ANSWERS
    try:
        stored, spec = read_table(path), read_spec(path)
    except Exception as error:  # what was tampered with can make pyarrow raise anything
        _unreadable(path.name, error, see)
        return None
    answers = [f"{name}/{severity}" for name in settings.corruptions for severity in SEVERITIES]
    if {*stored} - {"target"} != {"id", *answers} or not np.array_equal(stored["id"], table["id"]):
        told = "answers for other images or corruptions"
        see.find(path.name, "answers for the test images", told, Verdict.TAMPERED)
        return None
    if not np.array_equal(stored.get("target", []), table["target"]):
        see.find(f"target of {path.name}", f"as in {PREDICTIONS}", "others", Verdict.TAMPERED)
    if spec != read_spec(folder / PREDICTIONS):
        see.find(f"data of {path.name}", f"as in {PREDICTIONS}", "others", Verdict.TAMPERED)
    strange = [name for name in answers if not _are_classes(stored[name], classes)]
    if strange:
        told = f"other values in {', '.join(strange)}"
        see.find(path.name, f"classes from 0 to {classes - 1}", told, Verdict.TAMPERED)
    return None if strange else robustness.read_answers({name: stored[name] for name in answers})


def _are_classes(answers: NDArray[Any], classes: int) -> bool:
    return answers.dtype.kind == "i" and bool(((answers >= 0) & (answers < classes)).all())


def _ask_again(subject: AuditTarget, answers: Answers, ids: NDArray[np.int64], see: CheckLog) -> None:
    """The model itself, about some of the images.

    For each corruption and severity a few answers may differ, where two classes nearly tie: more than all
    the rounding of another machine changes, and too few to be worth an edit.
    """
    model, images = subject.folder / "models/base", subject.folder / "data/ingest/images.npy"
    if not (model.is_dir() and images.is_file()):
        return  # which is noted for the images as they are
    settings, seed = _settings(subject)
    rows = _drawn(subject.folder / "reports/evaluate" / robustness.ANSWERS, len(ids))
    again = predict_corrupted(
        settings.corruptions,
        ids[rows],
        model,
        images,
        batch_size=ASKED,
        device="cpu",
        seed=seed,
        show=False,
    )
    changed = {row: int((answers[row][rows] != found).sum()) for row, found in again.items()}
    _judge(changed, len(rows), see)


def _drawn(path: Path, images: int) -> NDArray[np.intp]:
    """Which of so many images to ask about: the file's hash decides, so each edit of it draws others."""
    random = np.random.default_rng(int(file_hash(path), 16))
    return np.sort(random.choice(images, min(images, ASKED), replace=False))


def _judge(changed: Mapping[tuple[CorruptionName, int], int], asked: int, see: CheckLog) -> None:
    """``changed``: how many of the ``asked`` answers are others, for each corruption and severity."""
    allowed = max(1, int(CHANGED * asked))
    for (name, severity), others in changed.items():
        if others > allowed:
            what = f"{name}/{severity} of {robustness.ANSWERS}, the model asked again"
            see.find(what, f"its {asked:,} stored answers", f"{others:,} other answers", Verdict.TAMPERED)
    if max(changed.values()) <= allowed:
        total = len(changed) * asked
        same = total - sum(changed.values())
        see.agree(f"the model gives {same:,} of its {total:,} answers for corrupted images again")


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
    if not told.is_file():
        return  # which is noted before
    try:
        ours, theirs = _rows(again), _rows(told)
    except (OSError, ValueError, csv.Error) as error:  # no UTF-8 is a ValueError
        _unreadable(told.name, error, see)
        return
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
    except (ValueError, TypeError):  # more cells than columns are a list
        return False


def _unreadable(name: str, error: Exception, see: CheckLog) -> None:
    told = f"{type(error).__name__}: {error}"
    see.find(f"reports/evaluate/{name}", "a readable file", told, Verdict.INCOMPLETE)

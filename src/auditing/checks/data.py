"""Are the data the recorded ones, divided as recorded?"""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.config.schema.model import ModelConfig
from src.core.errors import AssayError
from src.core.hashing import file_hash, hash_tree
from src.data.dataset.arrays import open_array, pixel_hash
from src.data.dataset.index import DatasetIndex, read_index, read_split
from src.data.dataset.statistics import Floats, channel_statistics, normalization_from
from src.pretrained.files import pretrained_normalization
from src.provenance.dvc_lock import file_md5, md5_of
from src.provenance.dvc_remote import pull_command
from src.provenance.journal import last_outputs

QUESTION = "Are the data what was recorded, and divided as recorded?"
SPLITS = ("train", "val", "calibration", "test")
SHOWN = 3


def check(subject: AuditTarget, see: CheckLog) -> None:
    """Hash everything again, then look at what the files say."""
    _raw(subject, see)
    _outputs(subject, see)
    ingest, split = subject.folder / "data/ingest", subject.folder / "data/split"
    if not (ingest / "manifest.parquet").is_file():
        see.note(f"data/ingest is {subject.absence('data/ingest')}, so its content is not looked at")
        return
    _digest(subject, ingest, see)
    try:
        rows = read_index(ingest)
        _counts(ingest, rows, see)
        _pixels(ingest, rows, see)
        if (split / "splits.parquet").is_file():
            _division(subject, split, rows, see)
    except (OSError, ValueError, KeyError, AssayError) as error:  # pyarrow's errors are ValueErrors
        see.find(
            "data/ingest and data/split", "readable", f"{type(error).__name__}: {error}", Verdict.TAMPERED
        )


def _raw(subject: AuditTarget, see: CheckLog) -> None:
    """What no stage makes: the raw images, and weights to start from."""
    for path, md5 in subject.raw.items():
        place = subject.folder / path
        if not place.exists():
            how = pull_command(subject.root) or "put it back"
            missing = f"neither here, nor in DVC's cache, nor in git: {how}"
            see.find(path, f"the files that were read (MD5 {md5[:16]})", missing, Verdict.INCOMPLETE)
            continue
        found = md5_of(place)
        if found == md5:
            see.agree(f"{path} is what was read")
            continue
        recorded = subject.cache.files(md5)
        lost = sorted(recorded.keys() - {p.name for p in place.rglob("*")}) if recorded else []
        gone = f"; missing: {', '.join(lost[:SHOWN])}" if lost else ""
        files = f"{sum(p.is_file() for p in place.rglob('*'))} files{gone}"
        see.find(path, f"the files that were read (MD5 {md5[:16]})", files, Verdict.INCOMPLETE)


def _outputs(subject: AuditTarget, see: CheckLog) -> None:
    """Every output of the stages behind the model, byte for byte."""
    good = 0
    for name in subject.behind():
        cached = subject.stages[name].cached
        for path, md5 in subject.lock[name].outputs.items():
            if not (subject.folder / path).exists():
                _absent(subject, path, cached, see)
            elif _unchanged(subject, name, path, md5, see):
                good += 1
    see.agree(f"{good} outputs of the stages behind it have the recorded hashes")


def _absent(subject: AuditTarget, path: str, cached: bool, see: CheckLog) -> None:
    if cached:
        see.find(path, "in the cache", subject.absence(path), Verdict.INCOMPLETE)
    else:
        see.note(f"{path} of that time is not kept here; it follows from what is")


def _unchanged(subject: AuditTarget, stage: str, path: str, md5: str, see: CheckLog) -> bool:
    """Whether the output of a stage has the recorded bytes; names the files that have not."""
    folder, recorded = subject.folder / path, subject.cache.files(md5)
    if recorded is None:  # git keeps it, so there is no listing
        same = md5_of(folder) == md5
        if not same and not _made_without_dvc(subject, stage, path, md5, see):
            see.find(path, f"MD5 {md5[:16]}, by dvc.lock", "other bytes", Verdict.TAMPERED)
        return same
    if md5.endswith(".dir") and file_md5(subject.cache.object(md5)) != md5.removesuffix(".dir"):
        see.find(f"listing of {path}", f"MD5 {md5[:16]}", "other bytes in DVC's cache", Verdict.TAMPERED)
        return False
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    changed = [
        name for name in sorted(recorded) if name not in there or file_md5(folder / name) != recorded[name]
    ]
    changed += [f"{name} (nobody recorded it)" for name in sorted(there - recorded.keys() - {".gitignore"})]
    if changed and _made_without_dvc(subject, stage, path, md5, see):
        return False
    for name in changed[:SHOWN]:
        at = "the workspace" if subject.is_workspace else "DVC's cache"
        see.find(
            f"{path}/{name}",
            f"MD5 {recorded.get(name, 'none')[:16]}",
            f"other bytes in {at}",
            Verdict.TAMPERED,
        )
    return not changed


def _made_without_dvc(subject: AuditTarget, stage: str, path: str, md5: str, see: CheckLog) -> bool:
    """Whether other bytes than the recorded ones are those that the stage has last left in this workspace, as
    ``python -m src.train`` does: nobody has changed them afterwards. Then says so."""
    if not subject.is_workspace:
        return False
    if last_outputs(subject.root, stage) != hash_tree((subject.folder / path).resolve()):
        return False
    what = f"what stage {stage} has made here since, without DVC: dvc repro"
    see.find(path, f"MD5 {md5[:16]}, by dvc.lock", what, Verdict.DIFFERENT)
    return True


def _digest(subject: AuditTarget, ingest: Path, see: CheckLog) -> None:
    """The data's identity, as the runs bear it."""
    found = file_hash(ingest / "manifest.parquet")
    for run in (subject.run, subject.base):
        if run is not None:
            see.equal(f"data digest of {run.name}", run.tags.get("data.digest"), found, Verdict.TAMPERED)


def _counts(ingest: Path, rows: DatasetIndex, see: CheckLog) -> None:
    report = json.loads((ingest / "report.json").read_text(encoding="utf-8"))
    see.equal("images", report["kept"], len(rows), Verdict.TAMPERED)
    told = {str(name): int(count) for name, count in report["class_counts"].items()}
    counted = Counter(rows.classes[target] for target in rows.targets.tolist())
    wrong = [
        f"{name}: {told[name]} recorded, {counted[name]} there"
        for name in told
        if told[name] != counted[name]
    ]
    if wrong:
        see.find("images of each class", "as ingest has counted them", "; ".join(wrong), Verdict.TAMPERED)
    else:
        see.agree(
            f"images of each class: {min(told.values()):,} to {max(told.values()):,} in {len(told)} classes"
        )


def _pixels(ingest: Path, rows: DatasetIndex, see: CheckLog) -> None:
    """The manifest has the hash of each image."""
    images = open_array(ingest / "images.npy")
    see.equal("images in images.npy", len(rows), len(images), Verdict.TAMPERED)
    wrong = [row for row, image in enumerate(images) if pixel_hash(image) != rows.digests[row]]
    if wrong:
        shown = ", ".join(f"{row} ({rows.sources[row]})" for row in wrong[:SHOWN])
        see.find(
            "pixels",
            "the hash of each image in the manifest",
            f"other pixels in row {shown}",
            Verdict.TAMPERED,
        )
    else:
        see.agree(f"{len(images):,} images have the hashes that the manifest names")


def _division(subject: AuditTarget, folder: Path, rows: DatasetIndex, see: CheckLog) -> None:
    split, fold = read_split(folder, subject.folder / "data/ingest")
    if not see.equal("rows that were divided", len(rows), len(split), Verdict.TAMPERED):
        return
    strange = sorted(set(split.tolist()) - {*SPLITS, "dropped"})
    if strange:
        see.find("splits", ", ".join((*SPLITS, "dropped")), f"also {', '.join(strange)}", Verdict.TAMPERED)
    _disjoint(split, rows, see)
    _folds(subject, split, fold, see)
    _normalization(subject, split, see)


def _disjoint(split: NDArray[np.str_], rows: DatasetIndex, see: CheckLog) -> None:
    """No image, by its pixels, is in two splits."""
    sides = {name: set(rows.digests[split == name].tolist()) for name in SPLITS if name in split}
    shared = [(a, b) for a, b in combinations(sides, 2) if sides[a] & sides[b]]
    for a, b in shared:
        number = len(sides[a] & sides[b])
        see.find(f"{a} and {b}", "no image in both", f"{number} images in both", Verdict.TAMPERED)
    if not shared:
        sizes = ", ".join(f"{name} {int((split == name).sum()):,}" for name in sides)
        see.agree(f"no image is in two splits: {sizes}")


def _folds(subject: AuditTarget, split: NDArray[np.str_], fold: NDArray[np.int64], see: CheckLog) -> None:
    """Each row of train and val is in exactly one fold, and no other row in any.

    Of a stable split, a near copy of an image in another fold is in none.
    """
    number, inside = subject.params["split"]["folds"], np.isin(split, ("train", "val"))
    found = set(fold[inside].tolist())
    found -= {-1} if subject.params["split"].get("method") == "stable" else set()
    see.equal("folds", list(range(number)), sorted(found), Verdict.TAMPERED)
    see.equal(
        "rows of test or calibration that are in a fold",
        0,
        int((fold[~inside] != -1).sum()),
        Verdict.TAMPERED,
    )


def _normalization(subject: AuditTarget, split: NDArray[np.str_], see: CheckLog) -> None:
    """Computed again from the training rows."""
    path = subject.folder / "data/normalize/normalization.json"
    if not path.is_file():
        return
    told = json.loads(path.read_text(encoding="utf-8"))
    images = open_array(subject.folder / "data/ingest/images.npy")
    known = _pretrained(subject, images.shape[1]) if told["method"] == "pretrained" else None
    shift, scale, _ = normalization_from(
        channel_statistics(images, np.flatnonzero(split == "train")), told["method"], known
    )
    source = "the training rows" if known is None else "the pretrained weights"
    ours, again = [told["shift"], told["scale"]], [shift.tolist(), scale.tolist()]
    if ours == again:
        see.agree(f"the normalization follows from {source}")
    else:
        see.find("normalization", f"{again}, from {source}", ours, Verdict.TAMPERED)


def _pretrained(subject: AuditTarget, channels: int) -> tuple[Floats, Floats]:
    """What the files in data/weights say."""
    model: ModelConfig = TypeAdapter(ModelConfig).validate_python(subject.params["model"])
    return pretrained_normalization(model, subject.folder / "data/weights", channels)

"""Is the registered file the one that the pipeline made?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.core.hashing import file_hash
from src.provenance.journal import attempts

QUESTION = "Are registered file, run's artifact and pipeline's output the same bytes?"
WEIGHTS, SPEC = ("model.onnx", "model.safetensors"), "model.json"


class JournalCopy(NamedTuple):
    """A model as the journal keeps it."""

    folder: Path
    sha256: str  # of its weights
    is_witness: bool  # this machine made it; an imported one is a copy of what is audited


def check(subject: AuditTarget, see: CheckLog) -> None:
    """One hash, in as many places as have it."""
    if subject.run is None:
        see.skipped = "MLflow knows no run of this, so there is nothing to compare with"
        missing = subject.first_absent(f"models/{subject.model_folder.name}")
        see.skipped += f": {missing}" if missing else ""
        return
    expected, copies = subject.run.tags.get("model.sha256"), list(_journal_copies(subject))
    output = _weights(subject.model_folder)
    made = file_hash(output) if output is not None else None
    if subject.version is not None:
        specs = [subject.model_folder] if made == expected else []
        _registered(subject, expected, [*specs, *(c.folder for c in copies if c.sha256 == expected)], see)
    if output is None:
        path = f"models/{subject.model_folder.name}"
        see.note(f"{path} is {subject.absence(path)}, so it is not compared")
    else:
        see.equal(f"models/{output.parent.name}/{output.name}", expected, made, Verdict.TAMPERED)
    _journal(expected, copies, see)


def _registered(subject: AuditTarget, expected: str | None, made: Sequence[Path], see: CheckLog) -> None:
    """``made``: folders with the same weights, whose spec has class names, temperature and decision rule."""
    registered = None if subject.model is None else _weights(subject.model)
    if registered is None:
        see.find("the registered file", "a model", "MLflow has no file", Verdict.INCOMPLETE)
        return
    see.equal("the registered file", expected, file_hash(registered), Verdict.TAMPERED)
    spec = next((folder / SPEC for folder in made if (folder / SPEC).is_file()), None)
    if spec is None:
        see.note(f"nothing here has the {SPEC} that was registered, so it is not compared")
        return
    theirs = file_hash(registered.with_name(SPEC))
    see.equal(f"the registered {SPEC}", file_hash(spec), theirs, Verdict.TAMPERED)


def _journal_copies(subject: AuditTarget) -> Iterator[JournalCopy]:
    lineage = subject.run.lineage if subject.run else ""
    for attempt in attempts(subject.root, lineage) if lineage else ():
        weights = _weights(attempt.folder / "model")
        if weights is not None:
            yield JournalCopy(weights.parent, file_hash(weights), attempt.is_witness)


def _journal(expected: str | None, copies: Sequence[JournalCopy], see: CheckLog) -> None:
    hashes = {copy.sha256 for copy in copies}
    if hashes and expected not in hashes:
        see.find("the journal's copy", str(expected)[:16], min(hashes)[:16], Verdict.TAMPERED)
    elif any(copy.is_witness and copy.sha256 == expected for copy in copies):
        see.agree("this machine made it: its journal has a copy with the same bytes")


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)

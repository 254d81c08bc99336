"""Is the registered file the one that the pipeline made?"""

from pathlib import Path

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.core.hashing import file_hash
from src.provenance.journal import attempts

QUESTION = "Are registered file, run's artifact and pipeline's output the same bytes?"
WEIGHTS, SPEC = ("model.onnx", "model.safetensors"), "model.json"


def check(subject: AuditTarget, see: CheckLog) -> None:
    """One hash, in as many places as have it."""
    if subject.run is None:
        see.skipped = "MLflow knows no run of this, so there is nothing to compare with"
        return
    expected = subject.run.tags.get("model.sha256")
    if subject.version is not None:
        _registered(subject, expected, see)
    output = _weights(subject.model_folder)
    if output is None:
        see.note(f"models/{subject.model_folder.name} is not here, so it is not compared")
    else:
        see.equal(f"models/{output.parent.name}/{output.name}", expected, file_hash(output), Verdict.TAMPERED)
    _journal(subject, expected, see)


def _registered(subject: AuditTarget, expected: str | None, see: CheckLog) -> None:
    if subject.model is None or _weights(subject.model) is None:
        see.find("the registered file", "a model", "MLflow has no file", Verdict.INCOMPLETE)
        return
    registered = _weights(subject.model)
    assert registered is not None
    see.equal("the registered file", expected, file_hash(registered), Verdict.TAMPERED)
    made = _made_spec(subject, expected)
    if made is None:
        see.note(f"nothing here has the {SPEC} that was registered, so it is not compared")
        return
    see.equal(f"the registered {SPEC}", file_hash(made), file_hash(subject.model / SPEC), Verdict.TAMPERED)


def _made_spec(subject: AuditTarget, expected: str | None) -> Path | None:
    """Class names, temperature and decision rule as the pipeline wrote them: in its output or the journal."""
    lineage = subject.run.lineage if subject.run else ""
    copies = [attempt.folder / "model" for attempt in attempts(subject.root, lineage)] if lineage else []
    for folder in (subject.model_folder, *copies):
        weights = _weights(folder)
        if (folder / SPEC).is_file() and weights is not None and file_hash(weights) == expected:
            return folder / SPEC
    return None


def _journal(subject: AuditTarget, expected: str | None, see: CheckLog) -> None:
    """The copies that the journal of this machine keeps; an imported one is a copy of what is audited."""
    lineage = subject.run.lineage if subject.run else ""
    found = {True: set[str](), False: set[str]()}
    for attempt in attempts(subject.root, lineage) if lineage else ():
        weights = _weights(attempt.folder / "model")
        if weights is not None:
            found[attempt.is_witness].add(file_hash(weights))
    hashes = found[True] | found[False]
    if hashes and expected not in hashes:
        see.find("the journal's copy", str(expected)[:16], min(hashes)[:16], Verdict.TAMPERED)
    elif expected in found[True]:
        see.agree("this machine made it: its journal has a copy with the same bytes")


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)

"""From the registered version to its run, its base, the stages behind it and the inputs, and back."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog, Verdict
from src.core.errors import AssayError
from src.core.hashing import content_hash, file_hash, hash_tree
from src.provenance.dvc_remote import REPRO, fetch_older_command
from src.provenance.journal import attempts, journal_folder
from src.registry.archive import has_model
from src.registry.decisions import Decision, Registration, Ruling, decisions
from src.registry.versions import RunFacts, VersionFacts

QUESTION = "Does every link lead on, and back again?"


def check(subject: AuditTarget, see: CheckLog) -> None:
    """Follow the chain in both directions, then ask the journal."""
    for name, reason in subject.lacks.items():
        see.find(name, "kept with the version", reason, Verdict.INCOMPLETE)
    if subject.version is not None:
        _version(subject, subject.version, see)
        _decisions(subject, subject.version, see)
    if subject.lacks:
        return
    _stages(subject, see)
    _lineage(subject, see)
    _journal(subject, see)


def _version(subject: AuditTarget, version: VersionFacts, see: CheckLog) -> None:
    """Version -> model -> run -> base run."""
    if version.model_run is None:
        see.find("model of the version", version.model_id, "MLflow has no such model", Verdict.INCOMPLETE)
    else:
        see.equal("run that made the model", version.model_run, _id(version.run), Verdict.TAMPERED)
    if subject.record is not None:
        found = content_hash(subject.record)[: len(version.tags["record"])]
        see.equal("hash of the record", version.tags["record"], found, Verdict.TAMPERED)
    run = version.run
    if run is None:
        see.find("run of the version", "a run", "MLflow has no such run", Verdict.INCOMPLETE)
        return
    see.equal("model of the run", version.model_id, run.tags.get("model.id"), Verdict.TAMPERED)
    for tag, own in (("lineage.id", "lineage.id"), ("sha256", "model.sha256"), ("variant", "variant")):
        see.equal(f"{own} of version and run", version.tags.get(tag), run.tags.get(own), Verdict.TAMPERED)
    wanted = json.loads(run.tags.get("lineage.parents", "{}")).get("train")
    if version.base is None:
        see.find("run of the base", f"the run of lineage {str(wanted)[:16]}", "none", Verdict.INCOMPLETE)
    else:
        see.equal("lineage of the base", wanted, version.base.lineage, Verdict.TAMPERED)
        see.equal("status of the base's run", "FINISHED", version.base.status, Verdict.TAMPERED)


def _stages(subject: AuditTarget, see: CheckLog) -> None:
    """What a stage has read is what the stage before it has written."""
    outputs = {path: md5 for stage in subject.lock.values() for path, md5 in stage.outputs.items()}
    verdict = Verdict.DIFFERENT if subject.is_workspace else Verdict.INCOMPLETE
    absent = [
        name for name, stage in subject.stages.items() if name not in subject.lock and not stage.observation
    ]
    if absent:
        see.note(f"not made yet: {', '.join(absent)} ({REPRO})")
    broken = 0
    for name in subject.behind():
        for path, md5 in subject.lock[name].dependencies.items():
            if path in outputs and outputs[path] != md5:
                broken += 1
                see.find(f"{path} as {name} has read it", outputs[path], md5, verdict)
    if not broken:
        see.agree(f"{len(subject.behind())} stages, each read what the stage before it wrote")


def _lineage(subject: AuditTarget, see: CheckLog) -> None:
    """The lineage, computed again from the files."""
    try:
        found = subject.graph.of(subject.stage).id
    except AssayError as error:
        see.note(f"the lineage cannot be computed again: {error}")
        return
    if subject.run is not None and not subject.is_workspace:
        see.equal("lineage, computed again", subject.run.lineage, found, Verdict.TAMPERED)


def _journal(subject: AuditTarget, see: CheckLog) -> None:
    """What the executions of the same lineage have written, by the journal of this machine.

    What it imported shows that something has changed since, but only what this machine ran is a witness.
    """
    witnessed: list[str] = []
    imported: list[str] = []
    for name, lineage in subject.lineages.items():
        ended = [a for a in attempts(subject.root, lineage) if a.record["status"] == "FINISHED"]
        told = [a for a in ended if a.record["outputs"]]
        (folder,) = subject.lock[name].outputs
        if not told or not (subject.folder / folder).exists():
            continue
        ours = hash_tree((subject.folder / folder).resolve())
        equal = [a.is_witness for a in told if a.record["outputs"] == ours]
        if equal:
            (witnessed if any(equal) else imported).append(name)
            continue
        last = told[-1].record["outputs"]
        changed = sorted(key for key in ours.keys() | last.keys() if ours.get(key) != last.get(key))
        where = ", ".join(f"{folder}/{key}" for key in changed[:5])
        see.find(where, f"as {name} wrote it, by the journal", "other bytes", Verdict.TAMPERED)
    if witnessed:
        see.agree(f"this machine ran {len(witnessed)} of these stages, and its journal has what they wrote")
    if imported:
        see.note(f"only imported into the journal of this machine, so no witness: {', '.join(imported)}")
    if not (witnessed or imported):
        see.note("the journal of this machine knows nothing of it: it was made elsewhere")


def _decisions(subject: AuditTarget, version: VersionFacts, see: CheckLog) -> None:
    """Whether MLflow has all that the journal says was decided; it has not if it was set back.

    A version that others have registered needs its model: until that is pulled, MLflow cannot have it.
    """
    there = set(version.versions.values())
    told, own = (decisions(subject.root, version.name, imported=imported) for imported in (True, False))
    absent = {d.identity for d in told if isinstance(d, Registration)} - there
    absent = {identity for identity in absent if not has_model(subject.root, *identity)}
    if absent:
        fetch = fetch_older_command(subject.root)
        bring = f": {fetch}; python -m src.track" if fetch else ""
        see.note(f"{len(absent)} other versions are not here{bring}")
    ours = [d for d in told if (d.lineage, d.sha256) not in absent]
    rulings = [d for d in ours if isinstance(d, Ruling) and d.embedded == version.embedded]
    lost = {d.identity: d for d in ours if isinstance(d, Registration) and d.identity not in there}
    for registration in lost.values():
        what = f"{registration.variant} of lineage {registration.lineage[:8]} in {version.name}"
        said = f"registered {registration.time[:19]}, by {_source(registration, own)}"
        if _was_known(subject.root, registration, rulings, own):
            see.find(what, said, "is no longer in MLflow", Verdict.TAMPERED)
        else:
            see.find(what, said, "not there yet: run python -m src.track", Verdict.INCOMPLETE)
    held = version.model_tags.get("champion.time", "")
    later = [ruling for ruling in rulings if ruling.champion and ruling.since > held]
    if later:
        said = (
            f"{later[-1].lineage[:8]} by a decision of {later[-1].since[:19]}, in {_source(later[-1], own)}"
        )
        see.find("champion", said, f"by a decision of {held[:19] or 'no time'}", Verdict.TAMPERED)
    if ours and not (lost or later):
        made = sum(decision in own for decision in ours)
        see.agree(f"MLflow has all {len(ours)} decisions on {version.name}; this machine made {made} of them")


def _was_known(
    root: Path, registration: Registration, rulings: Sequence[Ruling], own: Sequence[Decision]
) -> bool:
    """Whether MLflow must once have had the version: a ruling was applied to it after the registration.

    A version that was only imported could not be registered before its model was here. When MLflow was given
    the rulings that were imported is not known, so only those of this machine tell.
    """
    if any(isinstance(d, Registration) and d.identity == registration.identity for d in own):
        return registration.time <= max((ruling.time for ruling in rulings), default="")
    since = max(registration.time, _model_since(root, registration))
    return any(ruling.time >= since for ruling in rulings if ruling in own)


def _model_since(root: Path, registration: Registration) -> str:
    """When the journal got its copy of the model, which it must have."""
    copies = journal_folder(root).glob(f"{registration.lineage}/*/model/model.onnx")
    # not the time of modification, which a copy keeps
    came = min(copy.stat().st_ctime for copy in copies if file_hash(copy) == registration.sha256)
    return datetime.fromtimestamp(came, UTC).isoformat(timespec="microseconds")


def _source(decision: Decision, own: Sequence[Decision]) -> str:
    return "the journal" if decision in own else "the records in git"


def _id(run: RunFacts | None) -> str | None:
    return run.id if run else None

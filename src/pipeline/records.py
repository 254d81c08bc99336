"""Leaves the record of an execution in the working folder, for git, and takes in those that git brought."""

import os
from pathlib import Path
from typing import Any

from src.pipeline.job import Job
from src.provenance.dvc_lock import dvc_option, folder_md5s
from src.provenance.environment import environment
from src.provenance.git import UNKNOWN, add, blob_id
from src.provenance.journal import RunRecord
from src.records.execution import ended_children, execution_statement, makers
from src.records.files import read_records, write_record
from src.tracking.imported_records import import_executions


def take_in_records(job: Job, root: Path) -> None:
    """Give the journal of ``root`` what others have recorded. A bad record is reported and stops no stage."""
    for reason in import_executions(root, job.graph.folder, complete=False).refused:
        job.say(f"warning: this record is refused: {reason}")


def leave_record(job: Job, root: Path, attempt: RunRecord) -> None:
    """Write the record of an attempt whose outputs are published; ``root`` has its journal.

    Raises:
        OSError: The disk is full.
    """
    workspace = job.graph.folder
    statement = execution_statement(
        attempt,
        _subjects(job, attempt.record["outputs"]),
        job.place,
        _materials(job, attempt.record["git"]["commit"]),
        ended_children(root, attempt.record["lineage"]),
        environment(),
    )
    reason = stage_in_git(workspace, write_record(workspace, statement).path)
    if reason is not None:
        job.say(f"warning: {reason}")


def stage_in_git(workspace: Path, *paths: Path) -> str | None:
    """Do with new records what DVC does with dvc.lock; returns why it was not possible.

    DVC stages its own files if ``core.autostage`` says so, and in an experiment always: an experiment's
    commit has what is staged, and nothing else that is new.
    """
    wanted = dvc_option(workspace, "core", "autostage") == "true" or "DVC_EXP_NAME" in os.environ
    reason = add(workspace, *paths) if wanted and paths else None
    if reason is None:
        return None
    return f"{', '.join(map(str, paths))} could not be staged: {reason}. Stage it: git add reports/records"


def _subjects(job: Job, outputs: dict[str, str]) -> dict[str, dict[str, str]]:
    """The digests by which each output file can be checked, and found in DVC's cache or in git."""
    cached, md5s = job.graph.stage(job.address).cached, folder_md5s(job.place)
    found = {}
    for path, sha256 in outputs.items():
        digest = {"sha256": sha256, "md5": md5s[path]}
        if not cached:
            digest["gitBlob"] = blob_id((job.place / path).read_bytes())
        found[(job.place / path).as_posix()] = digest
    return found


def _materials(job: Job, commit: str | None) -> list[dict[str, Any]]:
    inputs = job.graph.inputs_of(job.address)
    known = [{"name": "git", "digest": {"gitCommit": commit}}] if commit not in (None, UNKNOWN) else []
    made = makers(read_records(job.graph.folder).executions, inputs)
    return [
        *({"name": path, "digest": {"md5": md5.removesuffix(".dir")}} for path, md5 in inputs.items()),
        *known,
        *(record.reference for record in made),
    ]

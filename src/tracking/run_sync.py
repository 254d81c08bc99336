"""Brings one lineage's runs to MLflow: each step looks at what is there and adds what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import MlflowStore, locks
from src.tracking.run_groups import RunGroup
from src.tracking.run_tags import ATTEMPTS, STATE
from src.tracking.run_writer import RunWriter

if TYPE_CHECKING:
    from mlflow.entities import Run

LOCK_WAIT = 10  # seconds for another process that writes the same run


@dataclass(frozen=True)
class SyncResult:
    """What was done with one run: created, refreshed, unchanged or waiting."""

    name: str
    experiment: str
    lineage: str
    status: str
    done: str


def sync_run(store: MlflowStore, journal: JournalIndex, subject: str) -> list[SyncResult]:
    """Create or refresh the runs of one lineage, one process at a time."""
    with FileLock(locks(store.root) / f"{subject}.lock", timeout=LOCK_WAIT):
        journal.read_again(subject)
        groups = journal.groups(subject)
        if not groups:
            return _sync_attachments(store, journal, subject)
        results = [_sync_group(store, journal, group) for group in groups]
        journal.settle(subject)
        return results


def find_run(store: MlflowStore, group: RunGroup) -> "Run | None":
    """The run of a group."""
    experiment = store.experiment_id(group.head.record["experiment"])
    return match(store.find_runs(experiment, group.head.lineage), group)[0]


def match(runs: list["Run"], group: RunGroup) -> tuple["Run | None", list["Run"]]:
    """The run of the group, and runs that showed a part of it before."""
    digest = group.outputs_digest
    equal = [run for run in runs if digest and run.data.tags.get("outputs.digest") == digest]
    ours = [run for run in runs if shares_attempt(run, group)]
    found = [*equal, *ours]
    if not found:
        return None, []
    return found[0], [run for run in ours if run.info.run_id != found[0].info.run_id]


def shares_attempt(run: "Run", group: RunGroup) -> bool:
    """Whether the run shows an attempt of this journal, so that it is ours to write."""
    return not set(group.keys).isdisjoint(run.data.tags.get(ATTEMPTS, "").split(","))


def predecessor(runs: list["Run"], run: "Run", group: RunGroup) -> "Run | None":
    """The first run of the same lineage with another result."""
    others = [
        other
        for other in runs
        if other.info.run_id != run.info.run_id
        and other.data.tags.get("outputs.digest", group.outputs_digest) != group.outputs_digest
        and other.info.start_time <= run.info.start_time
    ]
    return others[0] if others else None


def create(
    store: MlflowStore, experiment: str, group: RunGroup, tags: Mapping[str, str] | None = None
) -> "Run":
    """Create a run with the tags by which it is found again if the process dies at the next line."""
    first = group.entries[0]
    own = {
        "lineage.id": first.lineage,
        "stage": first.stage,
        ATTEMPTS: ",".join(group.keys),
        "mlflow.user": str(first.record.get("user") or "unknown"),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": str(first.record["command"]),
    }
    return store.client.create_run(experiment, first.started, {**own, **(tags or {})}, first.record["name"])


def _sync_group(store: MlflowStore, journal: JournalIndex, group: RunGroup) -> SyncResult:
    head = group.head.record
    experiment = store.experiment_id(head["experiment"])
    runs = store.find_runs(experiment, group.head.lineage)
    run, superseded = match(runs, group)
    done = "created" if run is None else "refreshed"
    if run is not None and run.data.tags.get(STATE) == group.digest:
        done = "unchanged"
    elif run is not None and not shares_attempt(run, group):
        done = _complete(store, group, run)
    else:
        run = run or create(store, experiment, group)
        parent = _parent(store, journal, group, experiment)
        RunWriter(store, group, run, predecessor(runs, run, group), parent).show()
    for other in superseded:  # a repetition that was shown while it ran, and had an equal result
        store.client.delete_run(other.info.run_id)
    return SyncResult(head["name"], head["experiment"], group.head.lineage, group.head.status, done)


def _complete(store: MlflowStore, group: RunGroup, run: "Run") -> str:
    """Add what is missing to a run that somebody else made with the same result; all else stays."""
    writer = RunWriter(store, group, run)
    missing = [entry for entry in group.attachments if not writer.has(entry)]
    for entry in missing:
        writer.attach(entry)
    return "refreshed" if missing else "unchanged"


def _parent(store: MlflowStore, journal: JournalIndex, group: RunGroup, experiment: str) -> "Run | None":
    """The run of the base model, for a run of a variant."""
    base = group.head.record["parents"].get("train")
    if base is None:
        return None
    owner = journal.owner(base, group.head)
    if owner is None:  # trained on another machine
        return next((run for run in store.find_runs(experiment, base) if run.info.status == "FINISHED"), None)
    if (run := find_run(store, owner)) is not None:
        return run
    sync_run(store, journal, base)
    return find_run(store, owner)


def _sync_attachments(store: MlflowStore, journal: JournalIndex, subject: str) -> list[SyncResult]:
    """Bring what stages here attach to a run that another machine made, if MLflow has that run."""
    results = []
    for entry in journal.attached(subject):
        record = entry.record
        runs = store.find_runs(store.experiment_id(record["experiment"]), subject)
        run = next((run for run in runs if run.info.status == "FINISHED"), None)
        done = "waiting" if run is None else "unchanged"
        if run is not None and not (writer := RunWriter(store, RunGroup([], [entry]), run)).has(entry):
            writer.attach(entry)
            done = "refreshed"
        results.append(SyncResult(record["name"], record["experiment"], subject, entry.status, done))
    return results

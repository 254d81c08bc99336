"""Brings one lineage's runs to MLflow: each step looks at what is there and adds what is missing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock

from src.tracking.mlflow_store import MlflowStore
from src.tracking.run_groups import JournalIndex, RunGroup
from src.tracking.run_writer import ATTEMPTS, STATE, RunWriter

if TYPE_CHECKING:
    from mlflow.entities import Run

LOCK_WAIT = 10  # seconds for another process that brings the same run


@dataclass(frozen=True)
class SyncResult:
    """A run that was looked at, and what was done: created, refreshed, unchanged or waiting."""

    name: str
    experiment: str
    lineage: str
    status: str
    done: str


def sync_run(store: MlflowStore, journal: JournalIndex, subject: str) -> list[SyncResult]:
    """Create or refresh the runs of one lineage, one process at a time."""
    with FileLock(store.locks() / f"{subject}.lock", timeout=LOCK_WAIT):
        journal.read_again(subject)
        chains = journal.chains(subject)
        if not chains:
            return _bring_to_foreign(store, journal, subject)
        brought = [_bring_chain(store, journal, chain) for chain in chains]
        journal.settle(subject)
        return brought


def find_run(store: MlflowStore, chain: RunGroup) -> "Run | None":
    """The run that shows a chain."""
    experiment = store.experiment_id(chain.head.record["experiment"])
    return match(store.find_runs(experiment, chain.head.lineage), chain)[0]


def match(runs: list["Run"], chain: RunGroup) -> tuple["Run | None", list["Run"]]:
    """The run that shows the chain, and those that showed a part of it before."""
    digest = chain.outputs_digest
    equal = [run for run in runs if digest and run.data.tags.get("outputs.digest") == digest]
    ours = [run for run in runs if shares_attempt(run, chain)]
    found = [*equal, *ours]
    if not found:
        return None, []
    return found[0], [run for run in ours if run.info.run_id != found[0].info.run_id]


def shares_attempt(run: "Run", chain: RunGroup) -> bool:
    """Whether the run shows an attempt of ours, so that it is ours to write."""
    return not set(chain.keys).isdisjoint(run.data.tags.get(ATTEMPTS, "").split(","))


def predecessor(runs: list["Run"], run: "Run", chain: RunGroup) -> "Run | None":
    """The first run of the same lineage with another result."""
    others = [
        other
        for other in runs
        if other.info.run_id != run.info.run_id
        and other.data.tags.get("outputs.digest", chain.outputs_digest) != chain.outputs_digest
        and other.info.start_time <= run.info.start_time
    ]
    return others[0] if others else None


def create(
    store: MlflowStore, experiment: str, chain: RunGroup, tags: Mapping[str, str] | None = None
) -> "Run":
    """A run with nothing but tags, by which it is found again should the process die at the next line."""
    first = chain.entries[0]
    own = {
        "lineage.id": first.lineage,
        "stage": first.stage,
        ATTEMPTS: ",".join(chain.keys),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": str(first.record["command"]),
    }
    return store.client.create_run(experiment, first.started, {**own, **(tags or {})}, first.record["name"])


def _bring_chain(store: MlflowStore, journal: JournalIndex, chain: RunGroup) -> SyncResult:
    head = chain.head.record
    experiment = store.experiment_id(head["experiment"])
    runs = store.find_runs(experiment, chain.head.lineage)
    run, superseded = match(runs, chain)
    done = "created" if run is None else "refreshed"
    if run is not None and run.data.tags.get(STATE) == chain.digest:
        done = "unchanged"
    elif run is not None and not shares_attempt(run, chain):
        done = _complete(store, journal, chain, run)
    else:
        run = run or create(store, experiment, chain)
        parent = _parent(store, journal, chain, experiment)
        RunWriter(store, journal, chain, run, predecessor(runs, run, chain), parent).show()
    for other in superseded:  # a repetition that was shown while it ran, and came to an equal result
        store.client.delete_run(other.info.run_id)
    return SyncResult(head["name"], head["experiment"], chain.head.lineage, chain.head.status, done)


def _complete(store: MlflowStore, journal: JournalIndex, chain: RunGroup, run: "Run") -> str:
    """Somebody else's run with our result: it stays as it is, and gets what no one has said of it yet."""
    view = RunWriter(store, journal, chain, run)
    missing = [entry for entry in chain.attachments if not view.has(entry)]
    for entry in missing:
        view.attach(entry)
    return "refreshed" if missing else "unchanged"


def _parent(store: MlflowStore, journal: JournalIndex, chain: RunGroup, experiment: str) -> "Run | None":
    """The run of the base model, for a run of a model that was made from one."""
    base = chain.head.record["parents"].get("train")
    if base is None:
        return None
    owner = journal.owner(base, chain.head)
    if owner is None:  # trained on another machine
        return next((run for run in store.find_runs(experiment, base) if run.info.status == "FINISHED"), None)
    if find_run(store, owner) is None:
        sync_run(store, journal, base)
    return find_run(store, owner)


def _bring_to_foreign(store: MlflowStore, journal: JournalIndex, subject: str) -> list[SyncResult]:
    """Figures for a run that another machine made: they go to it if MLflow has it."""
    brought = []
    for entry in journal.attached(subject):
        record = entry.record
        runs = store.find_runs(store.experiment_id(record["experiment"]), subject)
        run = next((run for run in runs if run.info.status == "FINISHED"), None)
        done = "waiting" if run is None else "unchanged"
        if run is not None and not (view := RunWriter(store, journal, RunGroup([], [entry]), run)).has(entry):
            view.attach(entry)
            done = "refreshed"
        brought.append(SyncResult(record["name"], record["experiment"], subject, entry.status, done))
    return brought

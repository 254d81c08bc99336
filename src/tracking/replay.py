"""Brings MLflow up to date with the journal: the one way in which anything gets there.

A stage calls it for its own lineage, ``python -m src.track`` for all. Each step looks at what is there
and adds what is missing, so it may be broken off anywhere and be done again.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from src.tracking.chains import Chain, Journal
from src.tracking.store import Store, connect
from src.tracking.view import ATTEMPTS, STATE, View

if TYPE_CHECKING:
    from mlflow.entities import Run

    from src.tracking.registry import Version

LOCK_WAIT = 10  # seconds for another process that brings the same run


@dataclass(frozen=True)
class Brought:
    """A run that was looked at, and what was done: created, refreshed, unchanged or waiting."""

    name: str
    experiment: str
    lineage: str
    status: str
    done: str


@dataclass
class Summary:
    """What `synchronize` did."""

    runs: list[Brought] = field(default_factory=list)
    versions: list["Version"] = field(default_factory=list)

    def count(self, done: str) -> int:
        """How many runs were created, refreshed, unchanged or waiting."""
        return sum(run.done == done for run in self.runs)


def synchronize(root: Path, lineage: str | None = None, patient: bool = False) -> Summary:
    """Bring MLflow up to date with the journal of ``root``, or with one lineage of it. Idempotent.

    With ``lineage``: the run that its executions speak of, and runs whose process died meanwhile.
    Without: everything, the registry too. ``patient``: wait longer for a slow server.

    Raises:
        AssayError: the repository was moved. Whatever else MLflow raises, when it cannot be reached.
    """
    journal = Journal(root)
    return replay(connect(root, patient), journal, None if lineage is None else journal.wanted(lineage))


def replay(store: Store, journal: Journal, subjects: list[str] | None = None) -> Summary:
    """Bring the runs of these lineages; by default of all, and the registry."""
    from src.tracking.registry import carry_out

    summary = Summary()
    for subject in journal.subjects() if subjects is None else subjects:
        summary.runs += bring(store, journal, subject)
    if subjects is None:
        summary.versions = carry_out(store, journal)
    return summary


def bring(store: Store, journal: Journal, subject: str) -> list[Brought]:
    """Create or refresh the runs of one lineage, one process at a time."""
    locks = store.root / "mlruns" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{subject}.lock", timeout=LOCK_WAIT):
        journal.read_again(subject)
        chains = journal.chains(subject)
        if not chains:
            return _bring_to_foreign(store, journal, subject)
        brought = [_bring_chain(store, journal, chain) for chain in chains]
        journal.settle(subject)
        return brought


def find_run(store: Store, chain: Chain) -> "Run | None":
    """The run that shows a chain."""
    experiment = store.experiment_id(chain.head.record["experiment"])
    return _match(store.find_runs(experiment, chain.head.lineage), chain)[0]


def _bring_chain(store: Store, journal: Journal, chain: Chain) -> Brought:
    head = chain.head.record
    experiment = store.experiment_id(head["experiment"])
    runs = store.find_runs(experiment, chain.head.lineage)
    run, superseded = _match(runs, chain)
    done = "created" if run is None else "refreshed"
    if run is not None and run.data.tags.get(STATE) == chain.digest:
        done = "unchanged"
    elif run is not None and not _shares_attempt(run, chain):
        done = _complete(store, journal, chain, run)
    else:
        run = run or _create(store, experiment, chain)
        parent = _parent(store, journal, chain, experiment)
        View(store, journal, chain, run, _predecessor(runs, run, chain), parent).show()
    for other in superseded:  # a repetition that was shown while it ran, and came to an equal result
        store.client.delete_run(other.info.run_id)
    return Brought(head["name"], head["experiment"], chain.head.lineage, chain.head.status, done)


def _complete(store: Store, journal: Journal, chain: Chain, run: "Run") -> str:
    """Somebody else's run with our result: it stays as it is, and gets what no one has said of it yet."""
    view = View(store, journal, chain, run)
    missing = [entry for entry in chain.attachments if not view.has(entry)]
    for entry in missing:
        view.attach(entry)
    return "refreshed" if missing else "unchanged"


def _match(runs: list["Run"], chain: Chain) -> tuple["Run | None", list["Run"]]:
    """The run that shows the chain, and those that showed a part of it before."""
    digest = chain.outputs_digest
    equal = [run for run in runs if digest and run.data.tags.get("outputs.digest") == digest]
    ours = [run for run in runs if _shares_attempt(run, chain)]
    found = [*equal, *ours]
    if not found:
        return None, []
    return found[0], [run for run in ours if run.info.run_id != found[0].info.run_id]


def _shares_attempt(run: "Run", chain: Chain) -> bool:
    return not set(chain.keys).isdisjoint(run.data.tags.get(ATTEMPTS, "").split(","))


def _parent(store: Store, journal: Journal, chain: Chain, experiment: str) -> "Run | None":
    """The run of the base model, for a run of a model that was made from one."""
    base = chain.head.record["parents"].get("train")
    if base is None:
        return None
    owner = journal.owner(base, chain.head)
    if owner is None:  # trained on another machine
        return next((run for run in store.find_runs(experiment, base) if run.info.status == "FINISHED"), None)
    if find_run(store, owner) is None:
        bring(store, journal, base)
    return find_run(store, owner)


def _predecessor(runs: list["Run"], run: "Run", chain: Chain) -> "Run | None":
    """The first run of the same lineage with another result."""
    others = [
        other
        for other in runs
        if other.info.run_id != run.info.run_id
        and other.data.tags.get("outputs.digest", chain.outputs_digest) != chain.outputs_digest
        and other.info.start_time <= run.info.start_time
    ]
    return others[0] if others else None


def _create(store: Store, experiment: str, chain: Chain) -> "Run":
    """An empty run that can be found again, should the process die at the next line."""
    first = chain.entries[0]
    tags = {
        "lineage.id": first.lineage,
        "stage": first.stage,
        ATTEMPTS: ",".join(chain.keys),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": str(first.record["command"]),
    }
    return store.client.create_run(experiment, first.started, tags, first.record["name"])


def _bring_to_foreign(store: Store, journal: Journal, subject: str) -> list[Brought]:
    """Figures for a run that another machine made: they go to it if MLflow has it."""
    brought = []
    for entry in journal.attached(subject):
        record = entry.record
        runs = store.find_runs(store.experiment_id(record["experiment"]), subject)
        run = next((run for run in runs if run.info.status == "FINISHED"), None)
        done = "waiting" if run is None else "unchanged"
        if run is not None and not (view := View(store, journal, Chain([], [entry]), run)).has(entry):
            view.attach(entry)
            done = "refreshed"
        brought.append(Brought(record["name"], record["experiment"], subject, entry.status, done))
    return brought

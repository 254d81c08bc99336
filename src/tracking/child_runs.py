"""Brings the runs of trials and folds, of which there may be thousands, below the run of their parent.

One query finds the runs that a parent's children have, and its answer is kept: a child then costs three
calls, which create it, end it and fill it.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock

from src.tracking.journal_entry import JournalEntry
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import MlflowStore, locks
from src.tracking.run_groups import RunGroup
from src.tracking.run_sync import LOCK_WAIT, SyncResult, create, match, predecessor, shares_attempt, sync_run
from src.tracking.run_tags import STATE, tags_of
from src.tracking.run_writer import ChildRunWriter, best_tag, child_state

if TYPE_CHECKING:
    from mlflow.entities import Run


class Children:
    """Brings the runs of trials and folds. For one thread at a time; processes take turns by a lock."""

    def __init__(self, store: MlflowStore) -> None:
        self.store = store
        self._families: dict[tuple[str, str], ChildRuns] = {}

    def sync(self, journal: JournalIndex, lineage: str) -> list[SyncResult]:
        """Create or refresh the runs of one trial or fold, and that of its parent if it is missing."""
        groups = journal.groups(lineage)
        if not groups:
            return []
        family = self._family(groups[0].head)
        with family.held():
            journal.read_again(lineage)
            results = [self._sync(journal, family, group) for group in journal.groups(lineage)]
            journal.settle(lineage)
            return results

    def running(self, journal: JournalIndex, parent: str) -> list[str]:
        """The children in the journal whose runs MLflow shows as running."""
        known = set(journal.children(parent))
        if not known:
            return []
        experiment = self.store.experiment_id(journal.groups(parent)[-1].head.record["experiment"])
        runs = self.store.find_children(experiment, parent, " and attributes.status = 'RUNNING'")
        return [lineage for lineage in _by_lineage(runs) if lineage in known]

    def forget_parents(self) -> None:
        """Look up the parents' runs again: when a parent ended, two of its runs may have become one."""
        for family in self._families.values():
            family.parents = None

    def _family(self, entry: JournalEntry) -> "ChildRuns":
        key = (entry.record["experiment"], str(entry.parent))
        if key not in self._families:
            self._families[key] = ChildRuns(self.store, *key)
        return self._families[key]

    def _sync(self, journal: JournalIndex, family: "ChildRuns", group: RunGroup) -> SyncResult:
        head, runs = group.head, family.runs[group.head.lineage]
        run, superseded = match(runs, group)
        parent, best = self._parent(journal, family, group), journal.is_best(group)
        done = "unchanged"
        if run is None:
            tags, done = tags_of(group, parent) | best_tag(best), "created"
            run = create(self.store, family.experiment, group, tags)
            runs.append(run)
        elif shares_attempt(run, group) and run.data.tags.get(STATE) != child_state(group, parent, best):
            done = "refreshed"
        if done != "unchanged":
            ChildRunWriter(self.store, group, run, predecessor(runs, run, group), parent, best).show()
        for other in superseded:  # a repetition that was shown while it ran, and had an equal result
            self.store.client.delete_run(other.info.run_id)
            runs.remove(other)
        return SyncResult(head.record["name"], head.record["experiment"], head.lineage, head.status, done)

    def _parent(self, journal: JournalIndex, family: "ChildRuns", group: RunGroup) -> "Run | None":
        """The run of the sweep or cross-validation that was running when the group's head began."""
        owner = journal.running_parent(family.parent, group.head)
        if owner is None:  # it runs on another machine
            return next(reversed(family.find_parents()), None)
        run = match(family.find_parents(), owner)[0]
        if run is None:
            sync_run(self.store, journal, family.parent)
            family.parents = None
            run = match(family.find_parents(), owner)[0]
        return run


class ChildRuns:
    """The runs of the children of one parent, valid as long as no other process brings any."""

    def __init__(self, store: MlflowStore, experiment: str, parent: str) -> None:
        self.store = store
        self.parent = parent  # lineage
        self.experiment = store.experiment_id(experiment)
        self.runs: dict[str, list[Run]] = defaultdict(list)  # of each child, oldest first
        self.parents: list[Run] | None = None  # of the parent itself, oldest first
        self._name = uuid.uuid4().hex
        self._lock = FileLock(locks(store.root) / f"{parent}.children.lock", timeout=LOCK_WAIT)
        self._last = locks(store.root) / f"{parent}.children"  # names the last to look, and perhaps to write

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one to bring children of this parent, and know which runs exist."""
        with self._lock:
            if not (self._last.is_file() and self._last.read_text(encoding="utf-8") == self._name):
                self.runs = _by_lineage(self.store.find_children(self.experiment, self.parent))
                self.parents = None
                self._last.write_text(self._name, encoding="utf-8")
            yield

    def find_parents(self) -> "list[Run]":
        """The runs of the parent."""
        if self.parents is None:
            self.parents = self.store.find_runs(self.experiment, self.parent)
        return self.parents


def _by_lineage(runs: "list[Run]") -> "dict[str, list[Run]]":
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.data.tags["lineage.id"]].append(run)
    return found

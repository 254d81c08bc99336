"""The journal of a repository, indexed by the lineages whose MLflow runs it describes."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from src.provenance.journal import RunRecord
from src.tracking.journal_entry import OWN_RUN, JournalEntry, read_entries
from src.tracking.run_groups import RunGroup, group_attempts, newest, owner_of


class JournalIndex:
    """The journal of a repository as read once: all of it, or the part that concerns one lineage."""

    def __init__(self, root: Path, entries: list[JournalEntry] | None = None) -> None:
        self.root = root
        self.entries = read_entries(root) if entries is None else entries
        self._own: dict[str, list[JournalEntry]] = defaultdict(list)
        self._attached: dict[str, list[JournalEntry]] = defaultdict(list)
        for entry in self.entries:
            if entry.subject != entry.lineage:
                self._attached[entry.subject].append(entry)
            elif entry.has_run:
                self._own[entry.lineage].append(entry)
            for part in entry.parts():
                self._attached[part.subject].append(part)

    @classmethod
    def around(cls, root: Path, lineage: str) -> "JournalIndex":
        """What concerns one lineage: its own attempts, and those of its parents."""
        entries = fresh = read_entries(root, lineage)
        while fresh and fresh[0].parent is not None:
            fresh = read_entries(root, fresh[0].parent)
            entries = [*entries, *fresh]
        return cls(root, entries)

    def read_again(self, subject: str) -> None:
        """Read the attempts of a lineage again; other processes may have written since."""
        if subject in self._own:
            self._own[subject] = [entry for entry in read_entries(self.root, subject) if entry.has_run]

    def has_own(self, lineage: str) -> bool:
        """Whether executions of ``lineage`` have runs of their own."""
        return lineage in self._own

    def subjects_of(self, lineage: str) -> list[str]:
        """The lineages whose runs an execution of ``lineage`` describes: its own, or those it attaches to."""
        if self.has_own(lineage):
            return [lineage]
        return sorted(
            (s for s, entries in self._attached.items() if any(e.lineage == lineage for e in entries)),
            key=self._order,
        )

    def subjects(self) -> list[str]:
        """All lineages with a run, parents first, then those that only have attachments."""
        everyone = [*self._own, *(key for key in self._attached if key not in self._own)]
        return sorted(everyone, key=self._order)

    def dead(self) -> list[str]:
        """The lineages that the journal shows as RUNNING though the process is gone."""
        return [subject for subject in self.subjects() if any(e.is_stale for e in self._own.get(subject, []))]

    def wanted(self, lineage: str) -> list[str]:
        """The lineages whose runs an execution of ``lineage`` brings up to date: those that it describes, and
        those of processes that died."""
        return list(dict.fromkeys([*self.dead(), *self.subjects_of(lineage)]))

    def parent_of(self, subject: str) -> str | None:
        """The lineage of the parent run; None if the runs of ``subject`` have no parent."""
        own = self._own.get(subject)
        return own[0].parent if own else None

    def children(self, parent: str) -> list[str]:
        """The lineages of the trials or folds of a sweep or cross-validation."""
        return [subject for subject, own in self._own.items() if own and own[0].parent == parent]

    def running_parent(self, parent: str, entry: JournalEntry) -> RunGroup | None:
        """The run of ``parent`` that was running when ``entry`` began: the last to begin before it.

        None if the journal has none, for example because the parent runs on another machine.
        """
        begun = [(e.started, g) for g in group_attempts(self._own.get(parent, [])) for e in g.entries]
        before = [(time, group) for time, group in begun if time <= entry.started]
        if not before:
            return begun[0][1] if begun else None
        return max(before, key=lambda pair: pair[0])[1]

    def is_best(self, child: RunGroup) -> bool:
        """Whether a search that this trial was part of names it as its best."""
        parent = child.head.parent
        searches = [self.running_parent(parent, entry) for entry in child.entries] if parent else []
        return any(g.head.best == child.head.lineage for g in searches if g is not None)

    def settle(self, subject: str) -> None:
        """Record in the journal that processes died, so that nobody has to check again."""
        for entry in self._own.get(subject, []):
            if entry.is_stale:
                ended = datetime.fromtimestamp(entry.ended / 1000, UTC).isoformat(timespec="milliseconds")
                RunRecord(entry.folder).update(status=entry.status, reason=entry.reason, ended=ended)

    def groups(self, subject: str) -> list[RunGroup]:
        """The runs of a lineage, oldest first, each with the newest attachment of each stage."""
        groups = group_attempts(self._own.get(subject, []))
        for entry in newest(self._attached.get(subject, [])):
            if groups:
                owner_of(groups, entry).attachments.append(entry)
        return groups

    def owner(self, subject: str, entry: JournalEntry) -> RunGroup | None:
        """The run of a lineage whose result the stage ``entry`` read; None if the journal has none."""
        groups = group_attempts(self._own.get(subject, []))
        return owner_of(groups, entry) if groups else None

    def attached(self, subject: str) -> list[JournalEntry]:
        """The newest record of each stage that attaches to this lineage."""
        return newest(self._attached.get(subject, []))

    def _order(self, subject: str) -> tuple[int, str]:
        own = self._own.get(subject, [])
        return (OWN_RUN.index(own[0].stage), own[0].record["started"]) if own else (len(OWN_RUN), "")

"""Which attempts share one MLflow run.

An attempt that ended without a result is continued by the next one of its lineage in the same run. A
repetition with equal outputs belongs to the run that it repeats; one with other outputs gets its own run.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from src.core.hashing import json_hash
from src.tracking.journal_entry import JournalEntry, metrics_of


@dataclass
class RunGroup:
    """The attempts of one MLflow run, oldest first, and what later stages attach to it."""

    entries: list[JournalEntry]
    attachments: list[JournalEntry] = field(default_factory=list)

    @property
    def result(self) -> JournalEntry | None:
        """The first attempt that finished; all later ones wrote the same.

        One that was imported without its files only counts if no other has them.
        """
        finished = [entry for entry in self.entries if entry.status == "FINISHED"]
        return next((e for e in finished if not e.record.get("missing")), next(iter(finished), None))

    @property
    def head(self) -> JournalEntry:
        """The attempt that the run shows."""
        return self.result or [*self.attachments, *self.entries][-1]

    @property
    def stage(self) -> str:
        return self.head.stage

    @property
    def outputs_digest(self) -> str | None:
        """What equal results have in common; None as long as there is no result."""
        return json_hash(self.result.outputs) if self.result else None

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self.entries]

    @property
    def digest(self) -> str:
        """Changes whenever the run has to be refreshed."""
        return json_hash([[e.digest, e.status] for e in [*self.entries, *self.attachments]])

    def history(self) -> list[dict[str, Any]]:
        """One row for each epoch, in order.

        An epoch that was repeated after a kill keeps its first row if the metrics are equal, so that the
        points match those that MLflow already has, and its last row if they are not.
        """
        rows: dict[int, dict[str, Any]] = {}
        if not self.entries:
            return []
        upto = self.entries.index(self.head) + 1
        for entry in self.entries[:upto]:
            for row in entry.history:
                epoch = int(row["epoch"])
                if epoch not in rows or metrics_of(rows[epoch]) != metrics_of(row):
                    rows[epoch] = {"time": entry.started + epoch, **row}
        return [rows[epoch] for epoch in sorted(rows)]


def group_attempts(entries: Iterable[JournalEntry]) -> list[RunGroup]:
    """Group the attempts of one lineage, oldest first, into runs."""
    closed: list[RunGroup] = []
    pending: list[JournalEntry] = []
    for entry in entries:
        pending.append(entry)
        if entry.status != "FINISHED":
            continue
        equal = [group for group in closed if group.result and group.result.outputs == entry.outputs]
        if equal:
            equal[0].entries += pending
        else:
            closed.append(RunGroup(pending))
        pending = []
    return [*closed, RunGroup(pending)] if pending else closed


def newest(entries: list[JournalEntry]) -> list[JournalEntry]:
    """For each stage its last record, and if that has no result, the last one that has before it."""
    chosen: dict[tuple[str, str | None, bool], JournalEntry] = {}
    for entry in sorted(entries, key=lambda e: str(e.record["started"])):
        name = (entry.stage, entry.record.get("variant"))
        chosen[*name, entry.status == "FINISHED"] = entry
    done = {key[:2]: entry for key, entry in chosen.items() if key[2]}
    later = [
        entry
        for key, entry in chosen.items()
        if not key[2] and (key[:2] not in done or entry.started > done[key[:2]].started)
    ]
    return [*done.values(), *later]


def owner_of(groups: list[RunGroup], entry: JournalEntry) -> RunGroup:
    """The run whose result the stage ``entry`` read: the last one that existed when it started."""

    def finished(group: RunGroup) -> int:
        """When the group last had a result before ``entry`` started; -1: it had none yet."""
        ended = [e.ended for e in group.entries if e.status == "FINISHED"]
        return max((time for time in ended if time <= entry.started), default=-1)

    before = [group for group in groups if finished(group) >= 0]
    return max(before, key=finished) if before else groups[-1]

"""Which executions make one MLflow run: a pure function of the journal.

An attempt that ended without a result is continued by the next of its lineage in the same run. A
repetition with equal outputs belongs to the run it repeats; one with other outputs gets its own.
The run of a trial or a fold lies below that of the sweep or cross-validation that was at work when it began.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from src.core.hashing import json_hash
from src.core.processes import is_alive
from src.provenance.journal import RunRecord, attempts

# What has an MLflow run of its own, parents before their children.
OWN_RUN = ("sweep", "cross_validate", "train", "trial", "fold", "compress")
NEEDED = {"stage", "lineage", "status", "process"}  # without these a record says nothing
GONE = "the process is gone"


@dataclass(frozen=True)
class JournalEntry:
    """One attempt as the journal has it at the moment of reading."""

    folder: Path
    record: dict[str, Any]
    status: str  # FINISHED, FAILED, KILLED, or RUNNING while the process lives (or may, on another host)
    digest: str  # changes whenever the journal of the attempt does

    @classmethod
    def read(cls, attempt: RunRecord) -> "JournalEntry | None":
        """Read ``run.json``; the length of the history stands for its rows, which are only appended.

        None if the record cannot be read: a full disk may leave an empty one.
        """
        try:
            record, digest = _read_record(attempt.folder)
            gone = record["status"] == "RUNNING" and not is_alive(record["process"])
            if gone:  # it may have written its end between our reading and its own
                record, digest = _read_record(attempt.folder)
        except (OSError, ValueError, KeyError):
            return None
        if not record.keys() >= NEEDED:
            return None
        status = "KILLED" if gone and record["status"] == "RUNNING" else str(record["status"])
        rows = attempt.folder / "history.jsonl"
        size = rows.stat().st_size if rows.is_file() else 0
        return cls(attempt.folder, record, status, f"{digest}{size}")

    @property
    def stage(self) -> str:
        return str(self.record["stage"])

    @property
    def name(self) -> str:
        """The stage, with its variant."""
        return self.stage if self.record.get("variant") is None else f"{self.stage}.{self.record['variant']}"

    @property
    def lineage(self) -> str:
        return str(self.record["lineage"])

    @property
    def subject(self) -> str:
        """The lineage whose run gets the figures."""
        return str(self.record.get("subject") or self.lineage)

    def parts(self) -> "list[JournalEntry]":
        """One record for each lineage that the attempt attaches figures to."""
        attached = self.record.get("attached") or {}
        return [
            replace(self, record={**self.record, "subject": subject, **said})
            for subject, said in attached.items()
        ]

    @property
    def parent(self) -> str | None:
        """The lineage below whose run this one lies: of a trial its sweep, of a fold its cross-validation."""
        return self.record.get("parent")

    @property
    def best(self) -> str | None:
        """The lineage of the best trial, as a search names it in the end."""
        return (self.record.get("tags") or {}).get("best.lineage")

    @property
    def has_run(self) -> bool:
        """Whether MLflow has a run for it; a sweep that was asked to search nothing has none."""
        if self.subject != self.lineage or self.stage not in OWN_RUN:
            return False
        return not (self.stage == "sweep" and (self.record.get("params") or {}).get("sweep.method") == "none")

    @property
    def is_stale(self) -> bool:
        """Whether the journal still says RUNNING of a process that is gone."""
        return bool(self.record["status"] != self.status)

    @property
    def reason(self) -> str | None:
        """Why it has no result."""
        return self.record.get("reason") or (GONE if self.status == "KILLED" else None)

    @property
    def key(self) -> str:
        """Names this attempt among those of all machines that share a server."""
        return json_hash([self.lineage, self.folder.name, self.record["process"], self.record["started"]])[
            :16
        ]

    @property
    def outputs(self) -> dict[str, str]:
        return dict(self.record.get("outputs") or {})

    @property
    def started(self) -> int:
        return milliseconds(self.record["started"])

    @property
    def ended(self) -> int:
        """When it ended; of a killed attempt, when it was last heard of."""
        ended = self.record.get("ended")
        return milliseconds(ended) if ended else int((self.folder / "run.json").stat().st_mtime * 1000)

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        return [dict(row) for row in RunRecord(self.folder).history]


@dataclass
class RunGroup:
    """The attempts of one MLflow run, oldest first, and what later stages attach to it."""

    entries: list[JournalEntry]
    attachments: list[JournalEntry] = field(default_factory=list)

    @property
    def result(self) -> JournalEntry | None:
        """The first attempt that ended well: what it wrote, all later ones wrote again."""
        return next((entry for entry in self.entries if entry.status == "FINISHED"), None)

    @property
    def head(self) -> JournalEntry:
        """The attempt that the run speaks of."""
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

        An epoch that was done again after a kill keeps its first row if the figures are equal, so that
        the points that MLflow already has are met, and its last row if they are not.
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


def metrics_of(row: dict[str, Any]) -> dict[str, float]:
    """The metrics in a row of the history."""
    return {
        key: float(value) for key, value in row.items() if key not in ("epoch", "time") and value is not None
    }


def milliseconds(time: str | float) -> int:
    """Milliseconds since 1970 of an ISO time, of seconds or of milliseconds."""
    if isinstance(time, str):
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    return int(time if time > 1e11 else time * 1000)  # 1e11 s is the year 5138


class JournalIndex:
    """The journal of a repository, read once: the whole, or the part that concerns one lineage."""

    def __init__(self, root: Path, entries: list[JournalEntry] | None = None) -> None:
        self.root = root
        self.entries = _read(root, None) if entries is None else entries
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
        entries = fresh = _read(root, lineage)
        while fresh and fresh[0].parent is not None:
            fresh = _read(root, fresh[0].parent)
            entries = [*entries, *fresh]
        return cls(root, entries)

    def read_again(self, subject: str) -> None:
        """What the journal says of a lineage now; others may have written since."""
        if subject in self._own:
            self._own[subject] = [entry for entry in _read(self.root, subject) if entry.has_run]

    def has_own(self, lineage: str) -> bool:
        """Whether executions of ``lineage`` have runs of their own."""
        return lineage in self._own

    def subjects_of(self, lineage: str) -> list[str]:
        """The lineages whose runs an execution of ``lineage`` speaks of: its own, or those it attaches to."""
        if self.has_own(lineage):
            return [lineage]
        return sorted(
            (s for s, entries in self._attached.items() if any(e.lineage == lineage for e in entries)),
            key=self._order,
        )

    def subjects(self) -> list[str]:
        """All lineages with a run, parents first, and those that others speak of."""
        everyone = [*self._own, *(key for key in self._attached if key not in self._own)]
        return sorted(everyone, key=self._order)

    def dead(self) -> list[str]:
        """The lineages of which the journal says RUNNING though the process is gone."""
        return [subject for subject in self.subjects() if any(e.is_stale for e in self._own.get(subject, []))]

    def wanted(self, lineage: str) -> list[str]:
        """The lineages whose runs an execution of ``lineage`` brings up to date: those it speaks of,
        and those of processes that have died."""
        return list(dict.fromkeys([*self.dead(), *self.subjects_of(lineage)]))

    def parent_of(self, subject: str) -> str | None:
        """The lineage below whose run the runs of this one lie; None if they lie below none."""
        own = self._own.get(subject)
        return own[0].parent if own else None

    def children(self, parent: str) -> list[str]:
        """The lineages of the trials or folds of a sweep or cross-validation."""
        return [subject for subject, own in self._own.items() if own and own[0].parent == parent]

    def at_work(self, parent: str, entry: JournalEntry) -> RunGroup | None:
        """The run of ``parent`` whose attempt was the last to begin before ``entry`` did; None if the
        journal has none, as when the parent runs on another machine."""
        begun = [(e.started, c) for c in chain(self._own.get(parent, [])) for e in c.entries]
        before = [(time, c) for time, c in begun if time <= entry.started]
        if not before:
            return begun[0][1] if begun else None
        return max(before, key=lambda pair: pair[0])[1]

    def is_best(self, child: RunGroup) -> bool:
        """Whether a search that this trial was part of names it as its best."""
        parent = child.head.parent
        searches = [self.at_work(parent, entry) for entry in child.entries] if parent else []
        return any(c.head.best == child.head.lineage for c in searches if c is not None)

    def settle(self, subject: str) -> None:
        """Write down that processes have died, so that nobody has to ask again."""
        for entry in self._own.get(subject, []):
            if entry.is_stale:
                ended = datetime.fromtimestamp(entry.ended / 1000, UTC).isoformat(timespec="milliseconds")
                RunRecord(entry.folder).update(status=entry.status, reason=entry.reason, ended=ended)

    def chains(self, subject: str) -> list[RunGroup]:
        """The runs of a lineage, oldest first, each with the newest attachment of each stage."""
        chains = chain(self._own.get(subject, []))
        for entry in newest(self._attached.get(subject, [])):
            if chains:
                _owner(chains, entry).attachments.append(entry)
        return chains

    def owner(self, subject: str, entry: JournalEntry) -> RunGroup | None:
        """The run of a lineage whose result the stage ``entry`` read; None if the journal has none."""
        chains = chain(self._own.get(subject, []))
        return _owner(chains, entry) if chains else None

    def attached(self, subject: str) -> list[JournalEntry]:
        """The newest record of each stage that speaks of this lineage."""
        return newest(self._attached.get(subject, []))

    def _order(self, subject: str) -> tuple[int, str]:
        own = self._own.get(subject, [])
        return (OWN_RUN.index(own[0].stage), own[0].record["started"]) if own else (len(OWN_RUN), "")


def chain(entries: Iterable[JournalEntry]) -> list[RunGroup]:
    """Group the attempts of one lineage, oldest first, into runs."""
    closed: list[RunGroup] = []
    pending: list[JournalEntry] = []
    for entry in entries:
        pending.append(entry)
        if entry.status != "FINISHED":
            continue
        equal = [c for c in closed if c.result and c.result.outputs == entry.outputs]
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


def _owner(chains: list[RunGroup], entry: JournalEntry) -> RunGroup:
    """The run whose result the stage read: the last one that there was when it started."""
    before = [
        c
        for c in chains
        if c.result and any(e.status == "FINISHED" and e.ended <= entry.started for e in c.entries)
    ]
    if not before:
        return chains[-1]
    return max(
        before,
        key=lambda c: max(e.ended for e in c.entries if e.status == "FINISHED" and e.ended <= entry.started),
    )


def _read(root: Path, lineage: str | None) -> list[JournalEntry]:
    """All attempts that can be read, or those of one lineage."""
    read = (JournalEntry.read(attempt) for attempt in attempts(root, lineage))
    return [entry for entry in read if entry is not None]


def _read_record(folder: Path) -> tuple[dict[str, Any], str]:
    """``run.json`` and the SHA-256 of its bytes."""
    content = (folder / "run.json").read_bytes()
    return json.loads(content), hashlib.sha256(content).hexdigest()

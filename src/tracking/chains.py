"""Which executions make one MLflow run: a pure function of the journal.

An attempt that ended without a result is continued by the next of its lineage in the same run. A
repetition with equal outputs belongs to the run it repeats; one with other outputs gets its own.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from src.provenance.hashes import file_hash, text_hash
from src.provenance.journal import Attempt, attempts
from src.provenance.process import is_alive

OWN_RUN = ("train", "compress")  # stages with an MLflow run of their own
GONE = "the process is gone"


@dataclass(frozen=True)
class Entry:
    """One attempt as the journal has it at the moment of reading."""

    folder: Path
    record: dict[str, Any]
    status: str  # FINISHED, FAILED, KILLED, or RUNNING while the process lives (or may, on another host)
    digest: str  # changes whenever the journal of the attempt does

    @classmethod
    def read(cls, attempt: Attempt) -> "Entry":
        """Read ``run.json``; the length of the history stands for its rows, which are only appended."""
        record = attempt.record
        gone = record["status"] == "RUNNING" and not is_alive(record["process"])
        if gone:  # it may have written its end between our reading and its own
            record = attempt.record
        status = "KILLED" if gone and record["status"] == "RUNNING" else str(record["status"])
        rows = attempt.folder / "history.jsonl"
        size = rows.stat().st_size if rows.is_file() else 0
        return cls(attempt.folder, record, status, f"{file_hash(attempt.folder / 'run.json')}{size}")

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
        return text_hash([self.lineage, self.folder.name, self.record["process"], self.record["started"]])[
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
        return [dict(row) for row in Attempt(self.folder).history]


@dataclass
class Chain:
    """The attempts of one MLflow run, oldest first, and what later stages attach to it."""

    entries: list[Entry]
    attachments: list[Entry] = field(default_factory=list)

    @property
    def result(self) -> Entry | None:
        """The first attempt that ended well: what it wrote, all later ones wrote again."""
        return next((entry for entry in self.entries if entry.status == "FINISHED"), None)

    @property
    def head(self) -> Entry:
        """The attempt that the run speaks of."""
        return self.result or [*self.attachments, *self.entries][-1]

    @property
    def stage(self) -> str:
        return self.head.stage

    @property
    def outputs_digest(self) -> str | None:
        """What equal results have in common; None as long as there is no result."""
        return text_hash(self.result.outputs) if self.result else None

    @property
    def keys(self) -> list[str]:
        return [entry.key for entry in self.entries]

    @property
    def digest(self) -> str:
        """Changes whenever the run has to be refreshed."""
        return text_hash([[e.digest, e.status] for e in [*self.entries, *self.attachments]])

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
                if epoch not in rows or figures(rows[epoch]) != figures(row):
                    rows[epoch] = {"time": entry.started + epoch, **row}
        return [rows[epoch] for epoch in sorted(rows)]


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The metrics in a row of the history."""
    return {
        key: float(value) for key, value in row.items() if key not in ("epoch", "time") and value is not None
    }


def milliseconds(time: str | float) -> int:
    """Milliseconds since 1970 of an ISO time, of seconds or of milliseconds."""
    if isinstance(time, str):
        return int(datetime.fromisoformat(time).timestamp() * 1000)
    return int(time if time > 1e11 else time * 1000)  # 1e11 s is the year 5138


class Journal:
    """The whole journal of a repository, read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries = [Entry.read(attempt) for attempt in attempts(root) if _is_whole(attempt)]
        self._own: dict[str, list[Entry]] = defaultdict(list)
        self._attached: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if entry.subject != entry.lineage:
                self._attached[entry.subject].append(entry)
            elif entry.stage in OWN_RUN:
                self._own[entry.lineage].append(entry)

    def read_again(self, subject: str) -> None:
        """What the journal says of a lineage now; others may have written since."""
        if subject in self._own:
            fresh = [Entry.read(attempt) for attempt in attempts(self.root, subject) if _is_whole(attempt)]
            self._own[subject] = [e for e in fresh if e.stage in OWN_RUN and e.subject == e.lineage]

    def subject_of(self, lineage: str) -> str | None:
        """The lineage whose run an execution of ``lineage`` speaks of; None if it speaks of none."""
        if lineage in self._own:
            return lineage
        own = [entry for entry in self.entries if entry.lineage == lineage and entry.subject != lineage]
        return own[-1].subject if own else None

    def subjects(self) -> list[str]:
        """All lineages with a run, parents first, and those that others speak of."""
        everyone = [*self._own, *(key for key in self._attached if key not in self._own)]
        return sorted(everyone, key=self._order)

    def wanted(self, lineage: str) -> list[str]:
        """The lineages whose runs an execution of ``lineage`` brings up to date: the one it speaks of,
        and those of processes that have died."""
        dead = [other for other in self.subjects() if any(e.is_stale for e in self._own.get(other, []))]
        subject = self.subject_of(lineage)
        return list(dict.fromkeys([*dead, *([subject] if subject else [])]))

    def settle(self, subject: str) -> None:
        """Write down that processes have died, so that nobody has to ask again."""
        for entry in self._own.get(subject, []):
            if entry.is_stale:
                ended = datetime.fromtimestamp(entry.ended / 1000, UTC).isoformat(timespec="milliseconds")
                Attempt(entry.folder).update(status=entry.status, reason=entry.reason, ended=ended)

    def chains(self, subject: str) -> list[Chain]:
        """The runs of a lineage, oldest first, each with the newest attachment of each stage."""
        chains = chain(self._own.get(subject, []))
        for entry in newest(self._attached.get(subject, [])):
            if chains:
                _owner(chains, entry).attachments.append(entry)
        return chains

    def owner(self, subject: str, entry: Entry) -> Chain | None:
        """The run of a lineage whose result the stage ``entry`` read; None if the journal has none."""
        chains = chain(self._own.get(subject, []))
        return _owner(chains, entry) if chains else None

    def attached(self, subject: str) -> list[Entry]:
        """The newest record of each stage that speaks of this lineage."""
        return newest(self._attached.get(subject, []))

    def _order(self, subject: str) -> tuple[int, str]:
        own = self._own.get(subject, [])
        return (OWN_RUN.index(own[0].stage), own[0].record["started"]) if own else (len(OWN_RUN), "")


def chain(entries: Iterable[Entry]) -> list[Chain]:
    """Group the attempts of one lineage, oldest first, into runs."""
    closed: list[Chain] = []
    pending: list[Entry] = []
    for entry in entries:
        pending.append(entry)
        if entry.status != "FINISHED":
            continue
        equal = [c for c in closed if c.result and c.result.outputs == entry.outputs]
        if equal:
            equal[0].entries += pending
        else:
            closed.append(Chain(pending))
        pending = []
    return [*closed, Chain(pending)] if pending else closed


def newest(entries: list[Entry]) -> list[Entry]:
    """For each stage its last record, and if that has no result, the last one that has before it."""
    chosen: dict[tuple[str, str | None, bool], Entry] = {}
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


def _owner(chains: list[Chain], entry: Entry) -> Chain:
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


def _is_whole(attempt: Attempt) -> bool:
    """Whether the record can be read: a full disk may leave an empty one."""
    try:
        return {"stage", "lineage", "status", "process"} <= attempt.record.keys()
    except (OSError, json.JSONDecodeError):
        return False

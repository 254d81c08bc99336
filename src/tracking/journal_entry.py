"""One execution of a stage as the journal has it when it is read."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from src.core.processes import is_alive
from src.provenance.journal import RunRecord, attempt_key, attempts

# Stages with an MLflow run of their own, parents before their children.
OWN_RUN = ("sweep", "cross_validate", "train", "trial", "fold", "compress")
REQUIRED = {"stage", "lineage", "status", "process"}  # a record without these is skipped
GONE = "the process is gone"


@dataclass(frozen=True)
class JournalEntry:
    """One attempt as the journal has it when it is read."""

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
        if not record.keys() >= REQUIRED:
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
        """The lineage whose run gets the metrics and figures."""
        return str(self.record.get("subject") or self.lineage)

    def parts(self) -> "list[JournalEntry]":
        """One entry for each lineage that the attempt attaches metrics and figures to."""
        attached = self.record.get("attached") or {}
        return [
            replace(self, record={**self.record, "subject": subject, **content})
            for subject, content in attached.items()
        ]

    @property
    def parent(self) -> str | None:
        """The lineage of the parent run: of a trial its sweep, of a fold its cross-validation."""
        return self.record.get("parent")

    @property
    def best(self) -> str | None:
        """The lineage of the best trial, which a search names when it ends."""
        return (self.record.get("tags") or {}).get("best.lineage")

    @property
    def has_run(self) -> bool:
        """Whether it has an MLflow run; a sweep with ``method: none`` has none."""
        if self.subject != self.lineage or self.stage not in OWN_RUN:
            return False
        return not (self.stage == "sweep" and (self.record.get("params") or {}).get("sweep.method") == "none")

    @property
    def is_stale(self) -> bool:
        """Whether the journal still shows RUNNING though the process is gone."""
        return bool(self.record["status"] != self.status)

    @property
    def reason(self) -> str | None:
        """Why it has no result."""
        return self.record.get("reason") or (GONE if self.status == "KILLED" else None)

    @property
    def key(self) -> str:
        """Identifies this attempt among those of all machines that share a server."""
        return attempt_key(self.folder, self.record)

    @property
    def outputs(self) -> dict[str, str]:
        return dict(self.record.get("outputs") or {})

    @property
    def started(self) -> int:
        return milliseconds(self.record["started"])

    @property
    def ended(self) -> int:
        """When it ended; for a killed attempt, when it last wrote to the journal."""
        ended = self.record.get("ended")
        return milliseconds(ended) if ended else int((self.folder / "run.json").stat().st_mtime * 1000)

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        return [dict(row) for row in RunRecord(self.folder).history]


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


def read_entries(root: Path, lineage: str | None = None) -> list[JournalEntry]:
    """All attempts that can be read, or those of one lineage."""
    read = (JournalEntry.read(attempt) for attempt in attempts(root, lineage))
    return [entry for entry in read if entry is not None]


def _read_record(folder: Path) -> tuple[dict[str, Any], str]:
    """``run.json`` and the SHA-256 of its bytes."""
    content = (folder / "run.json").read_bytes()
    return json.loads(content), hashlib.sha256(content).hexdigest()

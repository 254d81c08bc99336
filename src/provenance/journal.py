"""The journal: what is true of one execution only, written to files before any server is contacted.

``.assay/journal/<lineage id>/<attempt>/`` holds ``run.json``, ``history.jsonl`` (a line an epoch) and
copies of figures (``files/``) and models (``model/``). MLflow is a view of it (``src.tracking``).

The metrics of a stage belong to the run of ``subject``: its own lineage, or that of the model it measures. A
stage that measures several models keeps them in ``attached``: {lineage: {"metrics", "figures", "tags"}}.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src.core.files import write_json
from src.core.hashing import json_hash

# By trials and folds, from the record of their stage.
INHERITED = (
    *("ad_hoc", "command", "user", "dvc_experiment", "git"),
    *("experiment", "seed", "data", "address", "variant"),
)


def journal_folder(root: Path) -> Path:
    """Where the journal of the repository ``root`` lies."""
    return root / ".assay" / "journal"


def now() -> str:
    """The current time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class RunRecord:
    """One execution of a stage: a folder of the journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, root: Path, record: dict[str, Any]) -> "RunRecord":
        """Start the next attempt of ``record["lineage"]``; its status is RUNNING."""
        attempt = cls(next_folder(journal_folder(root) / record["lineage"]))
        write_json(attempt.folder / "run.json", {**record, "status": "RUNNING", "started": now()})
        return attempt

    @property
    def record(self) -> dict[str, Any]:
        """The current content of ``run.json``."""
        record: dict[str, Any] = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return record

    @property
    def key(self) -> str:
        """See :func:`attempt_key`."""
        return attempt_key(self.folder, self.record)

    @property
    def is_witness(self) -> bool:
        """Whether this machine has run it: what was imported from a record, or taken from a result that was
        found, says nothing that its source does not."""
        record = self.record
        return not record.get("record") and "adopted" not in (record.get("tags") or {})

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows written so far, without a last line that a kill cut short."""
        path = self.folder / "history.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def update(self, **changes: Any) -> None:
        """Set fields of the record; mappings are merged, lists are extended."""
        record = self.record
        merged = {key: _merge(record.get(key), value) for key, value in changes.items()}
        write_json(self.folder / "run.json", {**record, **merged})

    def add_epoch(self, row: dict[str, float]) -> dict[str, float]:
        """Append an epoch's metrics; returns the row with its "time" (seconds since 1970)."""
        stamped = {**row, "time": datetime.now(UTC).timestamp()}
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(stamped) + "\n")
        return stamped

    def add_figures(self, paths: Iterable[Path]) -> None:
        """Keep copies of small files, named in the record."""
        self.update(figures=self._keep(paths, Path("files")))

    def attach(
        self, subject: str, metrics: dict[str, float], figures: Iterable[Path], tags: dict[str, str]
    ) -> None:
        """Keep what was measured of the run with lineage ``subject``, in place of what was kept before."""
        kept = self._keep(figures, Path("files", subject[:16]))  # names may repeat between subjects
        self.update(attached={subject: {"metrics": metrics, "figures": kept, "tags": tags}})

    def add_model(self, folder: Path) -> None:
        """Keep a copy of a model's files, so that MLflow can be filled again without the workspace."""
        shutil.copytree(folder, self.folder / "model", dirs_exist_ok=True)
        self.update(model="model")

    def _keep(self, paths: Iterable[Path], place: Path) -> list[str]:
        """Copy files into ``place``; returns their paths relative to the record's folder."""
        (self.folder / place).mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy(p, self.folder / place)).relative_to(self.folder).as_posix() for p in paths]

    def close(self, status: str, reason: str | None = None) -> None:
        """End the attempt as FINISHED, FAILED or KILLED; now, unless its end is known."""
        self.update(status=status, reason=reason, ended=self.record.get("ended") or now())


def attempt_key(folder: Path, record: dict[str, Any]) -> str:
    """Identifies an attempt among those of all machines."""
    return json_hash([record["lineage"], folder.name, record["process"], record["started"]])[:16]


def child_record(
    parent: dict[str, Any], stage: str, name: str, lineage: str, params: dict[str, Any], tags: dict[str, str]
) -> dict[str, Any]:
    """The record of a trial or fold before it starts; ``parent`` is its stage's record."""
    return {
        **{key: parent[key] for key in INHERITED},
        "stage": stage,
        "name": name,
        "lineage": lineage,
        "subject": lineage,
        "parent": parent["lineage"],
        "parents": {parent["stage"]: parent["lineage"]},
        "params": params,
        "tags": tags,
        **{"numerics": {}, "metrics": {}, "outputs": {}, "figures": [], "model": None},
    }


def attempts(root: Path, lineage: str | None = None) -> Iterator[RunRecord]:
    """All attempts, or those of one lineage, oldest first within each lineage."""
    for record in sorted(journal_folder(root).glob(f"{lineage or '*'}/*/run.json")):
        yield RunRecord(record.parent)


def last_outputs(root: Path, address: str) -> dict[str, str]:
    """{path: SHA-256} of what a stage has last written on this machine, apart from ad-hoc runs.

    Empty if this machine has not run it.
    """
    records = [attempt.record for attempt in attempts(root) if attempt.is_witness]
    ended = [
        record
        for record in records
        if record.get("address") == address
        and record["status"] == "FINISHED"
        and record.get("outputs")
        and not record.get("ad_hoc")
    ]
    outputs: dict[str, str] = max(ended, key=lambda record: record["ended"])["outputs"] if ended else {}
    return outputs


def _merge(before: Any, value: Any) -> Any:
    if isinstance(before, dict) and isinstance(value, dict):
        return {**before, **value}
    if isinstance(before, list) and isinstance(value, list):
        return [*before, *(item for item in value if item not in before)]
    return value


def next_folder(lineage: Path) -> Path:
    """A new empty folder for the next attempt of a lineage."""
    lineage.mkdir(parents=True, exist_ok=True)
    number = 1 + max((int(path.name) for path in lineage.iterdir() if path.name.isdigit()), default=0)
    while True:
        folder = lineage / f"{number:04d}"
        try:
            folder.mkdir()
        except FileExistsError:  # another process took this number
            number += 1
        else:
            return folder

"""Gives the journal the executions that other machines have recorded, so that MLflow shows them too.

What a record does not contain (curves, figures, models) is taken from tracked files: from the working folder
where it still has the recorded bytes, else from DVC's cache or git. What is missing is added by the next
import after ``dvc pull``.
"""

import csv
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from src.core.errors import AssayError
from src.core.files import write_json
from src.core.metric_names import CURVE, WEIGHTS
from src.core.wording import listed
from src.provenance.dvc_remote import REPRO, fetch_older_command, pull_command
from src.provenance.journal import RunRecord, attempts, journal_folder, next_folder
from src.records.execution import HISTORY, child_records, journal_record
from src.records.files import Record, Records, read_records
from src.records.links import how_to_restore, missing_records
from src.records.locate import Locator
from src.tracking.logged_model import ONNX, SPEC, TORCH, store_code

SHOWN = 3  # missing files that are named
SETTLED, COMPLETE = "records.txt", "complete"  # a file in the journal: which records it has, and how


@dataclass
class RecordImport:
    """What an import found out."""

    records: Records
    refused: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)  # names of the executions
    missing: set[str] = field(default_factory=set)  # paths

    def demand_all(self, workspace: Path) -> None:
        """Ask whether ``workspace`` has all records, and all could be read.

        Raises:
            AssayError: Records were refused or are missing; the message names each.
        """
        absent = missing_records(workspace, read_records(workspace))
        faults = []
        if self.refused:
            faults += [
                f"{_records(len(self.refused), 'was', 'were')} refused; all others were read.",
                *self.refused,
            ]
        if absent:
            faults.append(f"{_records(len(absent), 'is', 'are')} missing.")
            faults += [
                f"{each.path}: {each.consequence}. {how_to_restore(workspace, each.path)}" for each in absent
            ]
        if faults:
            raise AssayError("\n".join(faults))

    def lines(self, workspace: Path) -> list[str]:
        """For a person who works in ``workspace``; empty where there is nothing to say."""
        count = len(self.imported)
        executions = "1 execution" if count == 1 else f"{count} executions"
        lines = [f"imported: {executions} from reports/records"] if count else []
        if self.missing:
            lines.append(
                f"missing: files that records name: {listed(sorted(self.missing), SHOWN)}. "
                f"{_how_to_bring(workspace)}; then python -m src.track"
            )
        return lines


def _how_to_bring(workspace: Path) -> str:
    pull = pull_command(workspace)
    if pull:
        return f"Fetch them: {pull}, for older results {fetch_older_command(workspace)}"
    return f"No DVC remote is configured. Make those of the present pipeline: {REPRO}"


def _records(count: int, one: str, more: str) -> str:
    return f"1 record {one}" if count == 1 else f"{count} records {more}"


def import_executions(root: Path, workspace: Path, complete: bool = True) -> RecordImport:
    """Import what ``workspace`` has records of and the journal of ``root`` lacks.

    Args:
        root: The repository.
        workspace: The working folder with the records.
        complete: Look again for files that were missing before, which takes seconds if there are many.

    Executions of this machine are not imported, nor is anything twice. A record that contradicts itself is
    refused, by name, in the result.
    """
    records = read_records(workspace)
    done = RecordImport(records, list(records.refused))
    if not records.found:
        return done
    locks = root / ".assay" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / "records.lock"), tempfile.TemporaryDirectory() as scratch:
        locator, settled = Locator(workspace, root, Path(scratch)), _settled(root)
        for record in records.executions:
            if settled.get(record.name) == COMPLETE or (record.name in settled and not complete):
                continue
            try:
                _import(root, locator, record, done)
            except AssayError as error:
                done.refused.append(f"{record.path}: {error}")
            except (KeyError, TypeError, AttributeError, ValueError) as error:
                reason = f"{type(error).__name__}: {error}"
                done.refused.append(f"{record.path}: it is not a record of Assay ({reason})")
    return done


def _import(root: Path, locator: Locator, record: Record, done: RecordImport) -> None:
    """Raises AssayError if the record contradicts itself, KeyError and the like if it is not complete."""
    content = journal_record(record)
    known = _known(root, record, content["lineage"])
    if known is not None and not known.record.get("missing"):
        _settle(root, record, COMPLETE)
        return
    files, missing = _locate(locator, record)
    done.missing.update(missing)
    if known is not None and len(missing) == len(known.record["missing"]):
        return
    _import_children(root, record, content)
    with _attempt_folder(root, content["lineage"], known) as folder:
        _write(folder, root, record, content, files, missing)
    done.imported.append(content["name"])
    _settle(root, record, "incomplete" if missing else COMPLETE)


def _settled(root: Path) -> dict[str, str]:
    """{record: state} of those that were looked at: a look into the journal for each would take seconds."""
    path = journal_folder(root) / SETTLED
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return dict(line.split(" ") for line in lines if line.count(" ") == 1)


def _settle(root: Path, record: Record, state: str) -> None:
    with (journal_folder(root) / SETTLED).open("a", encoding="utf-8") as file:
        file.write(f"{record.name} {state}\n")


@contextmanager
def _attempt_folder(root: Path, lineage: str, known: RunRecord | None) -> Iterator[Path]:
    """That of the known attempt, or a new one, which is removed if filling it fails."""
    folder = known.folder if known else next_folder(journal_folder(root) / lineage)
    try:
        yield folder
    except BaseException:
        if known is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _known(root: Path, record: Record, lineage: str) -> RunRecord | None:
    """The journal's attempt that this record is of."""
    for attempt in attempts(root, lineage):
        ours = attempt.record
        if ours.get("record") == record.name or attempt.key == record.extension["attempt"]:
            return attempt
    return None


def _locate(locator: Locator, record: Record) -> tuple[dict[str, Path], list[str]]:
    """{path: file} of what MLflow shows of an execution, and the paths of what is missing.

    Raises:
        AssayError: The record contradicts itself.
    """
    found = {path: locator.find(record, path) for path in _shown(record)}
    return {path: file for path, file in found.items() if file}, [p for p, f in found.items() if f is None]


def _shown(record: Record) -> Iterator[str]:
    extension, paths = record.extension, record.subjects
    if extension["history"]:
        yield f"{extension['place']}/{HISTORY}"
    if extension["model"]:
        yield from (path for path in paths if path.rpartition("/")[2] in (ONNX, TORCH, SPEC))
    yield from extension["figures"]
    for content in extension["attached"].values():
        yield from content["figures"]


def _write(
    folder: Path,
    root: Path,
    record: Record,
    content: dict[str, Any],
    files: Mapping[str, Path],
    missing: Sequence[str],
) -> None:
    """Fill an attempt's folder; its ``run.json`` comes last, and without it the attempt does not exist."""
    extension, history = record.extension, f"{record.extension['place']}/{HISTORY}"
    if extension["history"] and history in files:
        _write_history(folder, files[history])
    content["figures"] = _copy(folder, Path("files"), extension["figures"], files)
    for subject, attached in extension["attached"].items():
        figures = _copy(folder, Path("files", subject[:16]), attached["figures"], files)
        content["attached"][subject] = {**attached, "figures": figures}
    names = {path.rpartition("/")[2] for path in missing}
    if extension["model"] and not names & {ONNX, TORCH, SPEC}:
        weights = [path for path in files if path.rpartition("/")[2] in (ONNX, TORCH, SPEC)]
        _copy(folder, Path("model"), weights, files)
        store_code(folder, root)
        content["model"] = "model"
    write_json(folder / "run.json", {**content, **({"missing": list(missing)} if missing else {})})


def _copy(folder: Path, place: Path, paths: Iterable[str], files: Mapping[str, Path]) -> list[str]:
    """Copy those of the files that are here; returns their paths relative to the attempt's folder."""
    (folder / place).mkdir(parents=True, exist_ok=True)
    copied = []
    for path in paths:
        if path in files:
            shutil.copyfile(files[path], folder / place / path.rpartition("/")[2])
            copied.append((place / path.rpartition("/")[2]).as_posix())
    return copied


def _write_history(folder: Path, table: Path) -> None:
    """The curves, from the table that the training has written."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [
            {key.removeprefix(CURVE): float(value) for key, value in line.items() if value and key != WEIGHTS}
            for line in csv.DictReader(file)
        ]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _import_children(root: Path, record: Record, parent: dict[str, Any]) -> None:
    for child in child_records(record, parent):
        known = [attempt.record.get("record") for attempt in attempts(root, child["lineage"])]
        if record.name not in known:
            write_json(next_folder(journal_folder(root) / child["lineage"]) / "run.json", child)

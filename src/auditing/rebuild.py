"""The record, unpacked into an empty folder and made again from the raw data by ``dvc repro``.

Nothing of the working folder takes part: not its code, its cache, its MLflow store or its journal. What was
interrupted goes on: DVC skips the stages that are done, and a stage continues from its last epoch or trial.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

from src.auditing.file_comparison import Difference, compare_files
from src.auditing.rebuild_progress import stopwatch
from src.auditing.target import AuditTarget
from src.config.dotted_keys import lookup
from src.core.cpus import THREADS
from src.core.errors import AssayError
from src.core.hashing import IGNORED, json_hash
from src.provenance.dvc_lock import md5_of, read_lock
from src.provenance.dvc_remote import pull_command
from src.provenance.journal import attempts
from src.registry.archive import RECORDED
from src.tracking.circuit_breaker import SWITCH

MARK = ".audit.json"  # says which record a folder is for
LOG = "audit.log"  # what dvc repro has printed
CONFIG = """\
[core]
    analytics = false
    check_update = false
    no_scm = true
[hydra]
    enabled = True
"""
LAST_LINES = 12


@dataclass(frozen=True)
class StageResult:
    """What became of one stage."""

    name: str
    differences: tuple[Difference, ...]  # files that are not the recorded bytes; empty: identical


@dataclass(frozen=True)
class RebuildResult:
    """What came out."""

    folder: Path
    seconds: float  # that dvc repro took, this time
    threads: int | None  # None: as many as there are cores
    stages: tuple[StageResult, ...]
    failure: str | None  # why it did not get to the end; None: it did

    @property
    def identical(self) -> bool:
        return self.failure is None and not any(stage.differences for stage in self.stages)

    @property
    def within(self) -> bool:
        """Whether all that differs stays within the stated tolerance."""
        return self.failure is None and all(d.within for stage in self.stages for d in stage.differences)


def rebuild(
    subject: AuditTarget, folder: Path | None, stages: Sequence[str], threads: int | None, show: bool
) -> RebuildResult:
    """Make the subject again and compare stage by stage.

    Args:
        folder: where; None: one in the temporary folder, named after the record, which is removed again if
            all is identical.
        stages: which to make and compare, by DVC's addresses or names; empty: all but the observations.
        threads: of ``threads: auto``; None: as many as there are cores.
        show: draw the live view.

    Raises:
        AssayError: the folder holds something else, or raw data are missing.
    """
    wanted = _wanted(subject, stages)
    place = folder or Path(tempfile.gettempdir()) / f"assay-audit-{_identity(subject)[:12]}"
    _unpack(subject, place)
    begin = time.monotonic()
    failure = _repro(subject, place, _leaf_stages(subject, wanted), threads, show)
    seconds = time.monotonic() - begin
    results = tuple(_compare(subject, place, name) for name in wanted if not failure)
    rebuilt = RebuildResult(place, seconds, threads, results, failure)
    if rebuilt.identical and folder is None:
        shutil.rmtree(place)
    return rebuilt


def recorded_threads(numerics: Mapping[str, str]) -> int | None:
    """The number of threads that ``auto`` stood for; None if nobody kept it."""
    return int(numerics["threads"]) if numerics.get("threads", "").isdigit() else None


def _wanted(subject: AuditTarget, stages: Sequence[str]) -> list[str]:
    """The stages to compare, in the order of the pipeline.

    Those the model was made by, and all others that were up to date when the record was made.
    """
    possible = [name for name in subject.lock if not subject.stages[name].observation]
    behind = subject.behind()
    all_of_them = [name for name in possible if name in behind or _is_current(subject, name)]
    if not stages:
        return all_of_them
    unknown = [name for name in stages if not any(name in (s, s.split("@")[0]) for s in all_of_them)]
    if unknown:
        raise AssayError(
            f"no such stage in the record: {', '.join(unknown)}. It has: {', '.join(all_of_them)}"
        )
    return [name for name in all_of_them if name in stages or name.split("@")[0] in stages]


def _is_current(subject: AuditTarget, name: str) -> bool:
    """Whether the record's settings, code and data are those that the stage ran with."""
    stage = subject.lock[name]
    for path, md5 in stage.dependencies.items():
        place = subject.folder / path
        if not place.exists() or md5_of(place) != md5:
            return False
    return all(
        lookup(subject.params, key) == stage.parameters.get(key) for key in subject.stages[name].parameters
    )


def _leaf_stages(subject: AuditTarget, wanted: Sequence[str]) -> list[str]:
    """Those of the wanted stages that no other of them is made from: DVC makes what they need."""
    needed = {maker for name in wanted for maker in subject.makers(name)}
    return [name for name in wanted if name not in needed]


def _identity(subject: AuditTarget) -> str:
    """The same for the same record, so that an interrupted rebuild is found again."""
    return json_hash([(subject.folder / "dvc.lock").read_text(encoding="utf-8"), subject.title])


def _unpack(subject: AuditTarget, place: Path) -> None:
    """Code, settings and raw data; nothing that was made of them."""
    mark, identity = place / MARK, _identity(subject)
    if subject.root in (place.resolve(), *place.resolve().parents):
        raise AssayError(f"{place} lies in the working tree: name a folder elsewhere with --in")
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")).get("record") == identity:
        return  # goes on
    if place.exists() and any(place.iterdir()):
        raise AssayError(
            f"{place} is not empty and holds no rebuild of this record: name an empty folder with --in"
        )
    beside = place.with_name(f"{place.name}.unpacking")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name in RECORDED:
        if name != "dvc.lock":
            _copy(subject.folder / name, beside / name)
    for path in subject.raw:
        if not (subject.folder / path).exists():
            how = pull_command(subject.root) or "put it back"
            raise AssayError(f"{path} is needed to make it again, and is not here: {how}")
        _copy(subject.folder / path, beside / path)
    (beside / ".dvc").mkdir()
    (beside / ".dvc" / "config").write_text(CONFIG, encoding="utf-8")
    (beside / ".dvcignore").write_text("__pycache__\n", encoding="utf-8")
    (beside / MARK).write_text(json.dumps({"record": identity, "of": subject.title}), encoding="utf-8")
    if place.exists():
        place.rmdir()
    beside.replace(place)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*IGNORED))
    elif source.is_file():
        shutil.copy(source, target)


def _repro(
    subject: AuditTarget, place: Path, ends: Sequence[str], threads: int | None, show: bool
) -> str | None:
    """Run ``dvc repro``; returns why it failed, or None."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", *ends],
        cwd=place,
        env=_environment(threads),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        durations = _durations(subject, ends)
        with (place / LOG).open("a", encoding="utf-8") as log, stopwatch(durations, show) as watch:
            for line in process.stdout:
                log.write(line)
                watch.read(line)
        process.wait()
    except BaseException:
        _terminate_tree(process.pid)
        raise
    if process.returncode == 0:
        return None
    tail = (place / LOG).read_text(encoding="utf-8").strip().splitlines()[-LAST_LINES:]
    return f"dvc repro ended with {process.returncode}; the whole is in {place / LOG}:\n" + "\n".join(tail)


def _terminate_tree(pid: int) -> None:
    """DVC leaves its stage running when it is ended alone."""
    process = psutil.Process(pid)
    for one in [*process.children(recursive=True), process]:
        one.terminate()
    process.wait()


def _environment(threads: int | None) -> dict[str, str]:
    """That of this process, without what names a place of the working folder, and without MLflow: the journal
    is all the tracking that a rebuild needs."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_", "ASSAY_"))
    }
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    kept[SWITCH] = "off"
    return {**kept, THREADS: str(threads)} if threads else kept


def _durations(subject: AuditTarget, ends: Sequence[str]) -> dict[str, float]:
    """Seconds that each stage to be made took, by the journal; 0 where it knows nothing."""
    found: dict[str, float] = {}
    todo = list(ends)
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = _duration(subject, name)
            todo += subject.makers(name)
    return found


def _duration(subject: AuditTarget, name: str) -> float:
    try:
        records = [a.record for a in attempts(subject.root, subject.graph.of(name).id)]
    except AssayError:
        return 0.0
    begun = [(record["started"], record["ended"]) for record in records if record["status"] == "FINISHED"]
    return max((_seconds(*moments) for moments in begun), default=0.0)


def _seconds(started: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


def _compare(subject: AuditTarget, place: Path, name: str) -> StageResult:
    """The outputs of one stage, by hash, and by content where the hashes differ."""
    recorded, remade = subject.lock[name].outputs, read_lock(place / "dvc.lock")[name].outputs
    found: list[Difference] = []
    for path, md5 in recorded.items():
        if remade[path] != md5:
            found += _files(subject.folder / path, place / path, path, md5)
    return StageResult(name, tuple(found))


def _files(ours: Path, theirs: Path, path: str, md5: str) -> list[Difference]:
    if not ours.exists():
        return [
            Difference(
                path, f"other bytes; the recorded ones (MD5 {md5[:16]}) are not here to compare", False
            )
        ]
    names = {
        p.relative_to(base).as_posix() for base in (ours, theirs) for p in base.rglob("*") if p.is_file()
    }
    found = []
    for name in sorted(names - {".gitignore"}):
        one, other = ours / name, theirs / name
        if not (one.is_file() and other.is_file()):
            text = "recorded, and not remade" if one.is_file() else "remade, and not recorded"
            found.append(Difference(f"{path}/{name}", text, False))
        elif md5_of(one) != md5_of(other):
            found.append(compare_files(f"{path}/{name}", one, other))
    return found

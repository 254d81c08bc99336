"""Work that interrupted stages left below ``.assay/state``: listed, and deleted on request."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from src.provenance.work_dir import MARKS

PARTS = ("trials", "folds")  # folders with one file for each that has ended


@dataclass(frozen=True)
class StaleWorkDir:
    """The unfinished work of one stage with one lineage."""

    path: Path
    stage: str
    size: int  # bytes
    days: float  # since it was last written
    what: str


def leftovers(root: Path) -> list[StaleWorkDir]:
    """Folders in which no process works, largest first, without those that only record a publication."""
    found = [_look(path) for path in (root / ".assay" / "state").glob("*/*") if _holds_work(path)]
    return sorted((left for left in found if _is_free(left.path)), key=lambda left: -left.size)


def remove(left: StaleWorkDir) -> bool:
    """Delete it; False if a process works there."""
    try:
        with FileLock(f"{left.path}.lock", timeout=0):
            shutil.rmtree(left.path)
            Path(f"{left.path}.holder.json").unlink(missing_ok=True)
    except Timeout:
        return False
    return True


def _look(path: Path) -> StaleWorkDir:
    files = [file.stat() for file in path.rglob("*") if file.is_file()]
    newest = max((stat.st_mtime for stat in files), default=path.stat().st_mtime)
    return StaleWorkDir(
        path,
        path.parent.name,
        sum(stat.st_size for stat in files),
        (time.time() - newest) / 86400,
        _describe(path),
    )


def _describe(path: Path) -> str:
    mark = path / "published.json"
    if mark.is_file() and not (path / "build").exists():
        return f"published to {Path(json.loads(mark.read_text(encoding='utf-8'))['place']).name}"
    done = [
        f"{count} finished {kind}" for kind in PARTS if (count := len(list((path / kind).glob("*.json"))))
    ]
    return f"interrupted, with {' and '.join(done)}" if done else "interrupted"


def _holds_work(path: Path) -> bool:
    return path.is_dir() and any(file.name not in MARKS for file in path.iterdir())


def _is_free(path: Path) -> bool:
    try:
        with FileLock(f"{path}.lock", timeout=0):
            return True
    except Timeout:
        return False

"""What survives a kill: the folder that a stage builds in, and the lock on it.

``.assay/state/<stage>/<lineage id>/`` has checkpoints, ``build/`` (the outputs in the making) and two marks,
``finished.json`` (the outputs are complete: path -> SHA-256) and ``published.json`` (they were moved to
their place); and ``numerics.json``, how the machine computed that began. The lock file is beside the folder;
the kernel releases it when the process that holds it ends.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from src.core.files import replace_folder, write_json
from src.core.hashing import hash_tree
from src.core.processes import process_identity

NUMERICS = "numerics.json"
MARKS = ("published.json", NUMERICS)  # what holds no work


@dataclass(frozen=True)
class Publication:
    """When and where the outputs of a state were published."""

    outputs: dict[str, str]  # path -> SHA-256
    place: Path
    time: float  # seconds since the epoch
    tracked: bool = False  # whether the place is one that DVC tracks, and not that of an ad-hoc run


class WorkDir:
    """The work of one stage with one lineage. Use it under ``held_lock(self.path)``."""

    def __init__(self, root: Path, stage: str, lineage: str) -> None:
        self._root, self._stage = root, stage
        self.path = root / ".assay" / "state" / stage / lineage
        self.build = self.path / "build"

    def restart(self) -> None:
        """Delete everything, checkpoints too."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def fresh_build(self) -> Path:
        """An empty folder for the outputs; checkpoints beside it stay."""
        shutil.rmtree(self.build, ignore_errors=True)
        self.build.mkdir(parents=True)
        (self.path / "finished.json").unlink(missing_ok=True)
        return self.build

    def numerics(self) -> dict[str, str] | None:
        """The numerics of the machine that began this work; None if nobody has begun."""
        found: dict[str, str] | None = self._read(NUMERICS)
        return found

    def keep_numerics(self, numerics: dict[str, str]) -> None:
        """Note how this machine computes."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / NUMERICS, numerics)

    def finish(self) -> dict[str, str]:
        """Mark the content of ``build/`` as complete; returns {path: SHA-256}."""
        outputs = hash_tree(self.build)
        write_json(self.path / "finished.json", outputs)
        return outputs

    def finished(self) -> dict[str, str] | None:
        """The hashes of complete, unpublished outputs; None if there are none or they have changed."""
        outputs: dict[str, str] | None = self._read("finished.json")
        return outputs if outputs and self.build.is_dir() and hash_tree(self.build) == outputs else None

    def published(self) -> Publication | None:
        """The last publication, if there was one."""
        mark = self._read("published.json")
        if mark is None:
            return None
        time = (self.path / "published.json").stat().st_mtime
        place = self._root.resolve() / mark["place"]
        return Publication(mark["outputs"], place, time, mark.get("tracked", False))

    def publish(self, place: Path, tracked: bool = True) -> None:
        """Move the outputs to their place in one step, and remove what was there.

        Where an ad-hoc run (not ``tracked``) has made again what is in the pipeline, the mark of that stays.
        """
        outputs, before = self._read("finished.json"), self.published()
        replace_folder(self.build, place)
        if tracked or before is None or not before.tracked or before.outputs != outputs:
            mark = {"outputs": outputs, "place": self._described(place.resolve()), "tracked": tracked}
            write_json(self.path / "published.json", mark)
        (self.path / "finished.json").unlink()

    def remove_predecessors(self, place: Path) -> None:
        """Delete published work of other lineages of this stage, unless a process works there.

        The mark of what DVC tracks in another place than this one stays as long as that place does: it alone
        tells a result that a person has made without DVC from one that was edited.
        """
        for path in self.path.parent.glob("*/published.json"):
            other = WorkDir(self._root, self._stage, path.parent.name)
            if other.path == self.path or other._vouches_beside(place.resolve()):
                continue
            try:
                with FileLock(f"{other.path}.lock", timeout=0):
                    shutil.rmtree(other.path)
            except Timeout:
                continue  # a process works there again

    def _described(self, place: Path) -> str:
        """Relative to the repository, so that it holds in a copy of it; absolute in a git worktree."""
        root = self._root.resolve()
        return (place.relative_to(root) if place.is_relative_to(root) else place).as_posix()

    def _vouches_beside(self, place: Path) -> bool:
        mark = self.published()
        return mark is not None and mark.tracked and mark.place != place and mark.place.is_dir()

    def _read(self, name: str) -> Any:
        path = self.path / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


@contextmanager
def held_lock(path: Path, on_wait: Callable[[dict[str, Any]], None]) -> Iterator[bool]:
    """Hold ``<path>.lock``; yields whether it had to wait for another process.

    ``on_wait`` gets the holder's identity once, before the wait. A dead holder's lock is free.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(f"{path}.lock"), Path(f"{path}.holder.json")
    waited = False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waited = True
        on_wait(json.loads(holder.read_text(encoding="utf-8")) if holder.is_file() else {})
        lock.acquire()
    try:
        write_json(holder, process_identity())
        yield waited
    finally:
        lock.release()

"""A record put together again: its own code and settings, and the files that ``dvc.lock`` names.

Files are found by their hash: in DVC's cache, in the working folder, in git, on DVC's remote. So nothing of
the working folder is taken on trust, and nothing is copied that a link can stand for.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from src.auditing.git_search import commits_of, read_tree
from src.provenance.dvc_lock import Cache, md5_of, read_lock

UNPACKED = ".from-git"  # folder for what was taken from commits


@dataclass(frozen=True)
class Located:
    """Files of a wanted hash."""

    path: Path
    origin: str  # in words


def reconstruct(record: Path, root: Path, folder: Path) -> None:
    """Fill ``folder``; raw data and outputs that the repository ``root`` does not have stay absent."""
    shutil.copytree(record, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for stage in read_lock(record / "dvc.lock").values():
        for path, md5 in {**stage.raw, **stage.outputs}.items():
            found = locate(root, path, md5, folder)
            if found is not None and found.path != folder / path:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).symlink_to(found.path)


def locate(root: Path, path: str, md5: str, place: Path) -> Located | None:
    """Files of this hash, wherever the repository ``root`` has them; None if it has not.

    What comes from the cache or from git is put below ``place``.
    """
    if _link(Cache(root), md5, place / path):
        return Located(place / path, "DVC's cache")
    if (root / path).exists() and md5_of(root / path) == md5:
        return Located(root / path, "the working folder")
    for commit in commits_of(root, path):
        unpacked = place / UNPACKED / commit
        if read_tree(root, commit, unpacked, [path]) and md5_of(unpacked / path) == md5:
            return Located(unpacked / path, f"commit {commit[:10]}")
    if _fetch(root, path) and _link(Cache(root), md5, place / path):
        return Located(place / path, "DVC's remote")
    return None


def _fetch(root: Path, path: str) -> bool:
    """Ask DVC's remote for what any commit has named at this path; False where there is no remote."""
    config = [file for name in ("config", "config.local") if (file := root / ".dvc" / name).is_file()]
    if not any("['remote" in file.read_text(encoding="utf-8") for file in config):
        return False
    command = [sys.executable, "-m", "dvc", "fetch", "--quiet", "--all-commits", path]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0


def _link(cache: Cache, md5: str, target: Path) -> bool:
    """Whether the cache has all files of an output; then ``target`` leads to them."""
    files = cache.files(md5)
    if files is None or not all(cache.object(one).is_file() for one in files.values()):
        return False
    for name, one in files.items():
        link = target / name if name else target
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(cache.object(one))
    return bool(files)

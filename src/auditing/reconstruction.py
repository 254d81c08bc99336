"""A record put together again: its own code and settings, and the files that ``dvc.lock`` names.

Files are found by their hash: in DVC's cache, in the working folder, in git, on DVC's remote. So nothing of
the working folder is taken on trust, and nothing is copied that a link can stand for.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from src.auditing.git_search import commits_of, is_named_by_dvc, read_tree
from src.provenance.dvc_lock import Cache, md5_of, read_lock
from src.provenance.dvc_remote import pull_command
from src.provenance.dvc_yaml import read_pipeline

UNPACKED = ".from-git"  # folder for what was taken from commits


@dataclass(frozen=True)
class Located:
    """Files of a wanted hash."""

    path: Path
    origin: str  # in words


def reconstruct(record: Path, root: Path, folder: Path) -> None:
    """Fill ``folder``; raw data and outputs that the repository ``root`` does not have stay absent."""
    shutil.copytree(record, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path, found in locate(root, _recorded(folder), folder).items():
        if found.path != folder / path:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(found.path)


def locate(root: Path, wanted: Mapping[str, str], place: Path) -> dict[str, Located]:
    """Files with these hashes ({path: MD5}), wherever the repository ``root`` has them.

    What comes from the cache or from git is put below ``place``. DVC's remote is asked last, and once.
    """
    here = {path: _locate_here(root, path, md5, place) for path, md5 in wanted.items()}
    found = {path: files for path, files in here.items() if files is not None}
    absent = sorted(wanted.keys() - found.keys())
    if absent and pull_command(root):
        _fetch(root, absent)
        fetched = [path for path in absent if _link(Cache(root), wanted[path], place / path)]
        found |= {path: Located(place / path, "DVC's remote") for path in fetched}
    return found


def _recorded(folder: Path) -> dict[str, str]:
    """{path: MD5} of raw data and outputs of the stages that can be made again.

    ``dvc.lock`` may also have stages that params.yaml no longer names: nobody has their outputs any more, and
    asking a remote for them takes minutes.
    """
    stages = read_pipeline(folder)
    named = {
        name: stage
        for name, stage in read_lock(folder / "dvc.lock").items()
        if name in stages and not stages[name].observation
    }
    return {path: md5 for stage in named.values() for path, md5 in {**stage.raw, **stage.outputs}.items()}


def _locate_here(root: Path, path: str, md5: str, place: Path) -> Located | None:
    if _link(Cache(root), md5, place / path):
        return Located(place / path, "DVC's cache")
    if (root / path).exists() and md5_of(root / path) == md5:
        return Located(root / path, "the working folder")
    for commit in commits_of(root, path):
        unpacked = place / UNPACKED / commit
        if read_tree(root, commit, unpacked, [path]) and md5_of(unpacked / path) == md5:
            return Located(unpacked / path, f"commit {commit[:10]}")
    return None


def _fetch(root: Path, paths: Sequence[str]) -> None:
    """Ask DVC's remote for what any commit has named at these paths.

    DVC fetches nothing at all if no commit has named one of them.
    """
    known = [path for path in paths if is_named_by_dvc(root, path)]
    command = [sys.executable, "-m", "dvc", "fetch", "--quiet", "--all-commits", *known]
    if known:
        subprocess.run(command, cwd=root, capture_output=True, check=False)


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

"""Which commit holds exactly these files?"""

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from src.core.hashing import iter_files
from src.provenance.git import RECORDED, blob_id, git

CONSIDERED = 2000  # commits, newest first, in which code is looked for
LATEST = 20  # and in which a folder of data or reports is


@dataclass(frozen=True)
class Origin:
    """Where code comes from: the nearest commit, and the files in which it differs from that."""

    commit: str | None  # None: the repository has no commit, or there is no git
    differing: tuple[str, ...]
    subject: str = ""  # first line of the commit's message

    @property
    def committed(self) -> bool:
        """Whether the commit holds exactly this code."""
        return self.commit is not None and not self.differing


def find_commit(repository: Path, folder: Path, first: str | None = None) -> Origin:
    """The commit with the code of ``folder`` (src, conf, dvc.yaml, requirements.lock), or the nearest to it.

    Looks at ``first`` before all others; of commits that are equally near, the newest is named.
    """
    ours = blobs_of(folder)
    nearest = Origin(None, tuple(sorted(ours)))
    for commit in _candidates(repository, first):
        theirs = _blobs_in(repository, commit)
        differing = sorted(path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path))
        if nearest.commit is None or len(differing) < len(nearest.differing):
            nearest = Origin(commit, tuple(differing))
        if not differing:
            break
    return Origin(nearest.commit, nearest.differing, _subject(repository, nearest.commit))


def blobs_of(folder: Path, names: Sequence[str] = RECORDED) -> dict[str, str]:
    """{path: git's name of its content} of the recorded files below ``folder``."""
    paths = [path for name in names for path in iter_files(folder / name)]
    return {path.relative_to(folder).as_posix(): blob_id(path.read_bytes()) for path in paths}


def read_tree(repository: Path, revision: str, target: Path, names: Sequence[str]) -> bool:
    """Unpack what ``revision`` has of ``names`` into ``target``; False if git does not know it."""
    known = [name for name in names if git(repository, "cat-file", "-e", f"{revision}:{name}") is not None]
    archive = git(repository, "archive", "--format=tar", revision, "--", *known) if known else None
    if archive is None:
        return False
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(target, filter="data")
    return True


def commits_of(repository: Path, path: str) -> list[str]:
    """The last commits, on any branch, that changed a path, newest first."""
    return (
        (git(repository, "log", "--all", f"--max-count={LATEST}", "--format=%H", "--", path) or b"")
        .decode()
        .split()
    )


def is_named_by_dvc(repository: Path, path: str) -> bool:
    """Whether a commit has it as an output of a stage or in a ``.dvc`` file."""
    newest = ("log", "--all", "--max-count=1", "--format=%H")
    added = git(repository, *newest, "--", f"{path}.dvc")
    return bool(added or git(repository, *newest, f"-Spath: {path}\n", "--", "dvc.lock"))


def resolve(repository: Path, revision: str) -> str | None:
    """The commit that a revision means."""
    found = git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    return found.decode().strip() if found else None


def _candidates(repository: Path, first: str | None) -> Iterator[str]:
    """Commits that changed the recorded files, newest first, without repetition."""
    log = ["log", "--all", f"--max-count={CONSIDERED}", "--format=%H", "--", *RECORDED]
    found = (git(repository, *log) or b"").decode().split()
    yield from dict.fromkeys([*([first] if first else []), *found])


def _blobs_in(repository: Path, commit: str) -> dict[str, str]:
    listing = git(repository, "ls-tree", "-r", "-z", commit, "--", *RECORDED) or b""
    entries = [entry.split("\t", 1) for entry in listing.decode().split("\0") if entry]
    return {path: about.split()[2] for about, path in entries}


def _subject(repository: Path, commit: str | None) -> str:
    return (git(repository, "log", "-1", "--format=%s", commit) or b"").decode().strip() if commit else ""

"""Where the bytes of a file that a record names are: in the working folder, in DVC's cache or in git."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from src.core.errors import AssayError
from src.core.hashing import file_hash
from src.provenance.dvc_lock import Cache, file_md5
from src.provenance.git import git
from src.records.files import Record


@dataclass(frozen=True)
class Locator:
    """Finds files by their hashes.

    Attributes:
        workspace: The working folder, whose files are used where they are still the recorded ones.
        root: The repository, with DVC's cache and git's history.
        scratch: A folder for what comes from git.
    """

    workspace: Path
    root: Path
    scratch: Path

    def find(self, record: Record, path: str) -> Path | None:
        """A file with the bytes that ``record`` names for ``path``; None if they are not on this machine.

        Raises:
            AssayError: The record contradicts itself: the bytes that one of its hashes names have another
                SHA-256 than it says.
        """
        digest = record.subjects[path]
        here = self.workspace / path
        if here.is_file() and file_hash(here) == digest["sha256"]:
            return here
        for found in (self._here(here, digest), self._cached(digest), self._committed(digest)):
            if found is not None:
                _check(record, path, found)
                return found
        return None

    def _here(self, here: Path, digest: Mapping[str, str]) -> Path | None:
        same = "md5" in digest and here.is_file() and file_md5(here) == digest["md5"]
        return here if same else None

    def _cached(self, digest: Mapping[str, str]) -> Path | None:
        found = Cache(self.root).object(digest["md5"]) if "md5" in digest else None
        return found if found is not None and found.is_file() else None

    def _committed(self, digest: Mapping[str, str]) -> Path | None:
        content = git(self.root, "cat-file", "blob", digest["gitBlob"]) if "gitBlob" in digest else None
        if content is None:
            return None
        path = self.scratch / digest["gitBlob"]
        path.write_bytes(content)
        return path


def _check(record: Record, path: str, found: Path) -> None:
    claimed, sha256 = record.subjects[path]["sha256"], file_hash(found)
    if claimed != sha256:
        raise AssayError(
            f"it says that {path} has the SHA-256 {claimed[:16]}…, but the file that its other hash names "
            f"has {sha256[:16]}…. One of the two was changed: git log -p -- {record.path}"
        )

"""Records name the records they build on by their hashes, so a missing one is noticed and named."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.provenance.git import git
from src.records.files import FOLDER, Record, Records


@dataclass(frozen=True)
class MissingRecord:
    """A record that should be here and is not.

    Attributes:
        path: Relative to the working folder.
        named_by: The records that build on it; none: only git knows of it.
    """

    path: str
    named_by: tuple[Record, ...]

    @property
    def consequence(self) -> str:
        """What may be missing in MLflow on a machine that has only the records."""
        if not self.named_by:
            return "git has it, so it was deleted here; MLflow may lack the run or the decision that it is of"
        decisions = [r.predicate["decision"] for r in self.named_by if not r.is_execution]
        if not decisions:
            return "MLflow may lack a run that later results build on"
        kinds = sorted({f"{each['kind']} of {each.get('name', 'a model')}" for each in decisions})
        named = " and a ".join(kinds)
        return f"it is named by a {named}; MLflow may lack the version, and with it the champion"


def missing_records(
    workspace: Path, records: Records, among: Iterable[Record] | None = None
) -> list[MissingRecord]:
    """What the records ``among`` (by default all) name and is not here, or here with another hash; of all,
    also what git has and was deleted. A record that was refused is here, so it is not missing."""
    known = {record.path.as_posix(): record.sha256 for record in records.found}
    wanted: dict[str, list[Record]] = {}
    for record in records.found if among is None else among:
        for path, sha256 in record.links.items():
            if known.get(path) != sha256:
                wanted.setdefault(path, []).append(record)
    for path in _deleted(workspace) if among is None else ():
        wanted.setdefault(path, [])
    return [
        MissingRecord(path, tuple(by))
        for path, by in sorted(wanted.items())
        if not any(reason.startswith(f"{path}:") for reason in records.refused)
    ]


def built_on(records: Records, first: Iterable[Record]) -> list[Record]:
    """These records, and all that they build on."""
    known = {record.sha256: record for record in records.found}
    found: dict[str, Record] = {}
    todo = list(first)
    while todo:
        record = todo.pop()
        if record.name not in found:
            found[record.name] = record
            todo += [known[sha256] for sha256 in record.links.values() if sha256 in known]
    return list(found.values())


def how_to_restore(workspace: Path, path: str) -> str:
    """The command that brings a record back, by what git knows of it."""
    if git(workspace, "cat-file", "-e", f"HEAD:./{path}") is not None:
        return f"Restore it: git checkout HEAD -- {path}"
    deleted = git(workspace, "log", "-1", "--diff-filter=D", "--format=%h", "--", path)
    if deleted:
        return f"Restore it: git checkout {deleted.decode().strip()}^ -- {path}"
    return "Git here does not know it: git pull, or ask who made it to commit it (git add reports/records)"


def _deleted(workspace: Path) -> list[str]:
    """The records of the last commit that are not in the working folder."""
    options = ("--relative", "--name-only", "--no-renames", "--diff-filter=D", "-z")
    answer = git(workspace, "diff", *options, "HEAD", "--", FOLDER.as_posix()) or b""
    paths = [path for path in answer.decode().split("\0") if path]
    return [path for path in paths if not (workspace / path).exists()]

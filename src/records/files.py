"""The files in ``reports/records``: each is an in-toto statement and named by the hash of its bytes.

A file is written once and never changed, so the records of two branches merge without conflict. What a record
says is in the standard form; what only Assay needs is in the extension ``assay_record`` of its predicate.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.core.errors import AssayError
from src.core.files import replaced
from src.core.hashing import file_hash

FOLDER = Path("reports/records")
FORMAT = 1
EXTENSION = "assay_record"  # of a predicate; SLSA reserves <vendor>_<name> for this
STATEMENT = "https://in-toto.io/Statement/v1"
EXECUTION = "https://slsa.dev/provenance/v1"  # predicate types
DECISION = "urn:assay:registry-decision:1"
NAME = 16  # hexadecimal digits
HASH = re.compile("[0-9a-f]{32,64}")
# What a reader relies on, below the predicate.
REQUIRED = {
    EXECUTION: (
        *(f"buildDefinition/externalParameters/{key}" for key in ("stage", "command", "parameters")),
        "buildDefinition/resolvedDependencies",
        *(f"runDetails/metadata/{key}" for key in ("invocationId", "startedOn", "finishedOn")),
        *(f"{EXTENSION}/{key}" for key in ("attempt", "place", "figures", "attached", "children")),
    ),
    DECISION: ("decision/kind", "about"),
}


@dataclass(frozen=True)
class Record:
    """A record that was read; its bytes have the hash that its name says."""

    name: str
    sha256: str
    statement: Mapping[str, Any]

    @property
    def is_execution(self) -> bool:
        return bool(self.statement["predicateType"] == EXECUTION)

    @property
    def predicate(self) -> Mapping[str, Any]:
        predicate: Mapping[str, Any] = self.statement["predicate"]
        return predicate

    @property
    def extension(self) -> Mapping[str, Any]:
        """What only Assay needs."""
        extension: Mapping[str, Any] = self.predicate[EXTENSION]
        return extension

    @property
    def subjects(self) -> dict[str, Mapping[str, str]]:
        """{path in the repository: {algorithm: digest}} of the files that the record is about."""
        return {entry["name"]: entry["digest"] for entry in self.statement["subject"]}

    @property
    def path(self) -> Path:
        """Relative to the working folder."""
        return FOLDER / self.name

    @property
    def links(self) -> dict[str, str]:
        """{path: SHA-256} of the records that this one names."""
        named = (
            self.predicate["buildDefinition"]["resolvedDependencies"]
            if self.is_execution
            else self.predicate["about"]
        )
        within = f"{FOLDER.as_posix()}/"
        return {
            entry["name"]: entry["digest"]["sha256"] for entry in named if entry["name"].startswith(within)
        }

    @property
    def reference(self) -> dict[str, Any]:
        """How another record names this one."""
        return {"name": self.path.as_posix(), "digest": {"sha256": self.sha256}}


@dataclass(frozen=True)
class Records:
    """All records of a working folder, and what is wrong with those that were refused."""

    found: tuple[Record, ...]
    refused: tuple[str, ...] = ()

    @property
    def executions(self) -> list[Record]:
        """What was made, and how."""
        return [record for record in self.found if record.is_execution]

    @property
    def decisions(self) -> list[Record]:
        """What was decided about registered models."""
        return [record for record in self.found if not record.is_execution]


def write_record(workspace: Path, statement: Mapping[str, Any]) -> Record:
    """Write a statement into ``workspace`` unless it is there."""
    content = (json.dumps(statement, indent=1, ensure_ascii=False) + "\n").encode()
    sha256 = hashlib.sha256(content).hexdigest()
    record = Record(f"{sha256[:NAME]}.json", sha256, statement)
    if not (workspace / record.path).is_file():
        (workspace / FOLDER).mkdir(parents=True, exist_ok=True)
        with replaced(workspace / record.path) as beside:
            beside.write_bytes(content)
    return record


def read_records(workspace: Path) -> Records:
    """All records; those that were changed or are in another format are refused by name, not skipped."""
    found, refused = [], []
    for path in sorted(path for path in (workspace / FOLDER).glob("*.json") if path.is_file()):
        try:
            found.append(_read(path))
        except AssayError as error:
            refused.append(f"{FOLDER / path.name}: {error}")
    return Records(tuple(found), tuple(refused))


def is_unchanged(path: Path) -> bool:
    """Whether the content of a record has the hash that its name says."""
    return file_hash(path)[:NAME] == path.stem


def _read(path: Path) -> Record:
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256[:NAME] != path.stem:
        raise AssayError(
            f"its content has the hash {sha256[:NAME]}, so it was changed or renamed after it was written. "
            f"Restore it: git checkout -- {FOLDER / path.name}. If git does not know it, remove it"
        )
    try:
        record = Record(path.name, sha256, json.loads(content))
        _check_form(record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssayError(
            f"it is not a record of Assay ({type(error).__name__}: {error}). Remove it, or put it elsewhere"
        ) from error
    return record


def _check_form(record: Record) -> None:
    """Raises AssayError for another format, ValueError, KeyError or TypeError for what is not a record."""
    version = record.extension["format"]
    if version != FORMAT:
        newer = "Update Assay: git pull" if version > FORMAT else "The version that wrote it can read it"
        raise AssayError(f"it has format {version}, but this version reads format {FORMAT}. {newer}")
    if record.statement["_type"] != STATEMENT:
        raise ValueError(f"its type is {record.statement['_type']}")
    for path in REQUIRED[record.statement["predicateType"]]:
        _demand(record.predicate, path)
    if not all("sha256" in digest for digest in record.subjects.values()):
        raise ValueError("a subject without SHA-256")
    for name in _hashes(record):  # they become names of files here
        if not HASH.fullmatch(name):
            raise ValueError(f"{name} is not a hash")


def _demand(content: Any, path: str) -> None:
    for part in path.split("/"):
        content = content[part]


def _hashes(record: Record) -> Iterator[str]:
    for digest in record.subjects.values():
        yield from digest.values()
    yield from record.links.values()
    if record.is_execution:
        yield record.predicate["runDetails"]["metadata"]["invocationId"]
        yield from record.extension["attached"]
        yield from (child["lineage"] for child in record.extension["children"])

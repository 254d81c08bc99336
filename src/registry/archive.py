"""Stores the evidence about a registered version, and what a rebuild of it needs, beside the journal."""

import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from src.attestation import signing
from src.attestation.statement import FILE
from src.core.hashing import content_hash, file_hash, iter_files, json_hash
from src.provenance.journal import journal_folder
from src.registry import promotion

RECORDED = ("params.yaml", "dvc.yaml", "dvc.lock", "conf", "src", "requirements.lock")
ARCHIVE = "versions.zip"  # in the output of the stage register
SIGNED = ("model.onnx", "model.json")


def has_model(root: Path, lineage: str, sha256: str) -> bool:
    """Whether the journal has a copy of the file that a registration is about."""
    copies = journal_folder(root).glob(f"{lineage}/*/model/model.onnx")
    return any(file_hash(copy) == sha256 for copy in copies)


def store_record(root: Path, workspace: Path) -> str:
    """Store what a rebuild of the model needs; returns the name of the folder, a hash of its content."""

    def fill(folder: Path) -> None:
        for name in RECORDED:
            _copy(workspace / name, folder / name)
        (folder / "packages.txt").write_text(installed_packages(), encoding="utf-8")

    return _store(root, fill)


def store_evidence(root: Path, evidence: promotion.ValidationEvidence) -> str:
    """Store what a version is judged by; returns the name of the folder, a hash of its content."""
    return _store(root, lambda folder: promotion.save(evidence, folder))


def store_provenance(root: Path, statement: str, model: Path, key: Path | None) -> str:
    """Store the provenance statement of the model in the folder ``model``, signed if a key is given.

    Returns the name of the folder. A statement that this key has signed before is not signed again, because
    every signature is different.
    """
    signer = signing.fingerprint(key) if key else None

    def fill(folder: Path) -> None:
        (folder / FILE).write_text(statement, encoding="utf-8")
        if key is None:
            return
        with signed_files(model, statement) as files:
            signing.sign(files, folder / signing.FILE, key)

    return _store(root, fill, json_hash([statement, signer])[:16])


@contextmanager
def signed_files(model: Path, statement: str) -> Iterator[Path]:
    """A temporary folder with what a signature covers: the model, its description, and the statement."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in SIGNED:
            shutil.copy(model / name, folder)
        (folder / FILE).write_text(statement, encoding="utf-8")
        yield folder


def find_archived(root: Path, name: str) -> Path | None:
    """The stored folder with this name; None if it is missing."""
    folder = journal_folder(root) / "registry" / name
    return folder if name and folder.is_dir() else None


def pack(root: Path, names: Iterable[str], target: Path) -> None:
    """Write stored folders into one file, so that they travel with the results; the same bytes each time."""
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        for folder in filter(None, (find_archived(root, name) for name in sorted(set(names)))):
            for path in sorted(iter_files(folder)):
                entry = ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")  # dated 1980
                entry.compress_type = ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())


def unpack(root: Path, source: Path, names: Collection[str]) -> set[str]:
    """Store those of the folders that ``source`` has; returns their names."""
    with ZipFile(source) as archive, tempfile.TemporaryDirectory() as scratch:
        archive.extractall(scratch, [e for e in archive.namelist() if e.partition("/")[0] in names])
        found = {folder.name: folder for folder in Path(scratch).iterdir()}
        for name, folder in found.items():
            _store(root, partial(_fill_from, folder), name)
    return set(found)


@cache
def installed_packages() -> str:
    """``name==version`` of every installed package, a line each."""
    found = {(d.metadata["Name"] or "").lower(): d.version for d in metadata.distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name)


def _store(root: Path, fill: Callable[[Path], None], name: str = "") -> str:
    """Store a folder, by default under the hash of its content."""
    archive = journal_folder(root) / "registry"
    if name and (archive / name).is_dir():
        return name
    archive.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive, prefix="copy.") as place:
        copy = Path(place, "content")
        copy.mkdir()
        fill(copy)
        digest = name or content_hash(copy)[:16]
        if not (archive / digest).is_dir():
            copy.replace(archive / digest)
    return digest


def _fill_from(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.is_file():
        shutil.copy(source, target)

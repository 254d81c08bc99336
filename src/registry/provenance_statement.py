"""The provenance statement of one variant: what it was made from, and how."""

from pathlib import Path
from typing import Any

from src.attestation.statement import Material, Provenance
from src.config.dotted_keys import flatten
from src.core.hashing import content_hash, file_hash
from src.provenance.dvc_lock import read_lock
from src.provenance.git import git_state
from src.provenance.journal import attempts
from src.provenance.lineage import LineageGraph
from src.registry.archive import find_archived

FILES = ("params.yaml", "dvc.yaml", "dvc.lock", "requirements.lock")


def build_provenance(root: Path, graph: LineageGraph, stage: str, sha256: str, record: str) -> Provenance:
    """The provenance of the file with this SHA-256, made by ``stage``; ``record`` names its stored record."""
    lineage = graph.of_result(stage)
    made = _execution(root, lineage)
    return Provenance(
        sha256=sha256,
        stage=stage,
        command=graph.stage(stage).command,
        lineage=lineage,
        parameters={key: value for key, value in flatten(graph.values) if not key.startswith("machine.")},
        materials=[*raw_data(graph.folder), *_data(graph.folder), *_code(root, record)],
        started=made.get("started", ""),
        finished=made.get("ended", ""),
    )


def raw_data(folder: Path) -> list[Material]:
    """The raw data with the hashes of DVC."""
    found = read_lock(folder / "dvc.lock")["ingest"].raw
    return [Material(path, {"md5": md5.removesuffix(".dir")}) for path, md5 in sorted(found.items())]


def _data(folder: Path) -> list[Material]:
    """The manifest, which has the hash and the label of every image."""
    path = "data/ingest/manifest.parquet"
    return [Material(path, {"sha256": file_hash(folder / path)})]


def _code(root: Path, record: str) -> list[Material]:
    folder, commit = find_archived(root, record), git_state(root)["commit"]
    known = [Material("git", {"gitCommit": commit})] if commit else []
    if folder is None:
        return known
    files = [
        Material(name, {"sha256": file_hash(folder / name)}) for name in FILES if (folder / name).is_file()
    ]
    return [*known, *files, Material("record", {"sha256": content_hash(folder)})]


def _execution(root: Path, lineage: str) -> dict[str, Any]:
    """The journal's first record of a successful execution; empty if the model was made elsewhere."""
    records = (attempt.record for attempt in attempts(root, lineage))
    done = (r for r in records if r["status"] == "FINISHED" and "adopted" not in (r.get("tags") or {}))
    return next(done, {})

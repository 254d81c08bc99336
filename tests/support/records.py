"""Records as stages leave them, for tests: real files, tiny content."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.core.hashing import hash_tree
from src.provenance.dvc_lock import folder_md5s
from src.provenance.environment import environment
from src.provenance.git import blob_id
from src.provenance.journal import RunRecord, now
from src.records.execution import ended_children, execution_statement
from src.records.files import FOLDER, Record, write_record
from src.training.history_csv import write_history
from tests.support.journals import add_epochs, begin, lineage_of, make_variant, png

MATERIALS = ({"name": "data/split", "digest": {"md5": "0" * 32}},)


def publish(root: Path, workspace: Path, attempt: RunRecord, place: str) -> Record:
    """End an attempt whose outputs are in ``workspace/place`` as a stage does, and leave its record."""
    outputs, md5s = hash_tree(workspace / place), folder_md5s(workspace / place)
    attempt.update(outputs=outputs, ended=now())
    digests = {
        f"{place}/{path}": {
            "sha256": sha256,
            "md5": md5s[path],
            "gitBlob": blob_id((workspace / place / path).read_bytes()),
        }
        for path, sha256 in outputs.items()
    }
    children = ended_children(root, attempt.record["lineage"])
    statement = execution_statement(attempt, digests, Path(place), MATERIALS, children, environment())
    record = write_record(workspace, statement)
    attempt.close("FINISHED")
    return record


def train(root: Path, workspace: Path, name: str = "one", weights: bytes = b"weights") -> Record:
    """A training from start to end, with its outputs in models/base."""
    attempt, place = begin(root, "train", name), workspace / "models/base"
    place.mkdir(parents=True, exist_ok=True)
    rows = add_epochs(attempt, range(3))
    write_history(
        place / "history.csv",
        [{k: v for k, v in row.items() if k != "time"} for row in rows],
        ["0" * 64] * len(rows),
    )
    (place / "model.safetensors").write_bytes(weights)
    (place / "model.json").write_text("{}")
    attempt.add_model(place)
    crop = {"size": 4, "name": "crop", "again": [1, 2.0]}  # MLflow shows it in this order
    attempt.update(metrics={"val/accuracy": 0.2}, params={"augment.operations": [crop]})
    return publish(root, workspace, attempt, "models/base")


def evaluate(root: Path, workspace: Path, subject: str = "one") -> Record:
    """An evaluation of the training ``subject``, with a figure."""
    import numpy as np

    parents, place = {"train": lineage_of(subject)}, workspace / "reports/evaluate"
    attempt = begin(root, "evaluate", f"evaluate {subject}", parents=parents)
    place.mkdir(parents=True, exist_ok=True)
    (place / "confusion.png").write_bytes(png(np.zeros((8, 8), np.uint8)))
    attempt.add_figures([place / "confusion.png"])
    attempt.update(subject=lineage_of(subject), metrics={"test/accuracy": 0.9})
    return publish(root, workspace, attempt, "reports/evaluate")


def compress(root: Path, workspace: Path, variant: str = "onnx_fp32", name: str = "one") -> Record:
    """A compression of the training ``name``, with a real ONNX model."""
    folder, lineage = workspace / "models" / variant, f"{variant} {name}"
    own = {"parents": {"train": lineage_of(name)}, "variant": variant, "address": f"compress@{variant}"}
    attempt = begin(root, "compress", lineage, **own)
    make_variant(folder, variant)
    attempt.add_model(folder)
    attempt.update(metrics={"val/accuracy": 0.8})
    return publish(root, workspace, attempt, f"models/{variant}")


def rewrite(workspace: Path, record: Record, change: Mapping[str, Any]) -> Record:
    """Replace a record by one that says something else, under the name of its new content.

    ``change``: {dotted path in the statement: value}.
    """
    statement = json.loads((workspace / record.path).read_text())
    for path, value in change.items():
        place = statement
        *above, last = path.split("/")
        for key in above:
            place = place[int(key)] if isinstance(place, list) else place[key]
        place[last] = value
    (workspace / record.path).unlink()
    return write_record(workspace, statement)


def names(workspace: Path) -> set[str]:
    """The files in reports/records."""
    return {path.name for path in (workspace / FOLDER).iterdir()}

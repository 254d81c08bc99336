"""Registered models: what was decided is a line in the journal, which MLflow follows when it answers.

``mlruns/journal/registry.jsonl`` has a line for each decision, ``mlruns/journal/registry/`` a copy of what
the model can be made from again. Carrying a decision out twice changes nothing.
"""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from src.provenance.hashes import content_hash, file_hash
from src.provenance.journal import journal_folder, now
from src.tracking.chains import Journal
from src.tracking.runs import bring
from src.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

RECORDED = ("params.yaml", "dvc.yaml", "dvc.lock", "conf", "src", "requirements.lock")


@dataclass(frozen=True)
class Action:
    """One decision: this file, of this lineage, is ``name`` and bears ``alias``."""

    name: str  # of the registered model
    alias: str
    variant: str
    lineage: str  # of the stage that made the file
    sha256: str  # of the file
    experiment: str
    record: str  # folder below journal/registry with what the model was made from
    tags: dict[str, str] = field(default_factory=dict)  # figures
    time: str = field(default_factory=now)


@dataclass(frozen=True)
class Version:
    """Where a decision has led."""

    name: str
    version: str
    alias: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version} ({self.alias})"


def propose(root: Path, action: Action) -> None:
    """Append the decision to the journal."""
    path = _actions_file(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(action), sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())


def keeps(root: Path, action: Action) -> bool:
    """Whether the journal has a copy of the file that the decision is about."""
    copies = journal_folder(root).glob(f"{action.lineage}/*/model/model.onnx")
    return any(file_hash(copy) == action.sha256 for copy in copies)


def actions(root: Path) -> list[Action]:
    """All decisions, oldest first. A last line that was cut short is left out."""
    path = _actions_file(root)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    return [Action(**json.loads(line)) for line in lines if line.endswith("\n")]


def keep_record(root: Path, workspace: Path) -> str:
    """Copy what the model can be made from again; returns the name of the copy, a hash of its content."""
    shelf = journal_folder(root) / "registry"
    beside = shelf / f"copy.{os.getpid()}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name in RECORDED:
        _copy(workspace / name, beside / name)
    (beside / "packages.txt").write_text(installed(), encoding="utf-8")
    digest = content_hash(beside)[:16]
    if (shelf / digest).is_dir():
        shutil.rmtree(beside)
    else:
        beside.replace(shelf / digest)
    return digest


def installed() -> str:
    """``name==version`` of every installed package, a line each."""
    found = {(d.metadata["Name"] or "").lower(): d.version for d in metadata.distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()) if name)


def carry_out(store: Store, journal: Journal) -> list[Version]:
    """Do what was decided and is not yet done; returns the versions, those that were there too."""
    found = [version for action in actions(store.root) if (version := register(store, journal, action))]
    return list(dict.fromkeys(found))


def register(store: Store, journal: Journal, action: Action) -> Version | None:
    """Carry one decision out. None if MLflow does not have the model."""
    with FileLock(store.root / "mlruns" / "registry.lock", timeout=30):
        version = _find_version(store, action) or _create_version(store, journal, action)
        if version is None:
            return None
        _set_alias(store, version, action)
        return Version(action.name, str(version.version), action.alias)


def _find_version(store: Store, action: Action) -> "ModelVersion | None":
    for version in store.client.search_model_versions(f"name = '{action.name}'"):
        tags = version.tags
        if tags.get("lineage.id") == action.lineage and tags.get("sha256") == action.sha256:
            return version
    return None


def _create_version(store: Store, journal: Journal, action: Action) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    bring(store, journal, action.lineage)
    runs = store.find_runs(store.experiment_id(action.experiment), action.lineage)
    run = next((run for run in runs if run.data.tags.get("model.sha256") == action.sha256), None)
    if run is None:
        return None
    model = run.data.tags["model.id"]
    record = journal_folder(store.root) / "registry" / action.record
    if record.is_dir():
        store.client.log_model_artifacts(model, str(record), "record")
    try:
        store.client.create_registered_model(action.name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"lineage.id": action.lineage, "sha256": action.sha256, "variant": action.variant, **action.tags}
    return store.client.create_model_version(
        action.name, f"models:/{model}", run.info.run_id, tags=tags, model_id=model
    )


def _set_alias(store: Store, version: "ModelVersion", action: Action) -> None:
    """Move the alias, unless this was done before or a later decision holds: what people did since stays."""
    mark = f"alias.{action.alias}"  # tag: time of the decision that gave it the alias
    if version.tags.get(mark, "") >= action.time:
        return
    holder = _holder(store, action)
    if holder is None or holder.tags.get(mark, "") <= action.time:
        store.client.set_registered_model_alias(action.name, action.alias, version.version)
        store.client.set_model_version_tag(action.name, version.version, mark, action.time)


def _holder(store: Store, action: Action) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_model_version_by_alias(action.name, action.alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _actions_file(root: Path) -> Path:
    return journal_folder(root) / "registry.jsonl"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.is_file():
        shutil.copy(source, target)

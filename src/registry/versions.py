"""A registered version and its runs as MLflow has them now, for an audit; and the tags of the audit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import AssayError
from src.registry.decisions import is_imported
from src.tracking.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PROVENANCE, RECORD, AUDIT = "provenance", "record", "audit"  # folders beside a model's files
REMEDY = (
    "Bring what the journal and the records in git say was registered, and see what is missing: "
    "python -m src.track. If it was never registered: dvc repro register"
)
WANTED = (RECORD, PROVENANCE, "artifacts/model")

SCHEME = "models:/"
FROM_RECORDS = "imported from reports/records"


@dataclass(frozen=True)
class RunFacts:
    """A run in MLflow."""

    id: str
    name: str
    experiment: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def lineage(self) -> str:
        return self.tags.get("lineage.id", "")

    @property
    def address(self) -> str:
        """DVC's name of the stage that made the model."""
        variant = self.tags.get("variant")
        return f"{self.tags.get('stage', '')}@{variant}" if variant else self.tags.get("stage", "")


@dataclass(frozen=True)
class VersionFacts:
    """A registered version in MLflow, with the run of its model and that of the base model."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    model_tags: Mapping[str, str]  # of the registered model: times of its aliases
    versions: Mapping[str, tuple[str, str]]  # all of the registered model: (lineage, sha256)
    model_id: str  # of the LoggedModel
    model_run: str | None  # run that made the LoggedModel; None: MLflow does not have it
    run: RunFacts | None
    base: RunFacts | None
    embedded: bool  # in the repository's own store, not on a team's server
    imported: bool = False  # known from the records of others only

    @property
    def title(self) -> str:
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        origin = f", {FROM_RECORDS}" if self.imported else ""
        return f"{self.name} version {self.version}{aliases}{origin}"


def parse_name(target: str) -> tuple[str, str]:
    """("NAME", "3") or ("NAME", "@champion").

    Raises:
        AssayError: it is no such address.
    """
    path = target.removeprefix(SCHEME)
    name, at, alias = path.partition("@")
    if at and name and alias:
        return name, f"@{alias}"
    before, _, number = path.rpartition("/")
    if before and number.isdigit():
        return before, number
    name = name or "NAME"
    raise AssayError(f"{target} names no version: write {SCHEME}{name}@champion or {SCHEME}{name}/3")


def read_version(store: MlflowStore, name: str, number: str) -> VersionFacts:
    """A version by its number or by an alias (``@champion``).

    Raises:
        AssayError: The model, version or alias does not exist.
    """
    from mlflow.exceptions import MlflowException

    try:
        version = _find(store, name, number)
        model = store.client.get_registered_model(name)
    except MlflowException as error:
        reason = str(error.message).rstrip(".")
        raise AssayError(
            f"models:/{name}{_suffix(number)}: {reason}. {known_versions(store, name)}. {REMEDY}"
        ) from error
    run = read_run(store, str(version.run_id)) if version.run_id else None
    aliases = tuple(sorted(a for a, v in model.aliases.items() if str(v) == str(version.version)))
    model_id = str(version.source).removeprefix("models:/")
    return VersionFacts(
        name=name,
        version=str(version.version),
        aliases=aliases,
        tags=dict(version.tags),
        model_tags=dict(model.tags),
        versions={str(v.version): _identity(v) for v in all_versions(store, name)},
        model_id=model_id,
        model_run=_run_of_model(store, model_id),
        run=run,
        base=_base(store, run),
        embedded=store.embedded,
        imported=is_imported(store.root, name, _identity(version)),
    )


def all_versions(store: MlflowStore, name: str) -> list["ModelVersion"]:
    """The versions of a registered model, oldest first."""
    found = store.client.search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version))


def read_run(store: MlflowStore, run_id: str) -> RunFacts | None:
    """Read a run; None if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        run = store.client.get_run(run_id)
    except MlflowException:
        return None
    return RunFacts(
        id=run.info.run_id,
        name=run.info.run_name,
        experiment=run.info.experiment_id,
        status=run.info.status,
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
    )


def find_run(store: MlflowStore, experiment: str, lineage: str) -> RunFacts | None:
    """The newest finished run of a lineage; None if there is none."""
    found = store.client.get_experiment_by_name(experiment)
    runs = store.find_runs(found.experiment_id, lineage) if found else []
    ended = [run for run in runs if run.info.status == "FINISHED"]
    return read_run(store, ended[-1].info.run_id) if ended else None


def versions_of_run(store: MlflowStore, run: RunFacts) -> list[tuple[str, str]]:
    """(name, number) of the versions of a run or of its variants' runs, newest last."""
    children = store.client.search_runs([run.experiment], f"tags.`mlflow.parentRunId` = '{run.id}'")
    runs = [run.id, *(child.info.run_id for child in children)]
    found = [v for each in runs for v in store.client.search_model_versions(f"run_id = '{each}'")]
    return [(v.name, str(v.version)) for v in sorted(found, key=lambda v: int(v.creation_timestamp))]


def download(store: MlflowStore, version: VersionFacts, place: Path) -> dict[str, Path]:
    """Download the version's record, provenance and model, as far as they exist, below ``place``."""
    from mlflow.artifacts import download_artifacts

    location = store.client.get_logged_model(version.model_id).artifact_location
    kept = {artifact.path for artifact in store.client.list_logged_model_artifacts(version.model_id)}
    wanted = [name for name in WANTED if name.split("/")[0] in kept]
    place.mkdir(parents=True, exist_ok=True)
    return {name: Path(download_artifacts(f"{location}/{name}", dst_path=str(place))) for name in wanted}


def mark_audited(store: MlflowStore, version: VersionFacts, tags: Mapping[str, str], report: Path) -> None:
    """Store the outcome of an audit: tags of the version, and its report beside the model's files."""
    store.client.log_model_artifacts(version.model_id, str(report), AUDIT)
    for key, value in tags.items():
        store.client.set_model_version_tag(version.name, version.version, key, value)


def _find(store: MlflowStore, name: str, number: str) -> "ModelVersion":
    if number.startswith("@"):
        return store.client.get_model_version_by_alias(name, number[1:])
    return store.client.get_model_version(name, number)


def _identity(version: "ModelVersion") -> tuple[str, str]:
    return version.tags.get("lineage.id", ""), version.tags.get("sha256", "")


def _run_of_model(store: MlflowStore, model_id: str) -> str | None:
    from mlflow.exceptions import MlflowException

    try:
        found: Any = store.client.get_logged_model(model_id).source_run_id
    except MlflowException:
        return None
    return str(found)


def _base(store: MlflowStore, run: RunFacts | None) -> RunFacts | None:
    """The run of the base model."""
    parent = run.tags.get("mlflow.parentRunId") if run else None
    return read_run(store, parent) if parent else None


def _suffix(number: str) -> str:
    return number if number.startswith("@") else f"/{number}"


def known_versions(store: MlflowStore, name: str) -> str:
    """The aliases and versions of a registered model, in a sentence; the models if it is none."""
    names = sorted(model.name for model in store.client.search_registered_models())
    if name not in names:
        listed = f"the registered models {', '.join(names)}" if names else "no registered model"
        return f"MLflow has {listed}"
    aliases = store.client.get_registered_model(name).aliases  # a list of models comes without them
    listed = ", ".join(f"@{alias} (version {aliases[alias]})" for alias in sorted(aliases)) or "no alias"
    numbers = ", ".join(str(version.version) for version in all_versions(store, name)) or "none"
    return f"{name} has {listed}; its versions: {numbers}"

"""From what a person names to what is audited."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from src.auditing.git_search import read_tree, resolve
from src.auditing.reconstruction import reconstruct
from src.auditing.target import BASE, AuditTarget
from src.core.errors import AssayError
from src.pipeline.paths import REGISTER
from src.provenance.dvc_remote import REPRO, pull_command
from src.registry.archive import ARCHIVE, RECORDED
from src.registry.versions import (
    PROVENANCE,
    RECORD,
    SCHEME,
    RunFacts,
    VersionFacts,
    download,
    find_run,
    parse_name,
    read_run,
    read_version,
    versions_of_run,
)
from src.tracking.mlflow_store import MlflowStore, database, is_embedded


@dataclass(frozen=True)
class Places:
    """Where an audit works: the repository, and a scratch folder that it may fill."""

    root: Path
    scratch: Path
    public_key: Path | None = None


def resolve_target(target: str | None, places: Places, open_store: Callable[[], MlflowStore]) -> AuditTarget:
    """What ``target`` names: nothing (the workspace), ``models:/NAME/3``, ``models:/NAME@champion``, a run
    of MLflow by its id, or a revision of git.

    ``open_store`` is called if MLflow is to be asked. Raises AssayError if it does not exist.
    """
    if target is None:
        return _workspace(places, open_store)
    if target.startswith(SCHEME):
        return of_version(read_version(open_store(), *parse_name(target)), places, open_store())
    commit = resolve(places.root, target)
    if commit is not None:
        return _revision(target, commit, places)
    run = read_run(open_store(), target)
    if run is not None:
        return _run(run, places, open_store())
    raise AssayError(
        f"{target} is neither a revision of git nor a run of MLflow. Name nothing (the workspace), "
        "models:/NAME/3, models:/NAME@champion, the id of a run, or a revision"
    )


def of_version(version: VersionFacts, places: Places, store: MlflowStore) -> AuditTarget:
    """A registered version: its record, with outputs from the cache."""
    files = download(store, version, places.scratch / "mlflow") if version.model_run is not None else {}
    record = _record_of(files, version)
    subject = AuditTarget(
        title=version.title,
        root=places.root,
        folder=places.scratch / "together",
        stage=version.run.address if version.run else f"compress@{version.tags.get('variant', '')}",
        commit=version.run.tags.get("git.commit") if version.run else None,
        version=version,
        run=version.run,
        base=version.base,
        record=record,
        model=files.get("artifacts/model"),
        provenance=files.get(PROVENANCE),
        public_key=places.public_key,
    )
    if record is None:
        return _without_record(subject, version)
    reconstruct(record, places.root, subject.folder)
    return subject


def _without_record(subject: AuditTarget, version: VersionFacts) -> AuditTarget:
    """A version that others registered has its record once the output of the stage register is here."""
    if not version.imported:
        return replace(
            subject, lacks={"record": "the version keeps no copy of its code, settings and dvc.lock"}
        )
    pull = pull_command(subject.root)
    remedy = f"{pull}; python -m src.track" if pull else REPRO
    why = f"it was registered on another machine, and is in {REGISTER / ARCHIVE}, which is not here: {remedy}"
    return replace(subject, lacks={"record": why}, remedy=remedy)


def _record_of(files: dict[str, Path], version: VersionFacts) -> Path | None:
    """The copy that the version names; before 0.5 there was one, without a name."""
    folder = files.get(RECORD)
    if folder is None:
        return None
    named = folder / version.tags.get("record", "")
    return named if (named / "dvc.lock").is_file() else None


def _workspace(places: Places, open_store: Callable[[], MlflowStore]) -> AuditTarget:
    """With MLflow's run of the base model, if MLflow answers and has one."""
    subject = AuditTarget("the workspace", places.root, places.root, stage=BASE, is_workspace=True)
    if is_embedded() and not database(places.root).is_file():
        return subject
    try:
        lineage = subject.graph.of(BASE).id
        return replace(subject, run=find_run(open_store(), subject.params["data"]["name"], lineage))
    except AssayError:  # the checks say what is missing
        return subject


def _revision(target: str, commit: str, places: Places) -> AuditTarget:
    record = places.scratch / "revision"
    if not read_tree(places.root, commit, record, RECORDED) or not (record / "dvc.lock").is_file():
        raise AssayError(f"{target} has no dvc.lock: nothing was ever made there")
    subject = AuditTarget(
        f"revision {target} ({commit[:10]})", places.root, places.scratch / "together", BASE, commit=commit
    )
    reconstruct(record, places.root, subject.folder)
    return subject


def _run(run: RunFacts, places: Places, store: MlflowStore) -> AuditTarget:
    """A run is audited by the record of what was registered of it, or of a variant of it."""
    registered = versions_of_run(store, run)
    if not registered:
        lacks = {
            "record": "nothing was registered of this run or a variant of it, so its record was not kept"
        }
        return AuditTarget(
            f"run {run.name}", places.root, places.scratch / "together", run.address, run=run, lacks=lacks
        )
    subject = of_version(read_version(store, *registered[-1]), places, store)
    own = subject.version is not None and subject.version.run is not None and subject.version.run.id == run.id
    if own:
        return subject
    base = replace(subject, title=f"run {run.name}", stage=run.address, run=run, base=None)
    return replace(base, version=None, model=None, provenance=None)

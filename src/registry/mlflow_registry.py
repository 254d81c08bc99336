"""MLflow's registry follows the decisions in the journal (``src.registry.decisions``).

Applying a decision twice changes nothing, and a later decision overrides an earlier one: the registered
model has, for each alias, a tag with the time of the decision that moved it last. So what people change on
MLflow's pages (they move an alias or delete a version) stays until the next decision, and of several machines
with journals of their own the last to decide prevails.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from src.attestation import signing
from src.registry.archive import find_archived
from src.registry.decisions import Challenge, Decision, Registration, Ruling, decisions
from src.registry.model_card import description_of
from src.registry.registered_model import RegisteredModelView, Version, model_id_of
from src.registry.rulings import apply_challenge, apply_ruling
from src.tracking import circuit_breaker
from src.tracking.circuit_breaker import warn
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import MlflowStore, connect, locks
from src.tracking.run_sync import sync_run

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

MARK = "registered"  # tag of a LoggedModel, followed by the name of the registered model: time of it
LOCK_WAIT = 120  # seconds for another process that registers


def apply_decisions(store: MlflowStore, journal: JournalIndex, name: str | None = None) -> list[Version]:
    """Apply the decisions on one registered model, or on all.

    Returns:
        The versions in the journal, with those that existed before, and the present champions.
    """
    with registry_lock(store.root):
        found: dict[str, list[Decision]] = {}
        for decision in decisions(store.root, name):
            found.setdefault(decision.name, []).append(decision)
        return [v for model, ours in found.items() for v in _apply(store, journal, model, ours)]


def held_aliases(store: MlflowStore) -> set[tuple[str, str, str]]:
    """(model, alias, version) of all aliases, for the models in the journal."""
    views = [RegisteredModelView(store, name) for name in {d.name for d in decisions(store.root)}]
    versions = [version for view in views for version in view.listed(view.all)]
    return {(each.name, alias, each.version) for each in versions for alias in each.aliases}


def try_apply_decisions(root: Path, name: str, say: Callable[[str], None] = warn) -> list[Version] | None:
    """Apply the decisions on a registered model if MLflow answers; None if it does not. Never raises."""
    versions: list[Version] | None = circuit_breaker.circuit.call(
        lambda: apply_decisions(connect(root), JournalIndex(root), name), say
    )
    return versions


@contextmanager
def registry_lock(root: Path) -> Iterator[None]:
    """One process of this machine at a time decides and applies."""
    with FileLock(locks(root) / "registry.lock", timeout=LOCK_WAIT):
        yield


def _apply(store: MlflowStore, journal: JournalIndex, name: str, ours: list[Decision]) -> list[Version]:
    model = RegisteredModelView(store, name)
    last = {d.identity: d for d in ours if isinstance(d, Registration)}  # in the order of the first
    for registration in last.values():
        _register(model, journal, registration)
    ruled = {d.challenge for d in ours if isinstance(d, Ruling) and d.embedded == store.embedded}
    for decision in ours:
        if isinstance(decision, Challenge):
            apply_challenge(model, decision, ruled)
        elif isinstance(decision, Ruling):
            apply_ruling(model, decision)
    versions = [version for identity in last if (version := model.find(identity))]
    champion = model.holder("champion")
    return model.listed(versions if champion is None or champion in versions else [*versions, champion])


def _register(model: RegisteredModelView, journal: JournalIndex, registration: Registration) -> None:
    """Create the version, or give the existing one the newest model card and tags."""
    version = model.find(registration.identity) or _create(model, journal, registration)
    if version is None:
        return
    if "record" not in version.tags:  # it was not here when the version was created
        model.set_version_tags(version, _log_record(model, model_id_of(version), registration))
    _log_evidence(model, version, registration)
    _log_provenance(model, version, registration)
    if version.tags.get("registered", "") >= registration.time:
        return
    _log_card(model, model_id_of(version), registration)
    description = description_of(registration.card)
    if (version.description or "") != description:
        model.store.client.update_model_version(model.name, version.version, description)
    model.set_version_tags(version, _tags(registration))
    _mark_registered(model, model_id_of(version), registration)


def _tags(registration: Registration) -> dict[str, str]:
    own = {"lineage.id": registration.lineage, "sha256": registration.sha256, "variant": registration.variant}
    return {**registration.tags, **own, "registered": registration.time}


def _create(
    model: RegisteredModelView, journal: JournalIndex, registration: Registration
) -> "ModelVersion | None":
    """None if MLflow cannot get the model from the journal, or if somebody deleted this version."""
    client = model.store.client
    run = _run_of(model.store, journal, registration)
    if run is None:
        return None
    model_id = run.data.tags["model.id"]
    if client.get_logged_model(model_id).tags.get(f"{MARK}.{model.name}", "") >= registration.time:
        return None  # it was registered, and somebody deleted it: that holds until the next registration
    record = _log_record(model, model_id, registration)
    _log_card(model, model_id, registration)
    model.create()
    version: ModelVersion = client.create_model_version(
        model.name,
        f"models:/{model_id}",
        run.info.run_id,
        tags={**_tags(registration), **record},
        description=description_of(registration.card),
        model_id=model_id,
    )
    _mark_registered(model, model_id, registration)
    model.all.append(version)
    return version


def _mark_registered(model: RegisteredModelView, model_id: str, registration: Registration) -> None:
    """Record at the LoggedModel that a version was made of it, so that a deleted one is noticed."""
    model.store.client.set_logged_model_tags(model_id, {f"{MARK}.{model.name}": registration.time})


def _run_of(store: MlflowStore, journal: JournalIndex, registration: Registration) -> "Run | None":
    """The run with the registered model; brought from the journal if MLflow lacks it."""

    def find() -> "Run | None":
        runs = store.find_runs(store.experiment_id(registration.experiment), registration.lineage)
        return next((run for run in runs if run.data.tags.get("model.sha256") == registration.sha256), None)

    run = find()
    if run is None and any(s.done != "unchanged" for s in sync_run(store, journal, registration.lineage)):
        return find()
    return run


def _log_card(model: RegisteredModelView, model_id: str, registration: Registration) -> None:
    """Put the model card, with its metadata, beside the model's files."""
    if not registration.card:
        return
    with tempfile.TemporaryDirectory() as place:
        Path(place, "README.md").write_text(registration.card, encoding="utf-8")
        model.store.client.log_model_artifacts(model_id, place)


def _log_evidence(model: RegisteredModelView, version: "ModelVersion", registration: Registration) -> None:
    """Put what the version is judged by beside the model, where other machines find it.

    Once is enough, because it is a function of the lineage.
    """
    folder = None if version.tags.get("evidence") else find_archived(model.store.root, registration.evidence)
    if folder is None:
        return
    model.store.client.log_model_artifacts(model_id_of(version), str(folder), "evidence")
    model.set_version_tags(version, {"evidence": registration.evidence})


def _log_provenance(model: RegisteredModelView, version: "ModelVersion", registration: Registration) -> None:
    """Put the provenance statement beside the model; a signed one is never replaced."""
    folder = find_archived(model.store.root, registration.provenance)
    if folder is None or version.tags.get("provenance.signed") == "yes":
        return
    signed = "yes" if (folder / signing.FILE).is_file() else "no"
    if version.tags.get("provenance.signed") == signed:
        return
    if version.tags.get("record") != registration.record:  # the one that the statement describes
        _log_record(model, model_id_of(version), registration)
    model.store.client.log_model_artifacts(model_id_of(version), str(folder), "provenance")
    tags = {"provenance": folder.name, "provenance.signed": signed, "record": registration.record}
    model.set_version_tags(version, tags)


def _log_record(model: RegisteredModelView, model_id: str, registration: Registration) -> dict[str, str]:
    """Put what the model was made from beside it; returns the tag that names it, none if it is not here."""
    record = find_archived(model.store.root, registration.record)
    if record is None:
        return {}
    model.store.client.log_model_artifacts(model_id, str(record), f"record/{registration.record}")
    return {"record": registration.record}

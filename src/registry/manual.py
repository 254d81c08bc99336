"""A person's word on which version is champion: it holds whatever the rule says, and is written down."""

from pathlib import Path
from typing import TYPE_CHECKING

from src.core.errors import AssayError
from src.registry.decisions import Ruling, append_decisions
from src.registry.mlflow_registry import (
    RegisteredModelView,
    Version,
    apply_decisions,
    apply_ruling,
    identity_of,
    registry_lock,
)
from src.tracking.mlflow_store import MlflowStore, connect
from src.tracking.run_groups import JournalIndex

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def promote(root: Path, name: str, version: str, reason: str) -> tuple[Version, bool]:
    """Make a version champion; returns it, and whether it was not champion before.

    Raises:
        AssayError: no reason is given, or there is no such version.
    """
    if not reason.strip():
        raise AssayError('--promote needs a reason, which is kept with the version: --reason "…"')
    shelf = _current(root, name)
    return _make_champion(shelf, _find(shelf, version), reason.strip(), "hand")


def rollback(root: Path, name: str, reason: str = "") -> tuple[Version, bool]:
    """Make the champion before the present one champion again; returns it, and True.

    Raises:
        AssayError: no version was champion before.
    """
    shelf = _current(root, name)
    history = shelf.history()
    earlier = [version for version in history if version != history[-1]]
    if not earlier:
        held = f"version {history[-1]} is the first champion" if history else "it has had no champion"
        raise AssayError(f"{name} cannot be rolled back: {held}. It has: {_listed(shelf)}")
    reason = reason.strip() or f"rolled back from version {history[-1]}"
    return _make_champion(shelf, _find(shelf, earlier[-1]), reason, "rollback")


def _current(root: Path, name: str) -> RegisteredModelView:
    """The registered model, once all that was decided before is done."""
    store: MlflowStore = connect(root, patient=True)
    apply_decisions(store, JournalIndex(root), name)
    return RegisteredModelView(store, name)


def _make_champion(
    shelf: RegisteredModelView, version: "ModelVersion", reason: str, by: str
) -> tuple[Version, bool]:
    lineage, sha256 = identity_of(version)
    if lineage is None or sha256 is None:
        raise AssayError(
            f"{shelf.name} version {version.version} was not registered by Assay, so that the journal has no "
            "name for it: set its alias in MLflow"
        )
    holder = shelf.holder("champion")
    news = holder is None or holder.version != version.version
    if news:
        ruling = Ruling(shelf.name, lineage, sha256, True, reason, by, embedded=shelf.store.embedded)
        with registry_lock(shelf.store.root):
            append_decisions(shelf.store.root, ruling)
            apply_ruling(shelf, ruling)
    return shelf.listed([version])[0], news


def _find(shelf: RegisteredModelView, number: str) -> "ModelVersion":
    found = next((version for version in shelf.all if str(version.version) == number), None)
    if found is None:
        raise AssayError(f"{shelf.name} has no version {number}. It has: {_listed(shelf)}")
    return found


def _listed(shelf: RegisteredModelView) -> str:
    """The versions with variant and aliases, for a person to choose from."""
    shown = zip(shelf.all, shelf.listed(shelf.all), strict=True)
    texts = [f"{v.version} ({', '.join([m.tags.get('variant', '?'), *v.aliases])})" for m, v in shown]
    return ", ".join(texts) or "none yet, dvc repro register makes them"

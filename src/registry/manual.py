"""A person decides which version is champion: the decision overrides the policy and is recorded."""

from pathlib import Path
from typing import TYPE_CHECKING

from src.core.errors import AssayError
from src.registry.decision_records import import_records, publish_decisions
from src.registry.decisions import Ruling, append_decisions
from src.registry.mlflow_registry import apply_decisions, registry_lock
from src.registry.registered_model import RegisteredModelView, Version, identity_of
from src.registry.rulings import apply_ruling
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import connect, unreachable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def change_champion(root: Path, name: str, promoted: str | None, reason: str) -> str:
    """Promote a version, or roll back if none is given.

    Args:
        root: The repository.
        name: The registered model.
        promoted: The version to promote; None: the champion before the present one.
        reason: For the record.

    Returns:
        A line for the terminal.

    Raises:
        AssayError: It cannot be done, or MLflow does not answer.
    """
    import_records(root, root)
    try:
        version, changed = (
            rollback(root, name, reason) if promoted is None else promote(root, name, promoted, reason)
        )
        publish_decisions(root, root)
    except AssayError:
        raise
    except Exception as error:  # MLflow raises requests', SQLAlchemy's and its own
        raise unreachable(error) from error
    return f"{version}" if changed else f"{version}: already champion, nothing changed"


def promote(root: Path, name: str, version: str, reason: str) -> tuple[Version, bool]:
    """Make a version champion; returns it, and whether it was not champion before.

    Raises:
        AssayError: The reason is missing, or the version does not exist.
    """
    if not reason.strip():
        raise AssayError('--promote needs a reason, which is kept with the version: --reason "…"')
    model = _current(root, name)
    return _make_champion(model, _find(model, version), reason.strip(), "person")


def rollback(root: Path, name: str, reason: str = "") -> tuple[Version, bool]:
    """Restore the previous champion; returns it, and True.

    Versions that were deleted in MLflow are skipped.

    Raises:
        AssayError: No earlier champion exists.
    """
    model = _current(root, name)
    history = model.history()
    holder = model.holder("champion")
    present = str(holder.version) if holder else None
    earlier = [version for version in history if version != present]
    if not earlier:
        known = f"version {present} is the first champion" if present else "it never had a champion"
        raise AssayError(f"{name} cannot be rolled back: {known}. Its versions: {_listed(model)}")
    reason = reason.strip() or (
        f"rolled back from version {present}" if present else "the champion was deleted"
    )
    return _make_champion(model, _find(model, earlier[-1]), reason, "rollback")


def _current(root: Path, name: str) -> RegisteredModelView:
    """The registered model, after everything decided before is applied."""
    store = connect(root, patient=True)
    apply_decisions(store, JournalIndex(root), name)
    return RegisteredModelView(store, name)


def _make_champion(
    model: RegisteredModelView, version: "ModelVersion", reason: str, by: str
) -> tuple[Version, bool]:
    lineage, sha256 = identity_of(version)
    if lineage is None or sha256 is None:
        raise AssayError(
            f"{model.name} version {version.version} was not registered by Assay, so the journal cannot name "
            "it. Set its alias in MLflow"
        )
    holder = model.holder("champion")
    changed = holder is None or holder.version != version.version
    if changed:
        ruling = Ruling(model.name, lineage, sha256, True, reason, by, embedded=model.store.embedded)
        with registry_lock(model.store.root):
            append_decisions(model.store.root, ruling)
            apply_ruling(model, ruling)
    return model.listed([version])[0], changed


def _find(model: RegisteredModelView, number: str) -> "ModelVersion":
    found = next((version for version in model.all if str(version.version) == number), None)
    if found is None:
        raise AssayError(f"{model.name} has no version {number}. Its versions: {_listed(model)}")
    return found


def _listed(model: RegisteredModelView) -> str:
    """The versions with variant and aliases, for a person to choose from."""
    texts = [
        f"{v.version} ({', '.join([v.tags.get('variant', '?'), *v.aliases])})"
        for v in model.listed(model.all)
    ]
    return ", ".join(texts) or "none yet (dvc repro register)"

"""Loads registered models."""

import os
from pathlib import Path
from typing import Any

from src.core.errors import AssayError, first_line
from src.registry.decisions import is_imported
from src.registry.versions import FROM_RECORDS, SCHEME, known_versions
from src.tracking.mlflow_store import connect


def pin_version(root: Path, uri: str) -> str:
    """The URI of the version that an alias names now: ``models:/NAME/3`` for ``models:/NAME@champion``.

    Other URIs are returned as they are. Raises what :func:`load_model` raises.
    """
    name, sign, alias = uri.removeprefix("models:/").partition("@")
    if not uri.startswith("models:/") or not sign:
        return uri
    try:
        store = connect(root, patient=True)
        aliases = store.client.get_registered_model(name).aliases
    except Exception as error:  # as below
        raise _cannot_load(uri, error) from error
    if alias not in aliases:
        raise AssayError(f"{uri} cannot be loaded: no version is @{alias}. {known_versions(store, name)}")
    return f"models:/{name}/{aliases[alias]}"


def load_model(root: Path, uri: str) -> Any:
    """Load a model as a pyfunc.

    Args:
        root: the repository, whose MLflow store has the model.
        uri: ``models:/NAME@ALIAS``, or any other URI of MLflow.

    Raises:
        AssayError: the model does not exist, or MLflow does not answer.
    """
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")  # no model of ours needs it
    try:
        connect(root, patient=True)
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(uri)
    except Exception as error:  # MLflow raises its own errors, those of requests and of SQLAlchemy
        raise _cannot_load(uri, error) from error


def describe_version(root: Path, uri: str) -> str:
    """The URI, and where the version comes from if it was not registered on this machine."""
    name, _, number = uri.removeprefix(SCHEME).rpartition("/")
    if not (uri.startswith(SCHEME) and name and number.isdigit()):
        return uri
    tags = connect(root, patient=True).client.get_model_version(name, number).tags
    identity = tags.get("lineage.id", ""), tags.get("sha256", "")
    return f"{uri}, {FROM_RECORDS}" if is_imported(root, name, identity) else uri


def _cannot_load(uri: str, error: Exception) -> AssayError:
    return AssayError(
        f"{uri} cannot be loaded: {first_line(error)}\n"
        "In a clone, models are registered once their files are here: dvc pull, or dvc repro where there is "
        "no remote; then python -m src.track. To see the registered models: make ui. "
        'To choose the champion: python -m src.register --promote VERSION --reason "…"'
    )

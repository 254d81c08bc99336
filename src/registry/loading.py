"""Loads registered models."""

import os
from pathlib import Path
from typing import Any

from src.core.errors import AssayError, first_line
from src.tracking.mlflow_store import connect


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
        raise AssayError(
            f"{uri} cannot be loaded: {first_line(error)}\n"
            "To see the registered models: make ui. To register one: dvc repro. "
            "To show in MLflow what was registered before: python -m src.track. "
            'To choose the champion: python -m src.register --promote VERSION --reason "…"'
        ) from error

"""Loads registered models to use them."""

import os
from pathlib import Path
from typing import Any

from src.core.errors import AssayError, first_line
from src.tracking.mlflow_store import connect


def load_model(root: Path, uri: str) -> Any:
    """The model at ``models:/NAME@ALIAS`` (or any address that MLflow knows) as a pyfunc.

    Raises:
        AssayError: there is none, or MLflow does not answer.
    """
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")  # none of ours needs it
    try:
        connect(root, patient=True)
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(uri)
    except Exception as error:  # MLflow raises requests', SQLAlchemy's and its own
        raise AssayError(
            f"{uri} cannot be loaded: {first_line(error)}\n"
            "Registered models: make ui. To register the pipeline's: dvc repro, or python -m src.track"
        ) from error

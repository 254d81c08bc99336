"""A model as MLflow keeps it.

An ONNX model becomes a LoggedModel: the journal's files, behind the code in ``src/serving``. Weights of torch
are kept as plain files; nobody serves them.
"""

import io
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from src.core.files import read_json
from src.core.hashing import file_hash
from src.tracking.journal_entry import JournalEntry

SERVING = Path(__file__).parents[1] / "serving"
ONNX, TORCH, SPEC = "model.onnx", "model.safetensors", "model.json"
PYFUNC, REQUIREMENTS = "pyfunc.py", "requirements.txt"
BESIDE = ("decoding.py", "decision.py")  # what pyfunc.py loads from its own folder
STORED = "serving"  # folder beside a journal entry's model, with the code that serves it


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model."""

    weights: Path
    spec: Path  # model.json
    code: Path | None  # folder that `store_code` wrote; None: take the code of the working tree

    @property
    def is_served(self) -> bool:
        """Whether MLflow can serve it."""
        return self.weights.name == ONNX

    @cached_property
    def sha256(self) -> str:
        """Of the weights."""
        return file_hash(self.weights)


def find_model(entry: JournalEntry) -> ModelFiles | None:
    """The model that a journal entry has a copy of; None if it has none."""
    if not entry.record.get("model"):
        return None
    folder, code = entry.folder / entry.record["model"], entry.folder / STORED
    weights = next((folder / name for name in (ONNX, TORCH) if (folder / name).is_file()), None)
    if weights is None or not (folder / SPEC).is_file():
        return None
    return ModelFiles(weights, folder / SPEC, code if code.is_dir() else None)


def store_code(entry: Path, root: Path) -> None:
    """Put today's serving code beside a model in the journal.

    MLflow's copy of the model can then be made again at any later commit, with the same code.

    Args:
        entry: folder of the journal entry.
        root: the repository, whose ``requirements.lock`` has the versions.
    """
    _copy_code(entry / STORED, root)


def save(folder: Path, model: ModelFiles, root: Path, identity: dict[str, Any]) -> None:
    """Write an ONNX model as an MLflow model.

    The folder is all that is needed to serve it. MLflow runs ``pyfunc.py`` from there, which loads
    the files beside it. (``code_paths`` would put the code on ``sys.path``, where two versions of a
    model get in each other's way.)

    Args:
        folder: to be created.
        model: the files.
        root: the repository.
        identity: MLflow's ids of the model and its run.
    """
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as place:
        files, code = Path(place, "model"), model.code or Path(place, "code")
        files.mkdir()
        shutil.copy(model.weights, files)
        shutil.copy(model.spec, files)
        if model.code is None:
            _copy_code(code, root)
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(code / PYFUNC),
            artifacts={"model": str(files)},
            pip_requirements=(code / REQUIREMENTS).read_text(encoding="utf-8").splitlines(),
            uv_project_path=place,  # not a project of uv: else MLflow copies this repository's uv.lock
            mlflow_model=Model(**identity),
            **_interface(read_json(model.spec)),
        )
        for name in BESIDE:
            if (code / name).is_file():  # code of before 0.3 has no decision.py
                shutil.copy(code / name, folder)


def _copy_code(folder: Path, root: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (PYFUNC, *BESIDE):
        shutil.copy(SERVING / name, folder)
    lines = "".join(f"{line}\n" for line in requirements(root))
    (folder / REQUIREMENTS).write_text(lines, encoding="utf-8")


def requirements(root: Path) -> list[str]:
    """What a served model needs, as ``name==version``.

    Versions come from ``requirements.lock``, or from what is installed where the lock lacks a package.
    """
    lock = root / "requirements.lock"
    listed = _parse(lock) if lock.is_file() else []
    locked = {canonicalize_name(each.name): str(each.specifier) for each in listed}
    names = [canonicalize_name(each.name) for each in _parse(SERVING / REQUIREMENTS)]
    return [f"{name}{locked.get(name) or f'=={metadata.version(name)}'}" for name in names]


def _parse(path: Path) -> list[Requirement]:
    """The requirements in a file of pip; lines that are options of pip are left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(Requirement(line.split(" #")[0]))
        except InvalidRequirement:
            continue
    return found


def _interface(spec: dict[str, Any]) -> dict[str, Any]:
    """Signature and input example."""
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    names = ["probability", *(f"p_{name}" for name in spec["classes"])]
    rule, text = spec.get("decision"), DataType.string
    answer = Array(text) if rule and rule["method"] == "conformal" else text
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec("string", "label"),
        *(ColSpec("double", name) for name in names),
        *([ColSpec(answer, "answer", required=False)] if rule else []),
        ColSpec("string", "error", required=False),
    ]
    return {
        "signature": ModelSignature(Schema([ColSpec("binary", "image")]), Schema(outputs)),
        "input_example": pd.DataFrame({"image": [_example(spec["input"])]}),
    }


def _example(image_format: dict[str, Any]) -> bytes:
    """A PNG in the format of the model: a gray gradient."""
    import numpy as np
    from PIL import Image

    height, width = image_format["height"], image_format["width"]
    image = Image.fromarray(np.linspace(0, 255, height * width).astype(np.uint8).reshape(height, width))
    file = io.BytesIO()
    image.convert("L" if image_format["channels"] == 1 else "RGB").save(file, format="PNG")
    return file.getvalue()

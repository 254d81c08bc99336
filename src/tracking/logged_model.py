"""A trained or compressed model as MLflow keeps it: the journal's files behind ``src.serving.pyfunc``."""

import io
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from src.core.errors import AssayError
from src.core.hashing import file_hash
from src.tracking.run_groups import JournalEntry, JournalIndex

SOURCE = Path(__file__).parents[1]  # src/
WEIGHTS = ("model.onnx", "model.safetensors")
SPEC = "model.json"
# What a served model imports, besides packages: copied beside it, so that it needs no checkout.
SHIPPED = (
    "__init__.py",
    "core/__init__.py",
    "core/torchvision_compat.py",
    "serving/__init__.py",
    "serving/decoding.py",
)
SHIPPED_TORCH = (*SHIPPED, "core/errors.py", "config/__init__.py", "config/schema/*.py", "models/*.py")
NEEDS = ("mlflow", "numpy", "pandas", "pillow", "onnxruntime")
NEEDS_TORCH = (
    "mlflow",
    "numpy",
    "pandas",
    "pillow",
    "torch",
    "torchvision",
    "timm",
    "safetensors",
    "pydantic",
)


def weights(entry: JournalEntry) -> Path | None:
    """The file with the weights in an attempt's copy of its model; None if it has none."""
    if not entry.record.get("model"):
        return None
    folder = entry.folder / entry.record["model"]
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def spec(entry: JournalEntry, journal: JournalIndex) -> Path | None:
    """``model.json`` of the model: its own, or that of the base it was made from."""
    own = entry.folder / str(entry.record.get("model")) / SPEC
    if own.is_file():
        return own
    base = entry.record["parents"].get("train")
    copies = [e.folder / "model" / SPEC for e in journal.entries if e.lineage == base]
    return next((path for path in copies if path.is_file()), None)


def save(folder: Path, weights: Path, spec: Path, root: Path, identity: dict[str, Any]) -> None:
    """Write an MLflow model to ``folder``; ``identity`` holds its model and run id."""
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory() as place:
        files, code = Path(place, "model"), Path(place, "src")
        files.mkdir()
        shutil.copy(weights, files / weights.name)
        shutil.copy(spec, files / SPEC)
        onnx = weights.suffix == ".onnx"
        _copy_code(code, SHIPPED if onnx else SHIPPED_TORCH)
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(SOURCE / "serving/pyfunc.py"),
            artifacts={"model": str(files)},
            code_paths=[str(code)],
            pip_requirements=requirements(root, NEEDS if onnx else NEEDS_TORCH),
            mlflow_model=Model(**identity),
            **_interface(spec),
        )


def requirements(root: Path, names: tuple[str, ...]) -> list[str]:
    """``name==version`` of each package, from ``requirements.lock`` or, if it is not there, as installed."""
    lock = root / "requirements.lock"
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    pinned = dict(
        line.split(";")[0].strip().lower().split("==") for line in lines if "==" in line.split("#")[0]
    )
    return [f"{name}=={pinned.get(name) or metadata.version(name)}" for name in names]


def identity(weights: Path) -> str:
    """SHA-256 of the weights."""
    return file_hash(weights)


def _interface(spec: Path) -> dict[str, Any]:
    """Signature and input example."""
    import json

    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    content = json.loads(spec.read_text(encoding="utf-8"))
    names = ["probability", *(f"p_{name}" for name in content["classes"])]
    answer: list[ColSpec | TensorSpec] = [
        ColSpec("string", "label"),
        *(ColSpec("double", name) for name in names),
        ColSpec("string", "error", required=False),
    ]
    return {
        "signature": ModelSignature(Schema([ColSpec("binary", "image")]), Schema(answer)),
        "input_example": pd.DataFrame({"image": [_example(content["input"])]}),
    }


def _example(form: dict[str, Any]) -> bytes:
    """A PNG of the model's own size: a grey slope."""
    import numpy as np
    from PIL import Image

    slope = np.linspace(0, 255, form["height"] * form["width"]).astype(np.uint8)
    image = Image.fromarray(slope.reshape(form["height"], form["width"]))
    file = io.BytesIO()
    image.convert("L" if form["channels"] == 1 else "RGB").save(file, format="PNG")
    return file.getvalue()


def _copy_code(place: Path, patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        found = sorted(SOURCE.glob(pattern))
        if not found:
            raise AssayError(f"src/{pattern} is missing, which a served model needs: git checkout src")
        for path in found:
            copy = place / path.relative_to(SOURCE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)

"""The registered model: images in, class names and probabilities out.

MLflow runs this file ("models from code"), so no pickle is involved. A copy of it travels with the model, and
so do ``decoding.py`` and ``decision.py``, which it loads from its own folder: each version of a model decodes
and decides with the code it was registered with, no matter what else is installed or loaded in the process.

The input is a table with the column ``image``. Each cell is an encoded image (bytes, or base64 text, as
``mlflow models serve`` passes them) or a uint8 array of any size, (H, W), (H, W, C) or (C, H, W):

    model = mlflow.pyfunc.load_model("models:/NAME@champion")
    model.predict(pandas.DataFrame({"image": [path.read_bytes() for path in paths]}))
    model.predict({"image": images})  # uint8 (N, H, W), (N, H, W, C) or (N, C, H, W)

Images are resized as ``ingest`` resized the training images; normalization is part of the ONNX model. The
result has one row per image: ``label``, ``probability``, ``p_<class>`` for each class, and ``error``, which
says why an image could not be read (the rest of its row is then empty). The label is the most probable class.
A model with a decision rule also gives ``answer``: a class, or None where the rule gives no answer; with a
conformal rule a list of classes, the most probable first.
"""

import base64
import importlib.util
import io
import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import onnxruntime
import pandas as pd
from PIL import Image

BATCH = 256  # images at a time: limits the memory, whatever the caller sends

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


def _import_sibling(name: str) -> ModuleType:
    """Import a file that lies beside this one, under a module name that is derived from its content.

    Another model's file of the same name is another module, unless the two are equal.
    """
    path = Path(__file__).with_name(name)
    module_name = f"{path.stem}_{sha256(path.read_bytes()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None  # it is a Python file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return sys.modules.setdefault(module_name, module)


# Types are not known across such an import.
decoding: Any = _import_sibling("decoding.py")
decision: Any = _import_sibling("decision.py")


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Decodes, resizes and classifies images."""

    def load_context(self, context: Any) -> None:
        """Read ``model.json`` and ``model.onnx``."""
        folder = Path(context.artifacts["model"])
        spec = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.classes = [str(name) for name in spec["classes"]]
        self.rule: dict[str, Any] | None = spec.get("decision")
        self.image_format = decoding.ImageFormat(**spec["input"])
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
        )

    def predict(self, context: Any, model_input: pd.DataFrame) -> pd.DataFrame:
        """Classify a table, a list, an array or {"image": …} of images; see the top of this file."""
        cells = _cells(model_input)
        tables = [self._classify(cells[start : start + BATCH]) for start in range(0, len(cells), BATCH)]
        return pd.concat(tables, ignore_index=True) if tables else self._classify([])

    def _classify(self, cells: Sequence[Any]) -> pd.DataFrame:
        images, errors = self._read(cells)
        readable = [place for place, error in enumerate(errors) if error is None]
        probabilities = np.full((len(cells), len(self.classes)), np.nan)
        if readable:
            probabilities[readable] = _softmax(self._logits(np.stack([images[place] for place in readable])))
        known = np.isfinite(probabilities).all(axis=1)
        best = np.where(known, np.nan_to_num(probabilities).argmax(axis=1), 0)
        labels = [self.classes[index] if ok else None for index, ok in zip(best, known, strict=True)]
        table = {
            "label": pd.Series(labels, dtype=object),  # object: as text, pandas would turn None into NaN
            "probability": probabilities[np.arange(len(cells)), best],
            **{f"p_{name}": probabilities[:, column] for column, name in enumerate(self.classes)},
            **({} if self.rule is None else {"answer": self._answers(probabilities, known)}),
            "error": pd.Series(errors, dtype=object),
        }
        return pd.DataFrame(table)

    def _answers(self, probabilities: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]) -> pd.Series:
        """By the rule, for the rows (n,) that are ``known``."""
        answers = iter(decision.decide(probabilities[known], self.classes, self.rule))
        return pd.Series([next(answers) if ok else None for ok in known], dtype=object)

    def _read(self, cells: Sequence[Any]) -> tuple[dict[int, Pixels], list[str | None]]:
        """Images by their place, uint8 (C, H, W), and for each cell the reason if it could not be read."""
        images: dict[int, Pixels] = {}
        errors: list[str | None] = [None] * len(cells)
        for place, cell in enumerate(cells):
            try:
                images[place] = to_pixels(cell, self.image_format)
            except decoding.UnreadableImageError as error:
                errors[place] = str(error)
        return images, errors

    def _logits(self, images: Pixels) -> Logits:
        """(N, C, H, W) -> (N, K)."""
        logits: Logits = self.session.run(["logits"], {"images": images})[0]
        return logits


def to_pixels(cell: Any, image_format: Any) -> Pixels:
    """Convert one image to the format of the model.

    Args:
        cell: an encoded image as bytes or base64 text, or an array.
        image_format: an ``ImageFormat`` of ``decoding.py``.

    Returns:
        uint8 (C, H, W).

    Raises:
        UnreadableImageError: it is not an image, or not in one of these forms.
    """
    if isinstance(cell, str):
        try:
            cell = base64.b64decode("".join(cell.split()), validate=True)  # lines may be wrapped
        except ValueError as error:  # binascii.Error is one; text beyond ASCII raises another
            raise decoding.UnreadableImageError(
                f"it is text, but not an image file in base64: {error}"
            ) from error
    if isinstance(cell, bytes | bytearray | memoryview):
        pixels: Pixels = decoding.decode(io.BytesIO(cell), image_format).pixels
        return pixels
    if isinstance(cell, np.ndarray | list):
        return _from_array(_to_array(cell), image_format)
    raise decoding.UnreadableImageError(
        f"it is of type {type(cell).__name__}, but must be bytes, base64 text or a uint8 array"
    )


def _to_array(cell: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(cell)
    except ValueError as error:  # nested lists of different lengths
        raise decoding.UnreadableImageError(f"its rows differ in length: {error}") from error


def _from_array(array: npt.NDArray[Any], image_format: Any) -> Pixels:
    if array.dtype != np.uint8:
        array = _to_uint8(array)
    if array.shape == (image_format.channels, image_format.height, image_format.width):
        return array
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))):
        raise decoding.UnreadableImageError(f"its shape {array.shape} is not (H, W), (H, W, C) or (C, H, W)")
    pixels: Pixels = decoding.fit_image(Image.fromarray(np.ascontiguousarray(array)), image_format)
    return pixels


def _to_uint8(array: npt.NDArray[Any]) -> Pixels:
    """Convert integers from 0 to 255, as JSON delivers them."""
    if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() <= 255):
        raise decoding.UnreadableImageError(
            f"its values are of type {array.dtype}, but must be integers from 0 to 255"
        )
    return array.astype(np.uint8)


def _cells(model_input: Any) -> list[Any]:
    """One entry per image."""
    if isinstance(model_input, pd.DataFrame):
        column = "image" if "image" in model_input.columns else model_input.columns[0]
        return list(model_input[column])
    if isinstance(model_input, dict):
        return list(model_input["image"])
    return list(model_input)  # a list, or an array whose first axis counts images


def _softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """(N, K) logits -> (N, K) probabilities."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


mlflow.models.set_model(ImageClassifier())

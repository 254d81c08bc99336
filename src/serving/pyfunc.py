"""The registered model: raw images in, class names and probabilities out (MLflow "models from code").

MLflow runs this file, so no pickle is needed. It takes a table with the column ``image``, whose cells
are encoded images (bytes, or base64 text as ``mlflow models serve`` passes them) or uint8 arrays of
any size, (H, W), (H, W, C) or (C, H, W):

    model = mlflow.pyfunc.load_model("models:/NAME@champion")
    model.predict(pandas.DataFrame({"image": [path.read_bytes() for path in paths]}))
    model.predict({"image": images})  # uint8 (N, H, W), (N, H, W, C) or (N, C, H, W)

Resizing is what ``ingest`` did with the training images, normalization is part of the model. The answer
has a row an image: ``label``, ``probability``, ``p_<class>`` for each class, and ``error``, which says
why an image could not be read (the rest of its row is empty). onnxruntime runs ``model.onnx``; torch is
imported only for ``model.safetensors``.
"""

import base64
import binascii
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from src.serving.decoding import ImageFormat, UnreadableImageError, decode, fit_image

BATCH = 256  # images at once: bounds the memory, whatever the caller sends
MAX_PIXELS = 100_000_000  # of one image; more is refused before it is decoded

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Decodes, resizes, classifies."""

    def load_context(self, context: Any) -> None:
        """Read the model's folder: ``model.json`` and ``model.onnx`` or ``model.safetensors``."""
        folder = Path(context.artifacts["model"])
        spec = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.classes = [str(name) for name in spec["classes"]]
        self.form = ImageFormat(
            **{k: spec["input"][k] for k in ("height", "width", "channels", "resize_mode")},
            max_pixels=MAX_PIXELS,
        )
        onnx = folder / "model.onnx"
        self.logits: Callable[[Pixels], Logits] = _onnx(onnx) if onnx.is_file() else _torch(folder)

    def predict(self, context: Any, model_input: pd.DataFrame) -> pd.DataFrame:
        """Classify a table, or a list, array or {"image": …} of images; see the top of this file."""
        cells = _cells(model_input)
        answers = [self._classify(cells[at : at + BATCH]) for at in range(0, len(cells), BATCH)]
        return pd.concat(answers, ignore_index=True) if answers else self._classify([])

    def _classify(self, cells: Sequence[Any]) -> pd.DataFrame:
        images, errors = self._read(cells)
        read = [place for place, error in enumerate(errors) if error is None]
        shares = np.full((len(cells), len(self.classes)), np.nan)
        if read:
            shares[read] = _softmax(self.logits(np.stack([images[place] for place in read])))
        known = np.isfinite(shares).all(axis=1)
        best = np.where(known, np.nan_to_num(shares).argmax(axis=1), 0)
        labels = [self.classes[b] if ok else None for b, ok in zip(best, known, strict=True)]
        table = {
            "label": pd.Series(labels, dtype=object),  # object: as text, pandas would turn None into NaN
            "probability": shares[np.arange(len(cells)), best],
            **{f"p_{name}": shares[:, column] for column, name in enumerate(self.classes)},
            "error": pd.Series(errors, dtype=object),
        }
        return pd.DataFrame(table)

    def _read(self, cells: Sequence[Any]) -> tuple[dict[int, Pixels], list[str | None]]:
        """The images by place, uint8 (C, H, W), and for each cell why it could not be read."""
        images: dict[int, Pixels] = {}
        errors: list[str | None] = [None] * len(cells)
        for place, cell in enumerate(cells):
            try:
                images[place] = to_pixels(cell, self.form)
            except UnreadableImageError as error:
                errors[place] = str(error)
        return images, errors


def to_pixels(cell: Any, form: ImageFormat) -> Pixels:
    """One image as the model takes it, uint8 (C, H, W).

    Raises:
        UnreadableImageError: it is no image, or of a kind that is not taken.
    """
    if isinstance(cell, str):
        try:
            cell = base64.b64decode("".join(cell.split()), validate=True)  # may be wrapped
        except binascii.Error as error:
            raise UnreadableImageError(f"it is text, but not base64 of an image file: {error}") from error
    if isinstance(cell, bytes | bytearray | memoryview):
        return decode(io.BytesIO(cell), form).pixels
    if isinstance(cell, np.ndarray | list):
        return _from_array(np.asarray(cell), form)
    raise UnreadableImageError(f"it is {type(cell).__name__}; bytes, base64 text or a uint8 array is wanted")


def _from_array(array: npt.NDArray[Any], form: ImageFormat) -> Pixels:
    if array.dtype != np.uint8:
        array = _whole(array)
    if array.shape == (form.channels, form.height, form.width):
        return array
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[:, :, 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[-1] in (3, 4))):
        raise UnreadableImageError(f"its shape {array.shape} is not (H, W), (H, W, C) or (C, H, W)")
    return fit_image(Image.fromarray(np.ascontiguousarray(array)), form)


def _whole(array: npt.NDArray[Any]) -> Pixels:
    """As uint8, if it holds just that (numbers that came as JSON do)."""
    if array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() <= 255):
        raise UnreadableImageError(f"its values are {array.dtype}; whole numbers from 0 to 255 are wanted")
    return array.astype(np.uint8)


def _cells(model_input: Any) -> list[Any]:
    """One entry an image of whatever the caller passed."""
    if isinstance(model_input, pd.DataFrame):
        column = "image" if "image" in model_input.columns else model_input.columns[0]
        return list(model_input[column])
    if isinstance(model_input, dict):
        return list(model_input["image"])
    return list(model_input)  # a list, or an array whose first axis counts images


def _softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """(N, K) logits -> (N, K) probabilities."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _onnx(path: Path) -> Callable[[Pixels], Logits]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def logits(images: Pixels) -> Logits:
        answer: Logits = session.run(["logits"], {"images": images})[0]
        return answer

    return logits


def _torch(folder: Path) -> Callable[[Pixels], Logits]:
    import torch

    from src.models.normalization import NormalizedModel
    from src.models.saving import load_model

    network, spec = load_model(folder)
    model = NormalizedModel(network, spec.normalization.shift, spec.normalization.scale).eval()

    def logits(images: Pixels) -> Logits:
        with torch.inference_mode():
            answer: Logits = model(torch.from_numpy(images)).numpy()
        return answer

    return logits


mlflow.models.set_model(ImageClassifier())

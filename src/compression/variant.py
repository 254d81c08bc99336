"""From the base model to one variant: run its steps, check the model, write its files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.compression.artifacts import OnnxModel, StepContext, TorchModel
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.onnx.temperature import divide_logits
from src.compression.parity import Logits, check_parity, is_int8, onnx_logits, torch_logits
from src.compression.result import VariantResult, failed, measure, write_predictions, write_result
from src.compression.steps import run_steps
from src.config.schema.augment import Augment
from src.config.schema.compress import Compress, Step
from src.config.schema.train import Train
from src.data.dataset.arrays import open_array
from src.data.dataset.index import read_held_out, read_index, read_split
from src.data.dataset.spec import require_same_data
from src.evaluation.metrics.temperature import fit_temperature
from src.models.saving import load_model


def read_context(
    base: Path,
    ingest: Path,
    split: Path,
    *,
    train: Train,
    augment: Augment,
    seed: int,
    threads: int,
    device: str,
    state: Path,
    show: bool,
    say: Callable[[str], None],
) -> StepContext:
    """Read the base model and the rows that steps may use; for the rest see `StepContext`.

    Raises:
        AssayError: The base was trained on other data.
    """
    data = require_same_data(base, ingest, split, variants=())
    rows, (splits, _) = read_index(ingest), read_split(split, ingest, data)
    network, spec = load_model(base)
    return StepContext(
        data=data,
        images=open_array(ingest / "images.npy"),
        targets=rows.targets,
        train_rows=rows.ids[splits == "train"],
        val_rows=rows.ids[splits == "val"],
        base=TorchModel(network, replace(spec, temperature=1.0)),  # each variant gets its own
        train=train,
        augment=augment,
        seed=seed,
        threads=threads,
        device=device,
        state=state,
        show=show,
        say=say,
    )


def make_variant(
    steps: Sequence[Step], context: StepContext, limits: Compress, ingest: Path, split: Path, folder: Path
) -> VariantResult:
    """Make a variant and write its files.

    Args:
        steps: applied to ``context.base`` one after the other.
        context: of the variant; each step gets one of its own, derived from it.
        limits: ``tolerance`` and ``agreement``.
        ingest: folder of that stage.
        split: folder of that stage.
        folder: gets ``variant.json``, and ``model.onnx`` and ``predictions.parquet`` if there is a model.
    """
    names = [step.name for step in steps]
    try:
        model = run_steps(steps, context)
    except UnsupportedModelError as error:
        result = failed(names, str(error))
    else:
        result = _measure(names, model, context, limits, ingest, split, folder)
    write_result(folder / "variant.json", result)
    return result


def _measure(
    names: Sequence[str],
    model: OnnxModel,
    context: StepContext,
    limits: Compress,
    ingest: Path,
    split: Path,
    folder: Path,
) -> VariantResult:
    """Measure the model and write it, unless it disagrees with the network that was exported.

    What is tracked of a float model is what that network says: ONNX Runtime's float kernels differ by CPU.
    The other of the two is asked for the validation images only. Both are divided by the temperature.
    """
    held = read_held_out(ingest, split, context.data)
    val, images, int8 = held.validation, context.images[held.ids], is_int8(model.content)
    logits = onnx_logits(model.content, images if int8 else images[val], context.threads)
    expected = torch_logits(model.source, images[val] if int8 else images)
    temperature = _temperature(context, (logits if int8 else expected)[val], held.targets[val])
    model = replace(model, content=divide_logits(model.content, temperature))
    logits, expected = logits / np.float32(temperature), expected / np.float32(temperature)
    tracked = logits if int8 else expected
    parity = check_parity(
        model,
        logits[val] if int8 else logits,
        expected if int8 else expected[val],
        limits.tolerance,
        limits.agreement,
    )
    if parity.reason is not None:
        return failed(names, parity.reason)
    (folder / "model.onnx").write_bytes(model.content)
    normalization = vars(context.base.spec.normalization)
    about = replace(context.data, normalization=normalization)
    write_predictions(folder / "predictions.parquet", held, tracked, about)
    difference = parity.largest_difference if int8 else None
    base_logits = torch_logits(context.base, images[val])
    result = measure(names, model, difference, tracked[val], base_logits, held.targets[val])
    return replace(result, temperature=temperature)


def _temperature(context: StepContext, logits: Logits, targets: NDArray[np.int64]) -> float:
    """Fitted to the variant's own logits (n, K) of the validation images; the parity check sees the rest."""
    if not context.train.temperature_scaling or not np.isfinite(logits).all():
        return 1.0
    return fit_temperature(logits, targets)

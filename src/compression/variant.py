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
from src.config.schema.evaluate import Decision
from src.config.schema.train import Train
from src.data.dataset.arrays import open_array
from src.data.dataset.index import (
    CalibrationRows,
    HeldOutRows,
    read_calibration,
    read_held_out,
    read_index,
    read_split,
)
from src.data.dataset.spec import require_same_data
from src.evaluation.fitted.decision import fit_rule, refuse_impossible
from src.evaluation.fitted.temperature import fit_temperature
from src.evaluation.metrics.classification import softmax
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
    weights: Path,
    features: Path | None,
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
        weights=weights,
        features=features,
        state=state,
        show=show,
        say=say,
    )


def make_variant(
    steps: Sequence[Step],
    context: StepContext,
    limits: Compress,
    decision: Decision,
    ingest: Path,
    split: Path,
    folder: Path,
) -> VariantResult:
    """Make a variant and write its files.

    Args:
        steps: applied to ``context.base`` one after the other.
        context: of the variant; each step gets one of its own, derived from it.
        limits: ``tolerance`` and ``agreement``.
        decision: how probabilities become an answer.
        ingest: folder of that stage.
        split: folder of that stage.
        folder: gets ``variant.json``, and ``model.onnx`` and ``predictions.parquet`` if there is a model.

    Raises:
        AssayError: the images do not allow such a decision rule.
    """
    names, fitting = [step.name for step in steps], read_calibration(ingest, split, context.data)
    refuse_impossible(decision, context.base.spec.classes, fitting.targets)  # before a training, not after
    try:
        model = run_steps(steps, context)
    except UnsupportedModelError as error:
        result = failed(names, str(error))
    else:
        held = read_held_out(ingest, split, context.data)
        result = _measure(names, model, context, limits, decision, held, fitting, folder)
    write_result(folder / "variant.json", result)
    return result


def _measure(
    names: Sequence[str],
    model: OnnxModel,
    context: StepContext,
    limits: Compress,
    decision: Decision,
    held: HeldOutRows,
    fitting: CalibrationRows,
    folder: Path,
) -> VariantResult:
    """Measure the model and write it, unless it disagrees with the network that was exported.

    What is tracked of a float model is what that network says: ONNX Runtime's float kernels differ by CPU.
    The other of the two is asked for the validation images only. Both are divided by the temperature.
    """
    val, images, int8 = held.validation, context.images[held.ids], is_int8(model.content)
    logits = onnx_logits(model.content, images if int8 else images[val], context.threads)
    expected = torch_logits(model.source, images[val] if int8 else images)
    own = _fitting_logits(model, context, fitting, (logits if int8 else expected)[val])
    temperature = _temperature(context, own, fitting.targets)
    model = replace(model, content=divide_logits(model.content, temperature))
    scale = np.float32(temperature)
    logits, expected = logits / scale, expected / scale
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
    classes = context.base.spec.classes
    rule = fit_rule(decision, softmax(own / scale), fitting.targets, classes, fitting.split)
    return replace(result, temperature=temperature, decision=rule)


def _fitting_logits(
    model: OnnxModel, context: StepContext, fitting: CalibrationRows, validated: Logits
) -> Logits:
    """The logits (n, K) that are tracked for the images to fit to; ``validated`` are those of validation."""
    if fitting.split == "val":
        return validated
    images = context.images[fitting.ids]
    if is_int8(model.content):
        return onnx_logits(model.content, images, context.threads)
    return torch_logits(model.source, images)


def _temperature(context: StepContext, logits: Logits, targets: NDArray[np.int64]) -> float:
    """Fitted to the variant's own logits (n, K); the parity check sees whether they are finite."""
    if not context.train.temperature_scaling or not np.isfinite(logits).all():
        return 1.0
    return fit_temperature(logits, targets)

"""The base model's answers for corrupted test images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.config.schema.evaluate import CorruptionName
from src.core.progress import progress_bar
from src.data.dataset.arrays import open_array
from src.evaluation.metrics.classification import Integers, predict
from src.evaluation.robustness.corruptions import SEVERITIES, corrupt
from src.models.inference import predict_logits
from src.models.saving import load_model

Answers = dict[tuple[CorruptionName, int], Integers]  # {(corruption, severity): class of each image, (n,)}

MOST_VALUES = 2**22  # of images that are corrupted at once, which takes some hundred MB


def predict_corrupted(
    names: Sequence[CorruptionName],
    ids: NDArray[np.int64],
    model: Path,
    images: Path,
    *,
    batch_size: int,
    device: str,
    seed: int,
    show: bool,
) -> Answers:
    """Run the saved model on images with each corruption at each severity.

    Args:
        names: of the corruptions.
        ids: (n,) rows of the image array.
        model: folder of the model.
        images: file of the image array, (N, C, H, W).
        batch_size: images per batch.
        device: auto, cpu, cuda or cuda:N.
        seed: what is random in a corruption derives from it and the id of the image.
        show: whether to draw a progress bar.
    """
    network, spec = load_model(model)
    array = open_array(images)
    size = min(batch_size, max(1, MOST_VALUES // int(np.prod(array.shape[1:]))))
    answers: Answers = {(name, severity): np.empty_like(ids) for name in names for severity in SEVERITIES}
    with progress_bar("Corrupting", total=len(ids) * len(answers), show=show) as advance:
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            for (name, severity), found in answers.items():
                changed = corrupt(array[some], some, name, severity, seed)
                logits = predict_logits(network, spec, changed, np.arange(len(some)), device=device)
                found[start : start + len(some)] = predict(logits.astype(np.float64))
                advance(len(some))
    return answers

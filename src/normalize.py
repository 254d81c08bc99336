"""Compute the statistics of the training pixels that normalize the input.

    python -m src.normalize                   what DVC runs
    python -m src.normalize normalize=minmax  an ad-hoc run, into outputs/normalize/

normalize.method=pretrained takes the statistics that model.weights were trained with instead.

Only rows of the split `train` are read, so validation and test images cannot influence the result.
Takes well under a second for 70,000 images of 28×28; memory does not grow with the number of images.
Writes normalization.json (per channel, pixels in 0…1). Fashion-MNIST: mean 0.286, std 0.353.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING

from src.core.files import write_json
from src.core.wording import counted
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.paths import INGEST, SPLIT, WEIGHTS

if TYPE_CHECKING:
    from src.config.schema import Config
    from src.data.dataset.statistics import Floats


def build(config: "Config", run: StageRun) -> None:
    """Write the folder of the stage."""
    from src.data.dataset.arrays import open_array
    from src.data.dataset.index import read_training_rows
    from src.data.dataset.spec import describe_split
    from src.data.dataset.statistics import channel_statistics, normalization

    data = describe_split(INGEST, SPLIT)
    images, rows = open_array(INGEST / "images.npy"), read_training_rows(SPLIT, INGEST, data)
    method = config.normalize.method
    known = _pretrained(config, images.shape[1]) if method == "pretrained" else None
    result = normalization(channel_statistics(images, rows, run.progress), method, known)
    write_json(run.folder / "normalization.json", result | {"data": asdict(data)})
    for note in result["notes"]:
        run.say(f"note: {note}")
    pairs = zip(result["mean"], result["std"], strict=True)
    channels = ", ".join(f"{mean:.4f} ± {std:.4f}" for mean, std in pairs)
    run.say(
        f"{result['method']}: mean and standard deviation {channels} of {counted(result['images'], 'image')}"
    )


def _pretrained(config: "Config", channels: int) -> "tuple[Floats, Floats]":
    """Shift and scale that the weights to start from were trained with."""
    from src.pretrained.files import pretrained_normalization

    return pretrained_normalization(config.model, WEIGHTS, channels)


if __name__ == "__main__":
    run_stage("normalize", build, __doc__)

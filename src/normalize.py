"""Compute the statistics of the training pixels, from which the input is normalized.

Only rows of the split `train` are read, so validation and test images cannot influence it.

    python -m src.normalize                   as dvc repro does it
    python -m src.normalize normalize=minmax  by hand, below outputs/

Cost: well under a second for 70,000 images of 28×28; memory does not grow with the images.
Writes normalization.json (per channel, pixels in 0…1). Fashion-MNIST: mean 0.286, std 0.353.
"""

from typing import TYPE_CHECKING

from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from src.config.schema import Config


def build(config: "Config", run: StageRun) -> None:
    import json
    from pathlib import Path

    import numpy as np
    from pyarrow import parquet

    from src.data.dataset.arrays import open_array
    from src.data.dataset.statistics import channel_statistics, normalization_from

    images = open_array(Path("data/ingest/images.npy"))
    # ParquetFile, not read_table: that would import pandas, for half a second
    table = parquet.ParquetFile("data/split/splits.parquet").read(["id", "split"]).to_pydict()
    rows = np.array(table["id"])[np.array(table["split"]) == "train"]
    statistics = channel_statistics(images, rows, run.progress)
    shift, scale, notes = normalization_from(statistics, config.normalize.method)
    normalization = {
        "method": config.normalize.method,
        "images": statistics.images,
        "mean": statistics.mean.tolist(),
        "std": statistics.std.tolist(),
        "min": statistics.min.tolist(),
        "max": statistics.max.tolist(),
        "shift": shift.tolist(),
        "scale": scale.tolist(),
        "notes": notes,
    }
    text = json.dumps(normalization, indent=2) + "\n"
    (run.folder / "normalization.json").write_text(text, encoding="utf-8")
    for note in notes:
        run.say(f"note: {note}")
    channels = ", ".join(
        f"{mean:.4f} ± {std:.4f}" for mean, std in zip(statistics.mean, statistics.std, strict=True)
    )
    run.say(f"{config.normalize.method}: mean and deviation {channels} of {statistics.images:,} images")


if __name__ == "__main__":
    run_stage("normalize", build, __doc__)

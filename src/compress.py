"""Make one compressed variant of the base model, and check that it says what the base says.

    python -m src.compress onnx_fp32

Writes models/VARIANT/: model.onnx (takes uint8 images, gives logits; the normalization is inside), model.json
(classes and input), variant.json (figures) and predictions.parquet. Takes about ten seconds, most of them
imports. A method that cannot do a model ends with `status: failed`, its reason, and exit code 0.
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from src.execution import Execution, execute

if TYPE_CHECKING:
    import pandas as pd

    from src.schema import Config

BASE, INGEST = Path("models/base"), Path("data/ingest")


def build(config: "Config", run: Execution) -> None:
    """Export the base, compare both on the validation images, and write what was found."""
    import numpy as np
    import pandas as pd
    import torch

    from src.compression.variant import export_variant
    from src.data.store import open_array
    from src.models.normalized import NormalizedModel
    from src.models.store import load_model
    from src.training.device import deterministic, numerics, resolve_threads
    from src.training.predict import predict_logits

    assert run.variant is not None  # the command line asks for it
    threads = resolve_threads(config.train.threads)
    network, spec = load_model(BASE)
    table = _held_out()
    rows = table["id"].to_numpy()
    images = np.ascontiguousarray(open_array(INGEST / "images.npy")[rows])
    with deterministic(threads):
        base_logits = predict_logits(
            network, spec, images, np.arange(len(rows)), device="cpu", show=run.progress
        )
        variant, logits = export_variant(
            model=NormalizedModel(network.cpu(), spec.normalization.shift, spec.normalization.scale),
            base_logits=base_logits,
            images=images,
            targets=table["target"].to_numpy(),
            validation=(table["split"] == "val").to_numpy(),
            steps=config.compress.variants[run.variant].steps,
            tolerance=config.compress.tolerance,
            threads=threads,
            path=run.folder / "model.onnx",
        )
    shutil.copy(BASE / "model.json", run.folder)
    (run.folder / "variant.json").write_text(json.dumps(asdict(variant), indent=2) + "\n", encoding="utf-8")
    predictions = pd.DataFrame(logits, columns=[f"logit_{k}" for k in range(logits.shape[1])])
    table.assign(predicted=logits.argmax(1)).join(predictions).to_parquet(
        run.folder / "predictions.parquet", index=False
    )
    place = numerics(torch.device("cpu"), threads, "fp32")
    run.note(metrics=variant.figures(), model=run.folder, numerics=place, status=variant.status)
    run.say(
        f"{variant.reason or 'agrees with the base'}; {variant.bytes:,} bytes, "
        f"validation accuracy {variant.validation_accuracy:.4f}"
    )


def _held_out() -> "pd.DataFrame":
    """Columns id, split, target of the validation and test images."""
    import numpy as np
    import pandas as pd

    from src.data.labelled_rows import read_labelled_rows, read_split

    rows, (split, _) = read_labelled_rows(INGEST), read_split(Path("data/split"))
    held = np.isin(split, ("val", "test"))
    return pd.DataFrame({"id": rows.ids[held], "split": split[held], "target": rows.targets[held]})


if __name__ == "__main__":
    execute("compress", build, __doc__)

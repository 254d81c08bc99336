"""Small real models and images on disk, as the stages before compare and benchmark leave them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from src.compression.onnx.export import export_onnx
from src.compression.parity import onnx_logits
from src.compression.result import VariantResult, failed, write_result
from src.config.schema.model import Lenet
from src.models.build import build_model
from src.models.normalization import NormalizedModel
from src.models.saving import Input, ModelSpec, Normalization, save_model
from src.models.size import measure_size

CLASSES = [str(digit) for digit in range(10)]
LENET = Lenet(kind="lenet", activation="relu", dropout=0.0)
SHIFT, SCALE = [0.3], [0.4]


def lenet(seed):
    """Untrained, but with all classes about equally often."""
    torch.manual_seed(seed)
    network = build_model(LENET, 1, len(CLASSES), (8, 8)).eval()
    pictures = torch.from_numpy(noise(200))
    with torch.inference_mode():
        mean = NormalizedModel(network, SHIFT, SCALE)(pictures).mean(0)
    list(network.parameters())[-1].data -= mean
    return network


def normalized(seed):
    return NormalizedModel(lenet(seed), SHIFT, SCALE).eval()


def noise(count):
    return np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)


def write_data(root: Path, images=400):
    """Random images whose label is mostly what the base says: otherwise all accuracies would be chance."""
    random = np.random.default_rng(0)
    pictures = noise(images)
    with torch.inference_mode():
        said = normalized(0)(torch.from_numpy(pictures)).argmax(1).numpy()
    targets = np.where(random.random(images) < 0.8, said, random.integers(0, 10, images)).astype(np.int64)
    for folder in ("data/ingest", "data/split", "data/normalize", "sweep", "models"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    np.save(root / "data/ingest/images.npy", pictures)
    pd.DataFrame({"id": np.arange(images), "target": targets}).assign(
        source="s", sha256="0", given_split=None, group=None
    ).to_parquet(root / "data/ingest/manifest.parquet", index=False)
    names = np.array(["train", "val", "test", "val"])[np.arange(images) % 4]
    pd.DataFrame({"id": np.arange(images), "split": names, "fold": 0}).to_parquet(
        root / "data/split/splits.parquet", index=False
    )
    (root / "data/ingest/report.json").write_text(
        json.dumps({"name": "digits", "kept": images, "classes": CLASSES})
    )
    (root / "data/normalize/normalization.json").write_text("{}")
    (root / "sweep/best.yaml").write_text("{}")
    return pictures, targets, names


def write_base(root: Path):
    spec = ModelSpec(LENET, CLASSES, Input(1, 8, 8, "pad", 10**6), Normalization(SHIFT, SCALE))
    save_model(root / "models/base", lenet(0), spec)
    (root / "models/base/history.csv").write_text("epoch,val/accuracy\n1,0.5\n")


def write_variant(root: Path, name: str, seed=0, steps=("export",)):
    """An exported network: with seed 0 it is the base's, with another one it says something else."""
    folder, images = root / "models" / name, np.load(root / "data/ingest/images.npy")
    folder.mkdir()
    model, path = normalized(seed), folder / "model.onnx"
    export_onnx(model, torch.from_numpy(images[:2]), path)
    splits = pd.read_parquet(root / "data/split/splits.parquet")
    held = splits["split"].isin(["val", "test"]).to_numpy()
    logits = onnx_logits(path, images[held], threads=1)
    manifest = pd.read_parquet(root / "data/ingest/manifest.parquet")
    table = pd.DataFrame({"id": splits["id"], "split": splits["split"], "target": manifest["target"]})[held]
    table = table.reset_index(drop=True).assign(predicted=logits.argmax(1))
    table = table.join(pd.DataFrame(logits, columns=[f"logit_{k}" for k in range(logits.shape[1])]))
    table.to_parquet(folder / "predictions.parquet", index=False)
    size = measure_size(model, torch.zeros(1, 1, 8, 8), path.read_bytes())
    result = VariantResult(list(steps), metrics={"val/accuracy": 0.5, **size.to_metrics()})
    write_result(folder / "variant.json", result)


def write_failed(root: Path, name: str, reason: str):
    (root / "models" / name).mkdir()
    write_result(root / "models" / name / "variant.json", failed(["quantize_aware_train", "export"], reason))

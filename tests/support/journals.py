"""Journals as stages write them, for the tests of tracking: real files, tiny content."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from src.core.hashing import json_hash
from src.core.processes import process_identity
from src.provenance.journal import RunRecord
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import MlflowStore
from src.tracking.run_sync import SyncResult

CLASSES = ["circle", "cross", "dot"]
SIZE = 8  # pixels, both sides


def count(results: list[SyncResult], done: str) -> int:
    """How many runs were created, refreshed, unchanged or waiting."""
    return sum(result.done == done for result in results)


def nothing(store: MlflowStore, journal: JournalIndex) -> None:
    """For a rebuild of the runs alone."""


def record(stage: str, lineage: str, **changes: Any) -> dict[str, Any]:
    """What `src.pipeline.execution` writes at the start of a stage."""
    return {
        "stage": stage,
        "address": stage,
        "variant": None,
        "name": f"{stage}-{lineage[:8]}",
        "command": f"python -m src.{stage}",
        "ad_hoc": False,
        "lineage": lineage,
        "parents": {"normalize": lineage_of("normalize")},
        "subject": lineage,
        "process": process_identity(),
        "user": "somebody",
        "dvc_experiment": None,
        "git": {"commit": "c0ffee", "branch": "main", "dirty": ["src/train.py"]},
        "numerics": {"torch": "2.13.0", "capability": "AVX512", "threads": 2},
        "experiment": "shapes",
        "seed": 7,
        "data": {"name": "shapes", "source": "data/raw/shapes", "digest": json_hash("shapes"), "images": 60},
        "params": {"train.epochs": 3, "model.kind": "cnn", "seed": 7},
        "metrics": {},
        "tags": {},
        "figures": [],
        "model": None,
        "outputs": {},
        **changes,
    }


def lineage_of(name: str) -> str:
    """A lineage id that looks like one."""
    return json_hash(name)


def begin(root: Path, stage: str = "train", name: str = "one", **changes: Any) -> RunRecord:
    """An attempt that runs."""
    return RunRecord.open(root, record(stage, lineage_of(name), **changes))


def add_epochs(attempt: RunRecord, epochs: range) -> list[dict[str, float]]:
    """Write a row for each epoch, as if one learnt something."""
    return [
        attempt.add_epoch({"epoch": epoch, "train/loss": 1 / (1 + epoch), "val/accuracy": epoch / 10})
        for epoch in epochs
    ]


def finish(attempt: RunRecord, weights: str = "w", **changes: Any) -> None:
    """End the attempt well, with outputs."""
    attempt.update(
        outputs={"model.safetensors": json_hash(weights), "model.json": json_hash("spec")}, **changes
    )
    attempt.close("FINISHED")


def trained(root: Path, name: str = "one", epochs: int = 3) -> RunRecord:
    """A training from start to end."""
    attempt = begin(root, "train", name)
    add_epochs(attempt, range(epochs))
    finish(attempt, metrics={"val/accuracy": 0.2})
    return attempt


def begin_search(root: Path, stage: str = "sweep", **changes: Any) -> RunRecord:
    """A sweep or a cross-validation that runs."""
    attempt = begin(root, stage, stage)
    attempt.update(name=f"{stage}-cnn-{lineage_of(stage)[:8]}", **changes)
    return attempt


def end_search(attempt: RunRecord, best: int = 0, status: str = "FINISHED", weights: str = "w") -> None:
    """Name the best trial, and end."""
    attempt.update(
        tags={"best.lineage": child_lineage("sweep", best)}, outputs={"trials.csv": json_hash(weights)}
    )
    attempt.close(status)


def child_lineage(parent: str, *index: int) -> str:
    """The lineage of a trial (number) or fold (repeat, fold), as the stages make it."""
    return json_hash([lineage_of(parent), "trial" if parent == "sweep" else "fold", *index])


def begin_child(root: Path, *index: int, parent: str = "sweep", **changes: Any) -> RunRecord:
    """A trial of the sweep, or a fold of the cross-validation, that runs."""
    stage = "trial" if parent == "sweep" else "fold"
    lineage, above = child_lineage(parent, *index), lineage_of(parent)
    own = {
        "name": f"trial-{index[0]:03d}" if stage == "trial" else f"fold-{index[0]}-{index[1]}",
        "command": f"python -m src.{parent}",
        "parent": above,
        "parents": {parent: above},
        "params": {"train.optimizer.lr": 0.1 / (1 + index[-1]), "model.dropout": 0.5},
        "tags": {f"{stage}.number": str(index[-1])},
    }
    return RunRecord.open(root, record(stage, lineage, **own | changes))


def end_child(attempt: RunRecord, state: str = "complete", outcome: str = "o", **changes: Any) -> str:
    """End a trial or fold; returns its lineage."""
    status, reason = ("FAILED", "loss is NaN in epoch 2") if state == "failed" else ("FINISHED", None)
    attempt.update(tags={"trial.state": state}, **changes)
    if status == "FINISHED":
        attempt.update(outputs={"outcome.json": json_hash([attempt.record["lineage"], outcome])})
    attempt.close(status, reason)
    return str(attempt.record["lineage"])


def tried(root: Path, number: int, state: str = "complete", outcome: str = "o") -> str:
    """A trial from start to end; returns its lineage."""
    attempt = begin_child(root, number)
    add_epochs(attempt, range(3))
    metrics = {} if state == "failed" else {"val/accuracy": 0.2, "model/bytes": 1000.0}
    return end_child(attempt, state, outcome, metrics=metrics)


def evaluated(
    root: Path, tmp: Path, accuracy: float = 0.9, subject: str = "one", **changes: Any
) -> RunRecord:
    """An evaluation of the training ``subject``."""
    parents = {"train": lineage_of(subject)}
    attempt = begin(root, "evaluate", f"evaluate {subject}", parents=parents, **changes)
    figure = tmp / "confusion.png"
    figure.write_bytes(png(np.zeros((SIZE, SIZE), np.uint8)))
    attempt.add_figures([figure])
    attempt.update(subject=lineage_of(subject), metrics={"test/accuracy": accuracy})
    finish(attempt)
    return attempt


def compressed(
    root: Path, folder: Path, name: str = "one", variant: str = "onnx_fp32", int8: bool = False
) -> RunRecord:
    """A compression of the training ``name``, with a real ONNX model made in ``folder``."""
    parents = {"train": lineage_of(name), "ingest": lineage_of("ingest")}
    own = f"onnx {name}" if variant == "onnx_fp32" else f"{variant} {name}"
    address = f"compress@{variant}"
    attempt = begin(root, "compress", own, parents=parents, variant=variant, address=address)
    make_int8_variant(folder) if int8 else make_variant(folder, variant)
    attempt.add_model(folder)
    finish(attempt, metrics={"val/accuracy": 0.8})
    return attempt


def make_variant(folder: Path, name: str = "shades") -> None:
    """``model.onnx``, ``model.json`` and ``variant.json`` of a model that tells three shades apart.

    Another name makes other bytes. Dark images are `circle`, middle ones `cross`, bright ones `dot`.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir(parents=True, exist_ok=True)
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=1),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Sub", ["flat", "centres"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["distance"]),
        helper.make_node("Mul", ["distance", "sharpness"], ["logits"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "centres": np.array([[0, 128, 255]], np.float32),
        "sharpness": np.array([-0.1], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    size = {"channels": 1, "height": SIZE, "width": SIZE, "resize_mode": "pad", "max_pixels": 10**6}
    (folder / "model.json").write_text(json.dumps({"classes": CLASSES, "input": size}), encoding="utf-8")
    variant = {"status": "ok", "val": {"accuracy": 0.8}}
    (folder / "variant.json").write_text(json.dumps(variant), encoding="utf-8")


def make_int8_variant(folder: Path) -> None:
    """The same as :func:`make_variant`, by a product of int8 numbers: the class with the nearest centre."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    make_variant(folder)
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=1),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("QuantizeLinear", ["flat", "one", "zero"], ["quantized"]),
        helper.make_node("DequantizeLinear", ["quantized", "one", "zero"], ["shade"]),
        helper.make_node("DequantizeLinear", ["weights", "scale", "middle"], ["twice the centres"]),
        helper.make_node("MatMul", ["shade", "twice the centres"], ["product"]),
        helper.make_node("Sub", ["product", "squares"], ["logits"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3], np.int64),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.uint8),
        "weights": np.array([[0, 64, 127]], np.int8),
        "scale": np.array(4, np.float32),
        "middle": np.array(0, np.int8),
        "squares": np.array([[0, 128**2, 254**2]], np.float32),
    }
    model = onnx.load(folder / "model.onnx")
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")


def png(pixels: np.ndarray) -> bytes:
    """An encoded image."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()

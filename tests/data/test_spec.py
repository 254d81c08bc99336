"""Artifacts are joined only when they are of the same data: every place that joins two refuses others."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from src import benchmark, compare, normalize
from src.auditing.checks import metrics
from src.auditing.verdict import CheckLog
from src.compression.variant import make_variant, read_context
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.core.hashing import file_hash
from src.data.dataset import spec as specs
from src.data.dataset.index import read_held_out, read_training_rows
from src.data.dataset.spec import (
    DataSpec,
    describe_data,
    describe_model,
    describe_predictions,
    describe_split,
    differences,
    read_spec,
    require_match,
    require_same_data,
    with_spec,
)
from src.evaluation.predictions import predict_images
from src.leaderboard.speed.benchmark import read_images
from src.leaderboard.table.rows import LeaderboardRow, write_rows
from src.registry import variant_answers
from src.training.task import read_task
from tests.support.models_on_disk import CLASSES, write_base, write_data, write_variant
from tests.support.workspaces import ROOT

SPEC = DataSpec(
    classes=["a", "b"],
    input={"channels": 1, "height": 8, "width": 8, "resize_mode": "pad", "pad": "black"},
    normalization={"shift": [0.1], "scale": [0.2]},
    images="1" * 64,
    split="2" * 64,
)
OTHERS = {
    "classes": {"classes": ["b", "a"]},
    "channels": {"input": {"channels": 3}},
    "height": {"input": {"height": 9}},
    "width": {"input": {"width": 9}},
    "resize_mode": {"input": {"resize_mode": "crop"}},
    "normalization": {"normalization": {"shift": [0.1], "scale": [0.3]}},
    "images": {"images": "3" * 64},
    "split": {"split": "3" * 64},
}


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_differs_is_refused_by_name(name):
    other = DataSpec(**OTHERS[name])
    assert [what for what, _, _ in differences(SPEC, other)] == [name]
    with pytest.raises(AssayError, match=rf"do not belong together:\n  {name}: here has .*, there has "):
        require_match((Path("here"), SPEC), (Path("there"), other))


def test_what_is_equal_or_not_stated_is_no_difference():
    require_match((Path("here"), SPEC), (Path("there"), SPEC), (Path("old"), DataSpec()))
    require_match((Path("old"), DataSpec()), (Path("there"), SPEC))


def test_all_differences_are_listed():
    other = DataSpec(["a", "c"], {"height": 9}, images="3" * 64)
    with pytest.raises(AssayError) as caught:
        require_match((Path("here"), SPEC), (Path("one"), other), (Path("two"), other))
    assert str(caught.value).count("classes: here has a, b, ") == 2
    assert str(caught.value).count("height: here has 8, ") == 2


def test_a_table_says_what_it_is_of(tmp_path):
    table = pa.table({"id": [0]}).replace_schema_metadata({"other": "stays"})
    parquet.write_table(with_spec(table, SPEC), tmp_path / "table.parquet")
    assert read_spec(tmp_path / "table.parquet") == SPEC
    assert parquet.read_schema(tmp_path / "table.parquet").metadata[b"other"] == b"stays"
    parquet.write_table(table, tmp_path / "old.parquet")
    assert read_spec(tmp_path / "old.parquet") == DataSpec()
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1")
    with pytest.raises(AssayError, match=r"damaged\.parquet cannot be read"):
        read_spec(tmp_path / "damaged.parquet")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Images, split, base and a variant that belong together and say so."""
    root = tmp_path_factory.mktemp("repository")
    write_data(root)
    write_base(root)
    write_variant(root, "onnx_fp32")
    ingest, split = root / "data/ingest", root / "data/split"
    label(split / "splits.parquet", describe_data(ingest))
    edit_json(root / "data/normalize/normalization.json", shift=[0.0], scale=[1.0])
    data = describe_split(ingest, split)
    model = root / "models/base/model.json"
    content = json.loads(model.read_text()) | {"trained_on": {"images": data.images, "split": data.split}}
    model.write_text(json.dumps(content))
    label(root / "models/onnx_fp32/predictions.parquet", describe_predictions(root / "models/base", data))
    return root


@pytest.fixture
def joined(original, tmp_path, monkeypatch):
    root = shutil.copytree(original, tmp_path / "repository")
    monkeypatch.chdir(root)
    return root


def label(path, spec):
    parquet.write_table(with_spec(parquet.read_table(path), spec), path)


def edit_json(path, **content):
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


def rename_class(root):
    """Ingest again after a rename that keeps the number of classes; all else stays as it was."""
    edit_json(root / "data/ingest/report.json", classes=[*CLASSES[:-1], "nine"])


JOB = SimpleNamespace(loaded=SimpleNamespace(is_ad_hoc=True))
INGEST, SPLIT, NORMALIZE, BASE, WEIGHTS = (
    Path("data/ingest"),
    Path("data/split"),
    Path("data/normalize"),
    Path("models/base"),
    Path("data/weights"),
)
UNWEIGHTED = SimpleNamespace(weights=None)  # a model that starts at random
JOINS = {
    "normalize": lambda: read_training_rows(SPLIT, INGEST),
    "train": lambda: read_task(UNWEIGHTED, None, None, 0, INGEST, SPLIT, NORMALIZE, WEIGHTS),
    "evaluate": lambda: predict_images("test", BASE, INGEST, SPLIT, batch_size=99, device="cpu", show=False),
    "compress": lambda: read_context(
        *(BASE, INGEST, SPLIT),
        **dict.fromkeys(
            ("train", "augment", "seed", "threads", "device", "weights", "features", "state", "show", "say")
        ),
    ),
    "compare": lambda: require_same_data(BASE, INGEST, SPLIT, [Path("models/onnx_fp32")]),
    "held out": lambda: read_held_out(INGEST, SPLIT),
    "benchmark": lambda: read_images(INGEST / "images.npy", SPLIT, 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("join", JOINS)
def test_a_renamed_class_is_never_counted_as_another(joined, join):
    JOINS[join]()
    rename_class(joined)
    with pytest.raises(
        AssayError, match=r"classes: data/ingest has 0, .* nine, (data/split|models/base) has"
    ):
        JOINS[join]()


@pytest.mark.parametrize("join", ["evaluate", "compress", "compare"])
@pytest.mark.parametrize("change", ["split", "images"])
def test_a_model_is_not_given_the_images_that_it_was_trained_on(joined, join, change):
    """Another split of the same images would test the model on what it has learned."""
    table = joined / "data/split/splits.parquet"
    if change == "split":
        splits = pd.read_parquet(table)
        splits.assign(split=splits["split"].to_numpy()[::-1]).to_parquet(table, index=False)
    else:
        manifest = joined / "data/ingest/manifest.parquet"
        pd.read_parquet(manifest).assign(sha256="1").to_parquet(manifest, index=False)
        label(table, describe_data(joined / "data/ingest"))
    with pytest.raises(AssayError, match=f"{change}: data/ingest has .* models/base has"):
        JOINS[join]()


def test_predictions_of_another_base_are_refused(joined):
    content = json.loads((joined / "models/base/model.json").read_text())
    edit_json(joined / "models/base/model.json", normalization=content["normalization"] | {"shift": [0.9]})
    with pytest.raises(AssayError, match=r"normalization: models/base has .* models/onnx_fp32/predictions"):
        JOINS["compare"]()


def test_a_model_says_what_it_takes(joined):
    spec = describe_model(BASE)
    assert spec.classes == CLASSES and spec.normalization == {"shift": [0.3], "scale": [0.4]}
    assert spec.input == {"channels": 1, "height": 8, "width": 8, "resize_mode": "pad", "pad": "black"}
    for damage in ('{"input": {}, "classes": []}', "{", "{}", "[]", '{"input": []}'):
        (BASE / "model.json").write_text(damage)
        with pytest.raises(AssayError, match=r"models/base/model\.json cannot be read .*dvc checkout"):
            describe_model(BASE)


def only_fp32():
    """A configuration with one variant."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train"]["precision"] = "fp32"  # pytest's own process is not held to AVX2
    values["compress"]["variants"] = {"onnx_fp32": {"steps": [{"name": "export"}]}}
    return validate_config(values, "params.yaml")


@pytest.mark.parametrize("stage", ["compare", "benchmark", "register"])
def test_stages_that_join_predictions_ask_first(joined, stage):
    label(Path("models/onnx_fp32/predictions.parquet"), DataSpec(classes=["other"]))
    config, run = only_fp32(), SimpleNamespace(progress=False, job=JOB)
    shutil.copy(BASE / "model.json", "models/onnx_fp32")
    Path("reports/compare").mkdir(parents=True)
    write_rows(Path("reports/compare/variants.csv"), [LeaderboardRow("onnx_fp32", ("export",), {})])
    ask = {
        "compare": lambda: compare.build(config, run),
        "benchmark": lambda: benchmark.build(config, run),
        "register": lambda: variant_answers.read_answers(["onnx_fp32"]),
    }
    with pytest.raises(AssayError, match=r"classes: models/\w+ has 0, 1, "):
        ask[stage]()


def compress_fp32(config, folder):
    """What the stage compress does."""
    settings = {"train": config.train, "augment": config.augment, "seed": 0, "threads": 1, "device": "cpu"}
    show = {"weights": WEIGHTS, "features": None, "show": False, "say": lambda line: None}
    context = read_context(BASE, INGEST, SPLIT, **settings, state=folder / "state", **show)
    steps = config.compress.variants["onnx_fp32"].steps
    decision = config.evaluate.decision
    result = make_variant(steps, context, config.compress, decision, INGEST, SPLIT, folder)
    assert result.reason is None


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["normalize", "evaluate", "compress", "compare", "register"])
def test_a_stage_hashes_the_manifest_once(joined, monkeypatch, tmp_path, stage):
    """It has a row for each image, of which there may be millions."""
    hashed, config = [], only_fp32()
    monkeypatch.setattr(specs, "file_hash", lambda path: hashed.append(path.name) or file_hash(path))
    monkeypatch.setattr(variant_answers, "image_names", np.array)  # the digests here are no hashes
    shutil.copy(BASE / "model.json", "models/onnx_fp32")
    said = SimpleNamespace(say=lambda line: None, log_for=lambda *args: None)
    run = SimpleNamespace(folder=tmp_path, progress=False, job=JOB, **vars(said))
    {
        "normalize": lambda: normalize.build(config, run),
        "evaluate": JOINS["evaluate"],
        "compress": lambda: compress_fp32(config, tmp_path),
        "compare": lambda: compare.build(config, run),
        "register": lambda: variant_answers.read_answers(["onnx_fp32"]),
    }[stage]()
    assert hashed.count("manifest.parquet") == 1


def test_an_audit_names_what_differs(joined):
    subject, seen = SimpleNamespace(folder=joined), CheckLog()
    predictions = joined / "models/onnx_fp32/predictions.parquet"
    assert metrics._same_data(subject, joined / BASE, predictions, seen) and not seen.findings
    rename_class(joined)
    assert not metrics._same_data(subject, joined / BASE, predictions, seen)
    assert [finding.what for finding in seen.findings] == [
        "classes of the model",
        "classes of its predictions",
    ]


def test_a_training_takes_no_normalization_of_another_split(joined):
    other = asdict(DataSpec(split="0" * 64))
    Path("data/normalize/normalization.json").write_text(json.dumps({"data": other}))
    with pytest.raises(AssayError, match=r"split: data/ingest has .* data/normalize has 0000"):
        read_task(UNWEIGHTED, None, None, 0, INGEST, SPLIT, NORMALIZE, WEIGHTS)

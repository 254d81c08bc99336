"""Weights to start from are an input like any other: the pipeline notices when they change."""

import json
import re
import shutil

import pytest
import yaml
from safetensors.torch import load_file, save_file

from src.core.hashing import file_hash

SETTINGS = ("experiment=tiny", "model.weights=mine.safetensors", "sweep=none", "augment=none")


@pytest.fixture
def pretrained(copy):
    """The finished pipeline with the base's weights in data/weights, to start from."""
    shutil.copy(copy / "models/base/model.safetensors", copy / "data/weights/mine.safetensors")
    copy.compose(*SETTINGS, "train.finetune.layers=head")
    return copy


def train(workspace):
    shutil.rmtree(workspace / "models/base", ignore_errors=True)
    workspace.run("python", "-m", "src.sweep")
    workspace.run("python", "-m", "src.train")
    return json.loads((workspace / "models/base/model.json").read_text())


@pytest.mark.prove
def test_other_weights_are_another_training(pretrained):
    path = pretrained / "data/weights/mine.safetensors"
    first, before = train(pretrained), load_file(path)
    assert first["started_from"] == {"file": "mine.safetensors", "sha256": file_hash(path)}
    after = load_file(pretrained / "models/base/model.safetensors")
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert changed == {name for name in after if name.startswith("5.")}  # the head alone was trained

    save_file({name: value * 1.5 for name, value in before.items()}, path)
    status = pretrained.run("dvc", "status", "train").stdout
    assert "data/weights" in status
    assert train(pretrained)["started_from"]["sha256"] == file_hash(path)
    again = load_file(pretrained / "models/base/model.safetensors")
    assert not again["0.0.weight"].equal(after["0.0.weight"])  # not the old model from the state


@pytest.mark.prove
def test_missing_weights_are_named_before_anything_is_trained(pretrained):
    (pretrained / "data/weights/mine.safetensors").unlink()
    pretrained.run("python", "-m", "src.sweep")
    failed = pretrained.run("python", "-m", "src.train", check=False)
    assert failed.returncode == 1
    assert "model.weights=mine.safetensors: data/weights/mine.safetensors is missing" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.prove
def test_features_of_a_frozen_backbone_are_shared_by_folds_and_trainings(pretrained):
    """With the statistics of the weights all folds see the same images, so one file is enough."""
    folder = pretrained / "data/weights"
    normalization = json.loads((pretrained / "models/base/model.json").read_text())["normalization"]
    (folder / "mine.json").write_text(json.dumps({"normalization": normalization}))
    settings = (*SETTINGS, "normalize=pretrained", "train.finetune.layers=head", "train.precision=fp32")
    pretrained.compose(*settings)
    shutil.rmtree(pretrained / "data/normalize")
    pretrained.run("python", "-m", "src.normalize")
    train(pretrained)
    shutil.rmtree(pretrained / "reports/cross_validate")
    pretrained.run("python", "-m", "src.cross_validate")
    assert len(list((pretrained / ".assay/features").glob("*.npy"))) == 1


@pytest.mark.prove
def test_weights_behind_a_registered_model_are_fetched_with_their_statistics(copy):
    done = copy.run("python", "-m", "src.fetch", "models:/assay-digits@champion")
    found = re.search(r"model\.weights=(assay-digits-\d+\.safetensors)$", done.stdout, re.MULTILINE)
    assert found, done.stdout  # its number counts from the versions in the committed records
    path = copy / "data/weights" / found[1]
    assert path.read_bytes() == (copy / "models/base/model.safetensors").read_bytes()
    assert json.loads(path.with_suffix(".json").read_text())["normalization"]
    path.unlink()
    uri = "model.weights=models:/assay-digits@champion"
    checked = copy.run("python", "-m", "src.compose", "--check", "experiment=tiny", uri, check=False)
    assert "model.weights" in checked.stdout.split() and not path.exists(), "--check writes nothing"
    composed = copy.run("python", "-m", "src.compose", "experiment=tiny", uri).stdout
    assert f"{path.relative_to(copy.folder)}, SHA-256 {file_hash(path)}" in composed
    assert yaml.safe_load((copy / "params.yaml").read_text())["model"]["weights"] == path.name
    assert path.with_name(f"{path.name}.dvc").is_file()
    missing = copy.run("python", "-m", "src.fetch", "models:/assay-digits@nobody", check=False)
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
    unnamed = copy.run("python", "-m", "src.fetch", "models:/assay-digits", check=False)
    assert "models:/assay-digits@champion" in unnamed.stderr

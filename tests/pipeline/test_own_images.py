"""Own images, added as the README says."""

import json

import numpy as np
import pytest
from PIL import Image

from src.core.hashing import hash_tree
from src.data.dataset.spec import (
    DataSpec,
    describe_data,
    describe_model,
    describe_predictions,
    describe_split,
    read_spec,
)


@pytest.fixture
def shapes(workspace):
    """A clone with data/raw/shapes: three classes of bright squares, of mixed size, grey and colour."""
    generator = np.random.default_rng(0)
    for place, name in enumerate(("left", "middle", "right")):
        folder = workspace / f"data/raw/shapes/{name}"
        folder.mkdir(parents=True)
        for number in range(12):
            side = int(generator.integers(20, 40))
            pixels = generator.integers(0, 60, (side, side, 3), dtype=np.uint8)
            pixels[:, place * side // 3 : (place + 1) * side // 3] += 180
            image = Image.fromarray(pixels)
            (image.convert("L") if number % 2 else image).save(folder / f"{number}.png")
    return workspace


OWN = ("data=image_folder", "data.name=shapes", "data.image_size=[16,16]", "experiment=tiny", "sweep=none")


def test_saved_settings_stay_and_every_result_says_what_it_is_of(shapes):
    """As the README says."""
    shapes.run("dvc", "add", "data/raw/shapes")
    shapes.run("python", "-m", "src.compose", "--save", "mine", *OWN)
    done = shapes.run("dvc", "repro", "evaluate")
    assert "macro F1 " in done.stdout
    data = describe_split(shapes / "data/ingest", shapes / "data/split")
    assert data.classes == ["left", "middle", "right"] and data.images and data.split
    assert data.input == {"channels": 3, "height": 16, "width": 16, "resize_mode": "pad"} | data.input
    model = describe_model(shapes / "models/base")
    assert model == DataSpec(data.classes, data.input, model.normalization, data.images, data.split)
    predictions = read_spec(shapes / "reports/evaluate/predictions.parquet")
    assert predictions == describe_predictions(shapes / "models/base", data)
    normalization = json.loads((shapes / "data/normalize/normalization.json").read_text())
    assert DataSpec(**normalization["data"]) == data
    assert read_spec(shapes / "data/split/splits.parquet") == describe_data(shapes / "data/ingest")

    # Another name for a class: what an ad-hoc run reads is older than the images that it is given
    (shapes / "data/raw/shapes/right").rename(shapes / "data/raw/shapes/east")
    shapes.run("python", "-m", "src.ingest")
    failed = shapes.run("python", "-m", "src.evaluate", "evaluate.bootstrap=100", check=False)
    assert failed.returncode == 1 and "classes: data/ingest has east, left, middle" in failed.stderr


def test_dvc_add_and_an_experiment(shapes):
    """``dvc exp run`` resets the folder, so DVC must track the images; saved settings stay the default."""
    before = hash_tree(shapes / "data/raw/shapes")
    shapes.run("dvc", "add", "data/raw/shapes")
    shapes.run("python", "-m", "src.compose", "--save", "mine", *OWN)
    output = shapes.run("dvc", "exp", "run", "-S", "split.folds=4", "split").stdout
    assert "Data set shapes (image_folder), model cnn" in output
    assert hash_tree(shapes / "data/raw/shapes") == before
    report = json.loads((shapes / "data/ingest/report.json").read_text())
    assert len(json.loads((shapes / "data/split/report.json").read_text())["folds"]) == 4
    assert (report["kept"], report["classes"]) == (36, ["left", "middle", "right"])


def test_without_dvc_add_a_missing_folder_names_both_ways(workspace):
    workspace.run("python", "-m", "src.compose", "data=image_folder", "data.name=cats")
    failed = workspace.run("python", "-m", "src.ingest", check=False)
    assert failed.returncode == 1
    assert "data/raw/cats is missing" in failed.stderr
    assert "python -m src.fetch cats" in failed.stderr and "dvc add data/raw/cats" in failed.stderr

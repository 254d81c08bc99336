"""Own images, added as the README says."""

import json

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from sklearn.datasets import load_digits

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
    """A clone with data/raw/shapes: three classes of bright squares, of mixed size, gray and color."""
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


OWN = (
    *("data=image_folder", "data.name=shapes", "data.image_size=[16,16]", "experiment=tiny", "sweep=none"),
    *("split.method=stratified", "data.near_duplicates=keep"),  # few images, and nearly the same ones
)


@pytest.mark.prove
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


def sides(workspace):
    """{bytes of the file: (split, fold)}; each image of these tests is unlike all others."""
    manifest = parquet.read_table(workspace / "data/ingest/manifest.parquet").to_pydict()
    splits = parquet.read_table(workspace / "data/split/splits.parquet").to_pydict()
    return dict(zip(manifest["file_sha256"], zip(splits["split"], splits["fold"], strict=True), strict=True))


@pytest.fixture
def grown(workspace):
    """A function that splits 400 digits in folders, adds one, renames a class and a file, and splits again.

    It returns what is on which side before and after, and the last output."""
    images, labels = load_digits(return_X_y=True)

    def write(name, number):
        path = workspace / f"data/raw/mine/{name}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((images[number].reshape(8, 8) * 15.9).astype(np.uint8)).save(path)

    def split():
        workspace.run("dvc", "add", "--quiet", "data/raw/mine")
        done = workspace.run("dvc", "repro", "split")
        return sides(workspace), done.stdout

    def grow(*overrides):
        form = ("data=image_folder", "data.name=mine", "data.image_size=[8,8]", "data.channels=1")
        workspace.run("python", "-m", "src.compose", *form, *overrides)
        for number in range(400):
            write(f"digit {labels[number]}", number)
        before, _ = split()
        raw = workspace / "data/raw/mine"
        (raw / "digit 3").rename(raw / "a three")  # its targets change, and those of others with it
        next(iter((raw / "digit 5").iterdir())).rename(raw / "digit 5/renamed.png")
        write(f"digit {labels[400]}", 400)
        return before, *split()

    return grow


@pytest.mark.prove
def test_an_image_more_and_other_names_move_nothing(grown):
    before, after, output = grown("data.near_threshold=0.98")  # so that some of the digits are near copies
    assert len(after) == len(before) + 1
    assert {name: side for name, side in after.items() if name in before} == before
    left_out = [split for split, _ in before.values()].count("dropped")
    assert left_out > 0
    assert f" 0 of {400 - left_out} images moved to another split since the last version\n" in output


@pytest.mark.prove
def test_a_drawn_split_says_how_many_moved(grown):
    before, after, output = grown("split.method=stratified")
    moved = sum(before[name][0] != after[name][0] for name in before)
    assert moved > 80
    assert f"{moved} of 400 images moved to another split since the last version" in output
    assert "warning" not in output, "the method is the same"

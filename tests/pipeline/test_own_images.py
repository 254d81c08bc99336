"""Own images, added as the README says."""

import json

import numpy as np
import pytest
from PIL import Image

from src.core.hashing import hash_tree


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


def test_dvc_add_and_an_experiment(shapes):
    """As the README says; ``dvc exp run`` resets the folder, so DVC must track the images."""
    before = hash_tree(shapes / "data/raw/shapes")
    shapes.run("dvc", "add", "data/raw/shapes")
    own = ("data=image_folder", "data.name=shapes", "data.image_size=[16,16]", "experiment=tiny")
    overrides = [part for choice in own for part in ("-S", choice)]
    output = shapes.run("dvc", "exp", "run", *overrides, "split").stdout
    assert "Data set shapes (image_folder), model cnn" in output
    assert hash_tree(shapes / "data/raw/shapes") == before
    report = json.loads((shapes / "data/ingest/report.json").read_text())
    assert (report["kept"], report["classes"]) == (36, ["left", "middle", "right"])


def test_without_dvc_add_a_missing_folder_names_both_ways(workspace):
    workspace.run("python", "-m", "src.compose", "data=image_folder", "data.name=cats")
    failed = workspace.run("python", "-m", "src.ingest", check=False)
    assert failed.returncode == 1
    assert "data/raw/cats is missing" in failed.stderr
    assert "python -m src.fetch cats" in failed.stderr and "dvc add data/raw/cats" in failed.stderr

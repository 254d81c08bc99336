"""What is worth trying depends on the images and on what is available."""

from pathlib import Path

import pytest

from src.config.loading import load_conf
from src.proposal.available_weights import Weights
from src.proposal.candidates import augmentation, list_candidates
from src.proposal.inspection import inspect
from tests.support.pictures import encoded, noise
from tests.support.workspaces import ROOT

WEIGHTS = Weights("tf_efficientnet_lite0", Path("lite0.pth"), "a test")


def folder_of(tmp_path, side: int, labels=("cat", "dog")):
    for place, label in enumerate(labels):
        (tmp_path / label).mkdir()
        for n in range(3):
            (tmp_path / label / f"{n}.png").write_bytes(encoded(noise(10 * place + n, (side, side)), "png"))
    return inspect(tmp_path, workers=1, advance=lambda _: None)


def ways(found, weights, small=False):
    return [each.way for each in list_candidates(found, weights, small)]


def test_pretrained_weights_need_images_with_some_detail(tmp_path):
    (tmp_path / "large").mkdir()
    (tmp_path / "small").mkdir()
    assert ways(folder_of(tmp_path / "large", 100), WEIGHTS) == ["head", "all", "scratch"]
    assert ways(folder_of(tmp_path / "small", 16), WEIGHTS) == ["scratch", "scratch"]
    assert ways(inspect(ROOT / "data/raw/digits", 1, lambda _: None), WEIGHTS) == ["scratch", "scratch"]


def test_without_weights_two_networks_from_random_weights_are_compared(tmp_path):
    found = folder_of(tmp_path, 100)
    assert ways(found, None) == ["scratch", "scratch"]
    assert ways(found, None, small=True) == ["scratch"]


def test_letters_are_not_mirrored_and_photographs_are(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "photos").mkdir()
    assert augmentation(folder_of(tmp_path / "letters", 100, ("b", "d")))[0] == "light"
    assert augmentation(folder_of(tmp_path / "photos", 100))[0] == "strong"


@pytest.mark.parametrize("small", [False, True])
def test_each_composes_with_the_size_that_the_weights_were_trained_at_first(tmp_path, small):
    found = folder_of(tmp_path, 100)
    for candidate in list_candidates(found, WEIGHTS, small):
        config = load_conf(["experiment=null", "data=image_folder", *candidate.overrides()]).config
        assert config.train.finetune.layers == ("head" if candidate.way == "head" else "all")
        assert config.model.weights == (None if candidate.way == "scratch" else "imagenet")
        assert config.normalize.method == ("standard" if candidate.way == "scratch" else "pretrained")
        assert candidate.sides[0] == (96 if candidate.way == "scratch" else 224)

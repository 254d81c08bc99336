"""Steps are really taken, and cost what they compute."""

import numpy as np
import pytest

from src.config.loading import load_conf
from src.proposal.timing import measure


@pytest.mark.slow
def test_a_larger_network_takes_longer_and_training_longer_than_inference():
    images = np.random.default_rng(0).integers(0, 255, (20, 3, 32, 32), np.uint8)
    common = ["experiment=null", "data=image_folder", "train.precision=fp32", "train.threads=1"]
    small, large = (
        measure(load_conf([*common, f"model.widths={widths}"]).config, images, classes=3, seconds=0.6)
        for widths in ("[8,16]", "[64,128,256]")
    )
    assert large.training > 3 * small.training
    assert large.inference > 3 * small.inference
    assert large.training > large.inference
    assert large.parameters > 10 * small.parameters

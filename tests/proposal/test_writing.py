"""The files of a proposal are YAML that says what was chosen, with the reasons as comments."""

import yaml

from src.proposal.proposal import Proposal
from src.proposal.setting import Setting
from src.proposal.writing import data_text, experiment_text

PROPOSAL = Proposal(
    name="pets",
    source="image_folder",
    data=[
        Setting("name", "pets"),
        Setting("image_size", [64, 64], "pixels; a reason"),
        Setting("subject", "(a: b) #"),
    ],
    groups=[Setting("model", "timm", "small"), Setting("sweep", "none")],
    settings=[
        Setting("train.epochs", 7, "more do not fit"),
        Setting("cross_validate.proxy", {"train.epochs": 2}, "shorter"),
        Setting("train.finetune.layers", "head"),
        Setting("train.class_weights", {"a: b": 3.0}),
        Setting("model.name", "resnet18"),
    ],
    steps=[
        ("The data", ["45 images."]),
        ("Doubts", ["One " + 40 * "long " + "doubt."]),
        ("The machine", ["2 cores."]),
    ],
    weights=None,
)


def test_data_keep_awkward_text_and_carry_findings_and_doubts():
    text = data_text(PROPOSAL)
    values = yaml.safe_load(text)
    assert values.pop("defaults") == ["image_folder", "_self_"]
    assert values == {"name": "pets", "image_size": [64, 64], "subject": "(a: b) #"}
    assert "# - 45 images.\n# Doubts:\n# - One long" in text
    assert "image_size: [64, 64] # pixels; a reason\n" in text
    assert "2 cores" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_an_experiment_nests_its_keys_and_has_each_section_once():
    text = experiment_text(PROPOSAL)
    assert text.startswith("# @package _global_\n")
    values = yaml.safe_load(text)
    assert values.pop("defaults") == [
        {"override /data": "pets"},
        {"override /model": "timm"},
        {"override /sweep": "none"},
        "_self_",
    ]
    assert values == {
        "cross_validate": {"proxy": {"train.epochs": 2}},
        "model": {"name": "resnet18"},
        "train": {"epochs": 7, "class_weights": {"a: b": 3.0}, "finetune": {"layers": "head"}},
    }
    assert "  epochs: 7 # more do not fit\n" in text
    assert text.count("train:\n") == 1
    assert "# The machine:\n# - 2 cores.\n" in text
    assert "45 images" not in text

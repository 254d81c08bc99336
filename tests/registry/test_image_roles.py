"""Which images decided what, by the configuration and the report of the split."""

import json

import pytest
import yaml

from src.config.validation import validate_config
from src.registry.image_roles import image_roles
from tests.support.workspaces import ROOT

TEMPERATURE, RULE = "the temperature of the probabilities", "the decision rule"


def roles(folder, monkeypatch, parts, **decision):
    """{split: what its images decided}"""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["evaluate"]["decision"] |= decision
    (folder / "data/split").mkdir(parents=True)
    report = {"splits": {name: {"images": 10} for name in parts}}
    (folder / "data/split/report.json").write_text(json.dumps(report))
    monkeypatch.chdir(folder)
    return {role.split: role.decided for role in image_roles(validate_config(values, "params.yaml"))}


def test_validation_images_fit_what_no_images_were_set_apart_for(tmp_path, monkeypatch):
    found = roles(tmp_path, monkeypatch, ("train", "val", "test"), method="conformal")
    assert {TEMPERATURE, RULE} <= {*found["val"]}
    assert found["test"] == [] and "calibration" not in found


def test_images_that_were_set_apart_fit_and_decide_nothing_else(tmp_path, monkeypatch):
    found = roles(tmp_path, monkeypatch, ("train", "val", "calibration", "test"), method="conformal")
    assert found["calibration"] == [TEMPERATURE, RULE]
    assert not {TEMPERATURE, RULE} & {*found["val"], *found["train"], *found["test"]}


@pytest.mark.parametrize(
    "decision", [{"method": "argmax"}, {"method": "costs"}, {"method": "abstain", "confidence": 0.9}]
)
def test_a_rule_that_is_given_was_decided_by_no_image(tmp_path, monkeypatch, decision):
    assert RULE not in roles(tmp_path, monkeypatch, ("train", "val", "test"), **decision)["val"]

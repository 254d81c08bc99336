"""Our reader of YAML agrees with DVC's."""

import pytest
import yaml
from ruamel.yaml import YAML

from src.core.yaml12 import load_yaml
from tests.support.workspaces import ROOT

SCALARS = [
    *("010", "0o10", "0x1F", "0b11", "-7", "+7", "1_000", "0", "-0x1F"),
    *("1e-5", "1e-05", "1E5", ".5", "-.5", "1.", "1.5e3", "12:30", ".inf", "-.inf", "1_0.5"),
    *("on", "off", "yes", "No", "y", "true", "False", "TRUE", "~", "null", "Null", ""),
    *("2024-01-01", "text", "'010'", '"off"', "[1, off, 010]", "{a: 010}", "1.2.3", "0.10", "08", "-"),
]


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_value_is_what_dvc_reads(scalar):
    text = f"key: {scalar}\n"
    if scalar == "-":
        text = "key:\n- a: 1\n- b: {c: [2, x]}\n"
    ours, theirs = load_yaml(text)["key"], YAML(typ="safe").load(text)["key"]
    assert (ours, type(ours)) == (theirs, type(theirs))


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock"])
def test_our_files_are_what_dvc_reads(name):
    text = (ROOT / name).read_text()
    assert load_yaml(text) == YAML(typ="safe").load(text)


def test_anchors_and_merges_are_followed():
    text = "base: &base {a: 1, b: off}\nmore: {<<: *base, b: 010}\n"
    assert load_yaml(text)["more"] == YAML(typ="safe").load(text)["more"] == {"a": 1, "b": 10}


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: {b: 1, b: 1}\n", "a: [1\n"])
def test_a_key_twice_or_broken_text_is_refused(text):
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)

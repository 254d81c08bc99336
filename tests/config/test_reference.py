"""Every field of the configuration is described, with its range and its default."""

from functools import cache

import pytest

from src.config.dotted_keys import flatten
from src.config.fields import known_keys, schema_fields
from src.config.loading import compose
from src.config.overrides import FREE
from src.config.reference import describe_fields, list_fields
from src.core.errors import AssayError
from tests.support.workspaces import ROOT


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_field_is_described():
    assert [field.key for field in schema_fields() if not field.description] == []


def test_every_key_of_the_default_composition_is_a_known_key():
    free = tuple(f"{key}." for key in FREE)
    keys = {key for key, _ in flatten(compose()) if not key.startswith(free)}
    assert keys - known_keys() == set()


@cache
def entries():
    return list_fields()


def entry(key, choice=""):
    (found,) = [entry for entry in entries() if (entry.key, entry.choice) == (key, choice)]
    return found


def test_type_range_and_default():
    assert entry("train.epochs").type == "integer, at least 1"
    assert entry("train.epochs").default == 40
    assert entry("split.val").type == "number, above 0, below 1"
    assert entry("sweep.n_jobs").type == "auto | integer, at least 1"
    assert entry("data.image_size").type.startswith("list of integer, at least 1, at most 2048")
    assert entry("sweep.proxy").default == {"train.epochs": 10}
    assert entry("sweep.enqueue").default == []


def test_fields_that_only_some_choices_have():
    assert entry("model.dropout", "model=lenet").default == 0.0
    assert entry("model.name", "model=timm").default == "resnet18"
    assert entry("augment.operations[crop].padding").description == "Pixels on each side"
    assert entry("compress.variants.NAME.steps[distill].alpha").type == "number, at least 0, at most 1"
    assert entry("compress.variants.NAME.steps[tta].views[flip].axis").type == "horizontal | vertical"


def test_what_a_person_asks_for_is_described():
    assert describe_fields("train.epochs") == (
        "train.epochs (integer, at least 1; default 40)\n    Epochs at most"
    )
    keys = {line.split()[0] for line in describe_fields("train.schedule").splitlines()[::2]}
    assert "train.schedule.warmup" in keys and all(key.startswith("train.schedule") for key in keys)


def test_an_unknown_key_is_refused_with_a_near_one():
    with pytest.raises(
        AssayError, match=r"train\.epoch: is not a known key \(did you mean train\.epochs\?\)"
    ):
        describe_fields("train.epoch")

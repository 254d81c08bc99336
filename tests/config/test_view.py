"""A stage that reads a key it does not declare gets an error that says how to fix it."""

import copy
import pickle

import pytest

from src.config.loading import compose
from src.config.schema import Config
from src.config.validation import validate_config
from src.config.view import restrict
from src.core.errors import AssayError


@pytest.fixture(scope="module")
def config():
    return validate_config(compose(), "conf/")


@pytest.mark.parametrize(
    ("declared", "read", "key"),
    [
        (["train"], lambda config: config.seed, "seed"),
        (["train"], lambda config: config.evaluate.confidence, "evaluate"),
        (["train.threads"], lambda config: config.train.epochs, "train.epochs"),
        (["train.optimizer.name"], lambda config: config.train.optimizer.lr, "train.optimizer.lr"),
        (["data.name"], lambda config: config.register_, "register"),
        (["register.name"], lambda config: config.register_.promote, "register.promote"),
    ],
)
def test_an_undeclared_key_is_refused_by_its_name(config, declared, read, key):
    read(config)  # the whole configuration has it
    with pytest.raises(AssayError, match=f"reads {key}, which it does not declare.*Add {key} to the params"):
        read(restrict(config, declared))


def test_declared_keys_are_the_same(config):
    view = restrict(config, ["seed", "train", "evaluate.confidence", "register"])
    assert view.seed == config.seed and view.train is config.train
    assert view.evaluate.confidence == config.evaluate.confidence
    assert view.register_ is config.register_
    assert isinstance(view, Config)


def test_of_a_mapping_only_the_declared_entries_are_there(config):
    view = restrict(config, ["compress.variants.onnx_fp32"])
    assert view.compress.variants == {"onnx_fp32": config.compress.variants["onnx_fp32"]}


def test_the_whole_configuration_stays_whole(config):
    before = config.model_dump()
    restrict(config, ["train.threads"])
    assert config.model_dump() == before


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda view: pickle.loads(pickle.dumps(view))])
def test_workers_get_the_same_view(config, twin):
    view = twin(restrict(config, ["train.threads"]))
    assert view.train.threads == config.train.threads
    with pytest.raises(AssayError, match=r"train\.epochs"):
        view.train.epochs  # noqa: B018


def test_a_misspelt_name_is_python_s_own_error(config):
    with pytest.raises(AttributeError, match="trian"):
        restrict(config, ["train"]).trian  # noqa: B018

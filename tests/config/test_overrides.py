"""Overrides on the command line: what they replace, and what a person reads who mistypes one."""

import itertools
import shlex
import subprocess
import sys
from functools import cache

import pytest
import yaml

from src.config.loading import compose, load, load_conf
from src.config.overrides import choices, for_hydra, without_noise
from src.core.errors import AssayError
from tests.support.workspaces import ROOT

SPACE = {"train.batch_size": "choice(32, 64)"}


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def message(overrides):
    with pytest.raises(AssayError) as caught:
        load(overrides)
    return str(caught.value)


MISTAKES = {
    "a section is left out": (
        ["train.lr=3"],
        "train.lr: is not a known key (did you mean train.optimizer.lr?)",
    ),
    "a misspelled key": (["train.epoch=3"], "train.epoch: is not a known key (did you mean train.epochs?)"),
    "a key that + adds": (["+train.epoch=3"], "train.epoch: is not a known key (did you mean train.epochs?)"),
    "no section": (["epochs=3"], "epochs: is not a known key (did you mean train.epochs?)"),
    "two such keys": (["batch_size=8"], "did you mean evaluate.batch_size or train.batch_size?"),
    "a section as a group": (
        ["optimizer=sgd"],
        "optimizer: is not a known key (did you mean train.optimizer.name?)",
    ),
    "a section as a value": (
        ["train.optimizer=sgd"],
        "train.optimizer: is a section: set one of its keys, such as",
    ),
    "nothing like it": (
        ["dataset=mnist"],
        "dataset: is not a known key. The groups are augment, benchmark, ",
    ),
    "a misspelled group": (["modle=cnn"], "modle: is not a known key (did you mean model?)"),
    "an unknown choice": (
        ["data=mnist"],
        "data=mnist: conf/data/ has csv, digits, fashion_mnist, image_folder",
    ),
    "a misspelled choice": (["sweep=girds"], "sweep=girds: conf/sweep/ has cmaes, default, gp, grid"),
    "a near choice": (["experiment=fashionmnist"], "(did you mean fashion_mnist?)"),
    "a timm model as a choice": (["model=resnet34"], "Any timm model: model=timm model.name=NAME"),
    "a number for a group": (
        ["train=3"],
        "train=3: conf/train/ has default. To set one of its fields: train.",
    ),
    "a key of another choice": (
        ["model.name=resnet18"],
        "exists only with model=knn, model=linear_probe, model=svm, model=timm or model=torchvision. Add",
    ),
    "+ where the key exists": (
        ["+train.epochs=3"],
        "+train.epochs=3: exists already. Without the +: train.epochs=3",
    ),
    "+ before a group": (["+experiment=tiny"], "+experiment=tiny: without the +: experiment=tiny"),
    "a section taken away": (["~model"], "~model: model cannot be left out. conf/model/ has"),
    "a dictionary taken away": (["~sweep.space"], "sweep.space: is missing"),
    "a word for a number": (["train.epochs=many"], "train.epochs=many: expected an integer"),
    "a fraction for an integer": (["train.epochs=1.5"], "train.epochs=1.5: expected an integer"),
    "no value": (["train.optimizer.lr="], "train.optimizer.lr='': expected a number"),
    "no sign": (["train.epochs"], "train.epochs: write KEY=VALUE, such as train.epochs=…"),
    "a space for the sign": (["train.epochs 3"], "write KEY=VALUE, such as train.epochs=3"),
    "spaces around the sign": (["train.epochs = 3"], "write no spaces around =, such as train.epochs=3"),
    "split by the shell": (["train.epochs", "=", "3"], "write no spaces around ="),
    "an open bracket": (
        ["model.widths=[8,16"],
        "model.widths=[8,16: the brackets do not match. Quote the whole",
    ),
    "braces split by the shell": (
        ["sweep.proxy={train.epochs:", "6}"],
        "the brackets do not match. Quote the whole",
    ),
    "braces opened by the shell": (
        ["sweep.space=a:1"],
        "sweep.space=a:1: expected a dictionary, {key: value}",
    ),
    "several values": (["train.epochs=1,2"], "train.epochs=1,2: needs one value, or a list in brackets"),
    "a choice without quotes": (
        ["sweep.space={train.epochs: choice(1, 2)}"],
        "sweep.space: quote the values: \"sweep.space={train.optimizer.lr: 'interval(0.1, 1)'}\"",
    ),
    "a constraint without quotes": (
        ["sweep.constraints=[bytes<=9]"],
        "Quote strings with special characters",
    ),
    "an old metric name": (
        ["sweep.constraints=['bytes <= 9']"],
        "sweep.constraints.0: must be METRIC <= NUMBER or METRIC >= NUMBER, with one of val/loss",
    ),
    "an unknown objective": (
        ["sweep.objectives={accuracy: maximize}"],
        "model/bytes, but got accuracy (did you mean val/accuracy?)",
    ),
    "a field of the space": (
        ["sweep.space.train.epochs='choice(1,2)'"],
        "the dictionary: +sweep.space={train.epochs: …} adds to the default, sweep.space={…} replaces it",
    ),
    "a new variant": (
        ["compress.variants.mine={steps: [{name: export}]}"],
        "is not a variant yet. To add it: +compress.variants.mine={steps: [{name: export}]}",
    ),
    "within a list": (
        ["augment.operations=[{name: rotate, degree: 3}]"],
        "augment.operations.0.degree: is not a known key (did you mean degrees?)",
    ),
    "a number for a step": (
        ["compress.variants.onnx_fp32.steps=[1]"],
        "compress.variants.onnx_fp32.steps.0=1: expected a dictionary, {key: value}",
    ),
    "a list for a section": (
        ["train.optimizer=[1]"],
        "train.optimizer=[1]: train.optimizer is not a list: set one of its keys, such as train.optimizer.lr",
    ),
    "a list for a dictionary": (
        ["compress.variants=[1]"],
        "compress.variants is not a list: compress.variants={key: value}",
    ),
    "a dictionary for a list": (
        ["augment.operations={a: 1}"],
        "augment.operations={a: 1}: augment.operations is a list: augment.operations=[…]",
    ),
    "a list for a group": (["train=[1]"], "train=[1]: conf/train/ has default. To set one of its fields"),
    "two values of a key": (
        ["train.epochs=3", "train.epochs=4"],
        "train.epochs: is set to 3 and to 4: keep one",
    ),
    "two choices of a group": (["model=cnn", "model=lenet"], "model: is set to cnn and to lenet: keep one"),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_what_works_here(mistake):
    overrides, advice = MISTAKES[mistake]
    said = message(overrides)
    assert advice in said
    assert "use +" not in said and "hydra.cc" not in said, "Hydra's own advice is wrong here"


def test_all_mistakes_are_named_at_once():
    first, *faults = message(["train.lr=3", "model=timm", "data=mnist", "epochs=4"]).splitlines()
    assert first == "conf/ with train.lr=3 model=timm data=mnist epochs=4:"
    assert [fault.strip().split(":")[0] for fault in faults] == ["train.lr", "data=mnist", "epochs"]


def test_the_advice_works():
    assert load(["train.optimizer.lr=3"]).config.train.optimizer.lr == 3
    assert load(["model=timm", "model.name=resnet18"]).config.model.name == "resnet18"
    mine = load(["+compress.variants.mine={steps: [{name: export}]}"]).config.compress.variants
    assert "mine" in mine and "onnx_fp32" in mine


@pytest.mark.parametrize("command", ["compose", "train"])
def test_dvcs_option_is_explained(command):
    words = [sys.executable, "-m", f"src.{command}", "-S", "train.epochs=3"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "-S belongs to dvc exp run" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("sweep.space={train.batch_size: 'choice(32, 64)'}", "sweep", "space", SPACE),
        ("sweep.space={}", "sweep", "space", {}),
        ("sweep.proxy={}", "sweep", "proxy", {}),
        ("sweep.objectives={val/loss: minimize}", "sweep", "objectives", {"val/loss": "minimize"}),
        ("cross_validate.proxy={train.epochs: 4}", "cross_validate", "proxy", {"train.epochs": 4}),
        (
            "compress.variants={onnx_fp32: {steps: [{name: export}]}}",
            "compress",
            "variants",
            {"onnx_fp32": {"steps": [{"name": "export"}]}},
        ),
    ],
)
def test_a_dictionary_replaces_the_default(override, section, key, value):
    values = load_conf([override]).values
    assert values[section][key] == value
    assert list(values[section]) == list(compose()[section]), "params.yaml keeps the order of its keys"


def test_a_plus_adds_to_the_default():
    found = load_conf(["+sweep.space={train.batch_size: 'choice(32, 64)'}"]).values["sweep"]["space"]
    assert found == {**compose()["sweep"]["space"], **SPACE}


def test_later_overrides_change_what_replaced_the_default():
    found = load_conf(["sweep.proxy={train.epochs: 4}", "+sweep.proxy={train.batch_size: 8}"])
    assert found.config.sweep.proxy == {"train.epochs": 4, "train.batch_size": 8}


def test_dvc_replaces_a_dictionary_in_two_steps(tmp_path):
    """`dvc exp run -S '~sweep.space' -S '+sweep.space={…}'`: DVC composes itself, and Hydra merges."""
    from dvc.utils.hydra import compose_and_dump

    override = "sweep.space={train.batch_size: 'choice(32, 64)'}"
    path = tmp_path / "params.yaml"
    compose_and_dump(str(path), str(ROOT / "conf"), None, "config", "", for_hydra([override]))
    assert yaml.safe_load(path.read_text()) == compose([override])


def test_what_is_not_understood_is_said_in_hydras_words():
    text = "Could not do it.\nTo append to your config use +x=1\nKey 'x' is bad\n    full_key: x"
    assert without_noise(text) == "Could not do it.\nKey 'x' is bad"


# every combination composes

GROUPS = ("model", "experiment", "augment", "sweep", "compress")


def all_pairs(options):
    """Rows of a choice for each group, so that each two choices of two groups occur together in one."""
    names = list(options)
    missing = {
        frozenset([(one, a), (other, b)])
        for one, other in itertools.combinations(names, 2)
        for a, b in itertools.product(options[one], options[other])
    }
    while missing:
        row = dict(min(missing, key=sorted))
        for name in names:
            if name not in row:
                count = {
                    value: sum(frozenset([(name, value), item]) in missing for item in row.items())
                    for value in options[name]
                }
                row[name] = max(options[name], key=count.__getitem__)
        missing -= {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}
        yield tuple(row[name] for name in names)


OPTIONS = {group: choices(ROOT / "conf", group) for group in GROUPS}
OPTIONS["experiment"].append("null")
FITTED = ("linear_probe", "svm", "knn")  # to features, which are those of images as they are


@cache
def alone(choice):
    """The default composition with one choice."""
    return load_conf([choice]).config


@pytest.mark.prove
@pytest.mark.parametrize("row", sorted(all_pairs(OPTIONS)), ids="-".join)
def test_every_combination_of_groups_is_as_chosen_or_refused_with_the_reason(row):
    chosen = dict(zip(GROUPS, row, strict=True))
    overrides = [*(f"{group}={name}" for group, name in chosen.items()), "train.epochs=3"]
    if chosen["model"] in FITTED and chosen["augment"] != "none":
        assert "augment.operations: must be [] with model.kind=" in message(overrides)
        return
    loaded = load_conf(overrides)
    assert loaded.config.train.epochs == 3
    assert loaded.config.augment == alone(f"augment={chosen['augment']}").augment
    assert loaded.config.model == alone(f"model={chosen['model']}").model


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern", [r"(\d+)_", r"^(?:patient(\d+))?", r"[a-z]+_", r'"(a\d)"_', r"(it's|[^)])_"]
)
def test_a_pattern_is_refused_with_the_quotes_that_it_needs(pattern):
    said = message([f"data.subject={pattern}"])
    (advice,) = [line.partition("for the shell: ")[2] for line in said.splitlines() if "shell" in line]
    assert compose(shlex.split(advice))["data"]["subject"] == pattern


def test_costs_are_written_as_a_dictionary_and_digits_name_classes():
    config = load(
        ["evaluate.decision.method=costs", "evaluate.decision.costs={8: {1: 20}, cat: {dog: 0}}"]
    ).config
    assert config.evaluate.decision.costs == {"8": {"1": 20.0}, "cat": {"dog": 0.0}}
    for costs, path in (("{cat: {dog: -2}}", "cat.dog"), ("{8: {3: -2}}", "8.3")):
        with pytest.raises(AssayError, match=rf"decision\.costs\.{path}=-2: expected at least 0"):
            load([f"evaluate.decision.costs={costs}"])
    with pytest.raises(AssayError, match=r"train\.class_weights\.3=-1: expected "):
        load(["train.class_weights={3: -1}"])


@pytest.mark.parametrize("setting", ["accuracy=0.99", "precision=0.9", "costs={a: {b: 2}}", "of_class=a"])
def test_a_setting_of_another_decision_method_is_refused(setting):
    assert "but got method=argmax: set evaluate.decision.method" in message([f"evaluate.decision.{setting}"])

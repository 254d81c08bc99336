"""An adopted search composes to what the search found."""

import shutil
from pathlib import Path

import pytest

from src.config.dotted_keys import differing_keys, set_dotted
from src.config.loading import compose, load
from src.core.errors import AssayError
from src.search.report.experiment_file import write_experiment
from tests.support.workspaces import ROOT


@pytest.fixture(autouse=True)
def _in_a_copy(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)


def sections(values):
    return {key: value for key, value in values.items() if key not in ("sweep", "machine", "seed")}


CASES = {
    "fields": ([], {"train.optimizer.lr": 0.00123456789, "model.dropout": 0.1, "model.widths": [8, 16, 16]}),
    "small floats": (["sweep=random"], {"train.optimizer.lr": 1e-05, "train.optimizer.weight_decay": 0.0}),
    "groups on the command line": (["model=lenet", "augment=none"], {"model.activation": "relu"}),
    "a group searched": (["sweep=grid"], {"model": "lenet", "model.dropout": 0.2}),
    "a group searched, another given": (["model=lenet"], {"model": "cnn", "model.widths": [4]}),
    "fields on the command line": (["train.epochs=7", "seed=3"], {"train.batch_size": 32}),
    "on top of an experiment": (["experiment=fashion_mnist"], {"train.optimizer.lr": 0.02}),
    "an experiment and more": (["experiment=tiny", "model=cnn", "train.epochs=3"], {"model.kernel_size": 5}),
    "a list of mappings": ([], {"augment": "strong"}),
    "a mapping": ([], {"augment.operations": [{"name": "crop", "padding": 2}]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_composes_to_what_was_found(case):
    overrides, best = CASES[case]
    path = write_experiment("mine", [*overrides, "sweep.trials=99", "machine.progress=false"], best)
    assert path == Path("conf/experiment/mine.yaml")
    groups = [f"{key}={value}" for key, value in best.items() if "." not in key]
    wanted = set_dotted(compose([*overrides, *groups]), {key: best[key] for key in best if "." in key})
    found = load(["experiment=mine"])
    assert differing_keys(sections(found.values), sections(wanted)) == []
    assert found.config.sweep.method == "none"
    assert found.config.machine.progress == load(["seed=0"]).config.machine.progress


def test_says_what_differs_and_nothing_else():
    text = write_experiment(
        "mine", ["model=lenet", "sweep.trials=5"], {"train.optimizer.lr": 0.01}
    ).read_text()
    assert text.splitlines()[0] == "# @package _global_"
    assert "python -m src.sweep model=lenet" in text
    assert text.partition("defaults:\n")[2] == (
        "  - override /model: lenet\n"
        "  - override /sweep: none\n"
        "  - _self_\n"
        "train:\n"
        "  optimizer:\n"
        "    lr: 0.01\n"
    )


def test_takes_the_place_of_the_standing_experiment():
    config = Path("conf/config.yaml")
    config.write_text(config.read_text().replace("experiment: null", "experiment: fashion_mnist"))
    wanted = set_dotted(compose(["model=lenet"]), {"train.optimizer.lr": 0.5})
    assert wanted["data"]["name"] == "fashion_mnist"
    write_experiment("mine", ["model=lenet"], {"train.optimizer.lr": 0.5})
    assert differing_keys(sections(compose(["experiment=mine"])), sections(wanted)) == []


def test_the_same_again_changes_nothing_and_something_else_is_refused():
    path = write_experiment("mine", [], {"train.optimizer.lr": 0.01})
    before = path.read_bytes()
    assert write_experiment("mine", [], {"train.optimizer.lr": 0.01}) == path
    with pytest.raises(AssayError, match=r"conf/experiment/mine\.yaml exists already.*sweep\.study=OTHER"):
        write_experiment("mine", [], {"train.optimizer.lr": 0.02})
    assert path.read_bytes() == before


def test_what_does_not_compose_leaves_no_file():
    with pytest.raises(AssayError, match=r"no such field: model\.widths"):
        write_experiment("mine", ["model=lenet"], {"model.widths": [8]})
    default = Path("conf/cross_validate/default.yaml")
    default.write_text(default.read_text().replace("proxy: {}", "proxy: {train.epochs: 2}"))
    emptied = ["~cross_validate.proxy", "+cross_validate.proxy={}"]  # a merge cannot take keys away
    with pytest.raises(AssayError, match=r"cross_validate\.proxy.* would differ"):
        write_experiment("mine", emptied, {"model.dropout": 0.1})
    assert not Path("conf/experiment/mine.yaml").exists()


def test_a_password_is_not_written():
    text = write_experiment(
        "mine", ["sweep.storage=postgresql://me:secret@host/db"], {"model.dropout": 0.1}
    ).read_text()
    assert "secret" not in text


def test_a_name_is_no_path():
    with pytest.raises(AssayError, match=r"sweep\.study needs letters"):
        write_experiment("../mine", [], {})

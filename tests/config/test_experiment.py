"""A saved configuration is the default from then on, for DVC's own composition too."""

import re
import shutil
from pathlib import Path

import pytest

from src.compose import main
from src.config.dotted_keys import differing_keys
from src.config.experiment import save_as_default
from src.config.loading import compose, read_params
from src.core.errors import AssayError
from tests.support.workspaces import ROOT

UNFIT = r"train\.callbacks\[0\]\.init_args do not fit GradientNorm.*every must be at least 1"
OWN = ["data=image_folder", "data.name=cats", "data.image_size=[32,48]", "augment=strong"]


@pytest.fixture(autouse=True)
def _in_a_copy(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)


def by_dvc(*overrides):
    """What ``dvc exp run -S …`` writes into params.yaml."""
    from dvc.utils.hydra import compose_and_dump

    compose_and_dump("params.yaml", str(Path("conf").resolve()), None, "config", "", list(overrides))
    return read_params()


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        OWN,
        ["experiment=tiny", *OWN],
        ["model=timm", "model.name=resnet18", "machine.progress=false"],
        ["model=vit_tiny", "train.epochs=5"],  # with what suits the model
        ["+compress.variants={mine:{steps:[{name:export}]}}"],
    ],
)
def test_a_later_override_starts_from_what_was_saved(overrides):
    wanted = compose(overrides)
    assert save_as_default("mine", overrides).path == Path("conf/experiment/mine.yaml")
    assert read_params() == wanted == compose() == by_dvc()
    assert differing_keys(by_dvc("split.folds=4"), wanted) == ["split.folds"]


@pytest.mark.slow
def test_it_can_be_saved_again_and_another_cannot_be_replaced():
    save_as_default("mine", OWN)
    save_as_default("mine", ["train.epochs=7"])  # on top of what is the default now
    assert compose()["data"]["name"] == "cats" and compose()["train"]["epochs"] == 7
    save_as_default("other", ["model=lenet"])
    assert compose()["data"]["name"] == "cats" and compose()["model"]["kind"] == "lenet"
    before = Path("conf/experiment/mine.yaml").read_bytes()
    with pytest.raises(AssayError, match=r"mine\.yaml exists already.*--save OTHER"):
        save_as_default("mine", [])
    assert Path("conf/experiment/mine.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("overrides", "key"),
    [(["seed=3"], "seed"), (["~compress.variants.int8_static"], "compress.variants.int8")],
)
def test_what_no_experiment_can_express_changes_nothing(overrides, key):
    paths = [Path("conf/config.yaml"), Path("params.yaml")]
    before = [path.read_bytes() for path in paths]
    with pytest.raises(AssayError, match=rf"cannot express this: {key}.* would differ"):
        save_as_default("mine", overrides)
    assert [path.read_bytes() for path in paths] == before
    assert not Path("conf/experiment/mine.yaml").exists()


def run(monkeypatch, *arguments):
    """The exit code of the command."""
    monkeypatch.setattr("sys.argv", ["compose", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.slow
def test_the_command(monkeypatch, capsys):
    assert run(monkeypatch, "--save", "mine", *OWN) == 0
    out = capsys.readouterr().out
    assert f"Wrote conf/experiment/mine.yaml: {' '.join(OWN)}, on top of the defaults of conf/\n" in out
    assert "now the default of conf/config.yaml, instead of experiment=null\n" in out
    assert run(monkeypatch, "--save", "mine", "train.epochs=7") == 0
    out = capsys.readouterr().out
    assert "train.epochs=7, on top of experiment mine, and replaced what the file said before\n" in out
    assert "It is still the default" in out
    assert run(monkeypatch, "--save", "other", "experiment=tiny", "model=lenet") == 0
    out = capsys.readouterr().out
    assert "Wrote conf/experiment/other.yaml: model=lenet, on top of experiment tiny\n" in out
    assert "instead of experiment=mine\n" in out
    assert run(monkeypatch, "--save", "../mine") == 1
    assert "--save needs letters, digits" in capsys.readouterr().err
    assert run(monkeypatch, "--save", "bad", "train.epochs=0") == 1
    assert not Path("conf/experiment/bad.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("sweep.enqueue=[{train.optimizer.lr: 7.5}]", "0: train.optimizer.lr: must be in .* but got 7.5"),
        ("+sweep.space={train.epochs: wide}", "train.epochs: must be a choice, a range or an interval"),
        ("+sweep.proxy={train.epoch: 3}", "train.epoch .in sweep.proxy.: is not a known field"),
        ("train.callbacks=[{class_path: src.training.callbacks.GradientNorm, init_args: {every: 0}}]", UNFIT),
        (
            "train.callbacks=[{class_path: src.training.callbacks.GradientNorms}]",
            "has no class GradientNorms; it has GradientNorm",
        ),
        ("sweep.method=grid", "method=grid tries every value, but train.optimizer.lr, .* is an interval"),
    ],
)
def test_a_search_or_a_callback_that_cannot_begin_is_refused_by_compose(monkeypatch, capsys, override, fault):
    before = Path("params.yaml").read_bytes()
    assert run(monkeypatch, "sweep=default", override) == 1
    assert re.search(fault, capsys.readouterr().err)
    assert Path("params.yaml").read_bytes() == before
    assert run(monkeypatch, "sweep=none") == 0, "what is not searched needs no space"

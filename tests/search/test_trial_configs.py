"""What a search may choose from, and the configuration of each choice."""

import pytest

from src.config.loading import LoadedConfig, compose, load
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.search.engine.trial_configs import TrialConfigs
from tests.support.workspaces import ROOT


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def loaded(space, ad_hoc=True, **sweep):
    """The default configuration with another search space."""
    values = compose()
    values["sweep"] |= {"space": space, "proxy": {}, **sweep}
    values["train"]["precision"] = "fp32"  # portable trials have one thread
    return LoadedConfig(validate_config(values, "the test"), values, ("seed=0",) if ad_hoc else ())


def test_a_trial_has_the_settings_the_proxy_and_its_own_threads():
    space = {"train.optimizer.lr": "interval(0.001, 0.01)", "model.widths": "choice([8], [8, 16])"}
    candidates = TrialConfigs(loaded(space, proxy={"train.epochs": 7}, threads=3))
    config = candidates.config({"train.optimizer.lr": 0.002, "model.widths": [8]})
    assert (config.train.optimizer.lr, config.model.widths, config.train.epochs) == (0.002, [8], 7)
    assert config.train.threads == 3 and config.train.batch_size == 64
    assert candidates.longest() == 7


def test_a_group_decides_which_fields_exist():
    space = {
        "model": "choice(cnn, lenet)",
        "model.kernel_size": "choice(1, 3)",
        "model.dropout": "interval(0, 0.5)",
    }
    candidates = TrialConfigs(loaded(space))
    assert candidates.space.fields({"model": "cnn"}) == ["model.kernel_size", "model.dropout"]
    assert candidates.space.fields({"model": "lenet"}) == ["model.dropout"]
    assert candidates.config({"model": "lenet", "model.dropout": 0.25}).model.kind == "lenet"


def test_settings_that_contradict_each_other_are_refused_for_their_trial():
    candidates = TrialConfigs(loaded({"train.epochs": "choice(2, 40)", "train.patience": "choice(0, 3)"}))
    assert candidates.longest() == 40
    with pytest.raises(AssayError, match=r"must be 0 with train\.schedule\.name=one_cycle"):
        candidates.config({"train.patience": 3})


@pytest.mark.parametrize(
    ("space", "faults"),
    [
        ({"train.optimizer.rate": "interval(0, 1)"}, ["train.optimizer.rate: is not a known field"]),
        ({"model.width": "choice([8])"}, ["did you mean model.widths"]),
        ({"data.channels": "choice(1, 3)"}, ["data.channels", "decided before"]),
        ({"train.threads": "choice(1, 2)"}, ["train.threads"]),
        ({"model": "choice(cnn, resnet)"}, ["must be choice", "'resnet'"]),
        ({"model": "interval(0, 1)"}, ["must be choice"]),
        ({"train.optimizer.lr": "tag(log, interval(0, 1))"}, ["train.optimizer.lr", "above 0"]),
        ({"train.optimizer.lr": "interval(1, 1)"}, ["train.optimizer.lr"]),
        ({"train.batch_size": "range(5, 5)"}, ["must not be empty"]),
    ],
)
def test_what_cannot_be_searched_is_refused_before_the_first_trial(space, faults):
    with pytest.raises(AssayError) as caught:
        TrialConfigs(loaded(space))
    for fault in faults:
        assert fault in str(caught.value)


def test_a_field_cannot_be_searched_and_fixed():
    with pytest.raises(AssayError, match=r"train\.epochs: is also in sweep\.proxy"):
        TrialConfigs(loaded({"train.epochs": "choice(2, 3)"}, proxy={"train.epochs": 3}))
    with pytest.raises(AssayError, match=r"train\.epoch \(in sweep\.proxy\).*did you mean train\.epochs"):
        TrialConfigs(loaded({"model.dropout": "interval(0, 0.5)"}, proxy={"train.epoch": 3}))


def test_the_pipeline_chooses_no_groups_and_says_how_to():
    with pytest.raises(AssayError, match="--adopt"):
        TrialConfigs(loaded({"model": "choice(cnn, lenet)"}, ad_hoc=False))


@pytest.mark.parametrize("choice", ["default", "grid", "random", "gp", "cmaes", "nsga2"])
def test_every_search_of_conf_can_be_searched(choice):
    space = TrialConfigs(load([f"sweep={choice}"])).space
    assert len(space.domains) >= 3
    if choice == "grid":
        assert space.size() == load([f"sweep={choice}"]).config.sweep.trials


@pytest.mark.parametrize("choice", ["default", "grid", "random", "gp", "cmaes"])
def test_the_searches_of_conf_suit_all_models(choice):
    assert TrialConfigs(load([f"sweep={choice}", "model=lenet"])).space.domains

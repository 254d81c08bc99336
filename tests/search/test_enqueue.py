"""Settings that a person wants tried first."""

import random

import pytest

from src.config.loading import LoadedConfig, compose
from src.config.validation import validate_config
from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Range
from src.search.engine.space import SearchSpace
from src.search.engine.study import run_search, search_asynchronously
from src.search.engine.trial_configs import TrialConfigs
from src.search.engine.trial_configs import make_plan as plan_of
from tests.support.searches import InProcess, StoppedError, hill, make_plan
from tests.support.workspaces import ROOT

GUESSES = ({"x": 0.3, "y": 0.7}, {"x": 0.9}, {})
SPACE = {
    "train.optimizer.lr": "tag(log, interval(0.001, 0.01))",
    "train.batch_size": "choice(32, 64)",
    "train.optimizer.weight_decay": "choice(0.0, 0.1)",
    "model.widths": "choice([8], [8, 16])",
    "train.epochs": "int(interval(1, 5))",
}


@pytest.fixture(autouse=True)
def _in_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


def configs(*enqueue, **sweep):
    values = compose()
    values["sweep"] |= {"space": SPACE, "proxy": {}, "enqueue": list(enqueue), **sweep}
    return TrialConfigs(LoadedConfig(validate_config(values, "the test"), values, ("seed=0",)))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "tpe", "gp", "cmaes", "nsga2"])
def test_guesses_are_the_first_trials_whatever_ends_first(tmp_path, method):
    plan = make_plan(method=method, enqueue=GUESSES, batch=2)
    trials = run_search(plan, InProcess(hill), tmp_path / "one", None)
    assert trials[0].settings == GUESSES[0]
    assert trials[1].settings["x"] == 0.9 and 0 <= trials[1].settings["y"] <= 1
    assert len(trials) == plan.total
    shuffled = run_search(plan, InProcess(hill, random.Random(3)), tmp_path / "other", None)
    assert shuffled == trials
    assert len({str(trial.settings) for trial in trials}) > plan.total / 2, "the others are sampled"


@pytest.mark.parametrize("method", ["random", "tpe", "nsga2"])
def test_no_guess_changes_nothing(tmp_path, method):
    one = run_search(make_plan(method=method), InProcess(hill), tmp_path / "one")
    other = run_search(make_plan(method=method, enqueue=()), InProcess(hill), tmp_path / "other")
    assert one == other


def test_a_search_that_is_killed_keeps_its_guesses(tmp_path):
    plan = make_plan(enqueue=GUESSES)
    unbroken = run_search(plan, InProcess(hill), tmp_path / "unbroken")
    for stop in (1, 3):
        with pytest.raises(StoppedError):
            run_search(plan, InProcess(hill, stop_after=stop), tmp_path / "killed")
    assert run_search(plan, InProcess(hill), tmp_path / "killed") == unbroken


def test_asynchronous_searches_try_each_guess_once(tmp_path):
    plan = make_plan(method="random", enqueue=GUESSES, trials=8)
    with pytest.raises(StoppedError):
        search_asynchronously(plan, InProcess(hill, random.Random(1), stop_after=1), 2, tmp_path)
    trials = search_asynchronously(plan, InProcess(hill, random.Random(2)), 2, tmp_path)
    assert [trial.settings["x"] for trial in trials[:2]] == [0.3, 0.9]
    assert sum(trial.settings["x"] in (0.3, 0.9) for trial in trials) == 2


def test_a_grid_begins_with_the_points_that_have_the_guessed_values(tmp_path):
    space = SearchSpace({"x": Categorical((0.1, 0.2, 0.3)), "y": Categorical((0.5, 0.7))})
    plan = make_plan(space, method="grid", trials=6, enqueue=({"x": 0.3, "y": 0.7}, {"y": 0.5}))
    trials = run_search(plan, InProcess(hill), tmp_path)
    assert trials[0].settings == {"x": 0.3, "y": 0.7}
    assert trials[1].settings["y"] == 0.5
    assert len({str(trial.settings) for trial in trials}) == 6


def test_values_are_those_that_the_space_has():
    given = {
        "train.optimizer.lr": 0.01,
        "train.batch_size": 64,
        "train.optimizer.weight_decay": 0,
        "train.epochs": 2.0,
    }
    (settings,) = plan_of(configs(given), 0).enqueue
    assert settings == given
    assert isinstance(settings["train.optimizer.weight_decay"], float) and isinstance(
        settings["train.epochs"], int
    )


@pytest.mark.parametrize(
    ("guess", "fault"),
    [
        (
            {"train.optimizer.lr": 0.5},
            r"train\.optimizer\.lr: must be in tag\(log, .* \(sweep\.space\), but got 0\.5",
        ),
        ({"train.optimizer.lr": "high"}, r'but got "high"'),
        ({"train.optimizer.lr": True}, r"but got true"),
        ({"train.batch_size": 48}, r"train\.batch_size: must be in choice\(32, 64\)"),
        ({"model.widths": [16]}, r"model\.widths: must be in choice"),
        ({"train.epochs": 2.5}, r"train\.epochs: must be in int"),
    ],
)
def test_a_guess_outside_of_the_space_is_refused(guess, fault):
    with pytest.raises(AssayError, match=rf"sweep\.enqueue is not valid:\n  .*{fault}"):
        configs(guess)


def test_a_guess_of_another_field_is_refused_as_soon_as_the_settings_are_read():
    with pytest.raises(
        AssayError, match=r"enqueue: must have .* got train\.lr \(did you mean train\.optimizer\.lr\?\)"
    ):
        configs({"train.lr": 0.1})


def test_more_guesses_than_trials_are_refused():
    with pytest.raises(AssayError, match=r"has 3 entries, but sweep\.trials is 2"):
        configs({"train.epochs": 1}, {"train.epochs": 2}, {"train.epochs": 3}, trials=2)


def test_fields_that_a_guess_leaves_out_are_sampled_within_the_space(tmp_path):
    space = SearchSpace({"x": Range(0.2, 0.4), "y": Range(0.0, 0.1)})
    plan = make_plan(space, method="random", enqueue=tuple({"x": 0.3} for _ in range(5)), trials=5)
    ys = [trial.settings["y"] for trial in run_search(plan, InProcess(hill), tmp_path)]
    assert len(set(ys)) == 5 and all(0 <= y <= 0.1 for y in ys)

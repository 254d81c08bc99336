"""Each method finds the optimum of a known function; what Optuna cannot do is refused by name."""

import json
import logging
import warnings

import pytest

from src.core.errors import AssayError
from src.search.engine.ask_tell import AskTell
from src.search.engine.distributions import Categorical, Range
from src.search.engine.ranking import best, pareto_front
from src.search.engine.records import TrialResult
from src.search.engine.samplers import grid_order, startup_trials
from src.search.engine.space import SearchSpace
from src.search.engine.study import run_search
from tests.support.searches import SQUARE, InProcess, complete, hill, make_plan, nobody

# method: trials, and how far the best may be from the top of the hill
DISTANCES = {
    "random": (60, 0.15),
    "tpe": (60, 0.08),
    "cmaes": (80, 0.06),
    "nsga2": (80, 0.1),
    "gp": (18, 0.03),
}


def run(plan, folder, function=hill):
    return run_search(plan, InProcess(function), folder, nobody)


def distance(trial):
    return ((trial.settings["x"] - 0.3) ** 2 + (trial.settings["y"] - 0.7) ** 2) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("method", DISTANCES)
def test_optimum_of_a_known_function_is_found(tmp_path, method, seed):
    count, limit = DISTANCES[method]
    plan = make_plan(method=method, trials=count, seed=seed, batch=8 if method == "nsga2" else 4)
    trials = run(plan, tmp_path)
    assert [trial.number for trial in trials] == list(range(count))
    assert distance(best(trials, plan.objectives, ())) < limit


@pytest.mark.parametrize("method", ["tpe", "gp"])
def test_models_beat_the_random_trials_that_they_begin_with(tmp_path, method):
    plan = make_plan(method=method, trials=24)
    trials = run(plan, tmp_path)
    begun = startup_trials(plan)
    later = sorted(trials[begun:], key=distance)[: begun // 2]
    earlier = sorted(trials[:begun], key=distance)[: begun // 2]
    assert sum(map(distance, later)) < sum(map(distance, earlier))


def test_grid_tries_every_point_once_and_stops(tmp_path):
    space = SearchSpace({"x": Categorical((0.1, 0.3, 0.5)), "y": Categorical((0.5, 0.7))})
    plan = make_plan(space, method="grid", trials=100)
    trials = run(plan, tmp_path)
    tried = [trial.settings for trial in trials]
    assert plan.total == len(tried) == 6
    assert sorted(map(json.dumps, tried)) == sorted(map(json.dumps, space.points()))
    assert tried != space.points()  # in random order
    assert best(trials, plan.objectives, ()).settings == {"x": 0.3, "y": 0.7}


def test_part_of_a_grid_has_no_repeats(tmp_path):
    space = SearchSpace({"x": Categorical(tuple(range(10))), "y": Categorical(tuple(range(10)))})
    trials = run(make_plan(space, method="grid", trials=30), tmp_path)
    assert len({json.dumps(trial.settings) for trial in trials}) == 30


def test_order_of_a_grid_depends_on_the_seed_alone():
    space = SearchSpace({"x": Categorical(tuple(range(20)))})
    orders = [grid_order(make_plan(space, method="grid", trials=20, seed=seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


FORK = SearchSpace(
    {"model": Categorical(("line", "hill")), "x": Range(0.0, 1.0), "y": Range(0.0, 1.0)},
    groups=("model",),
    present={("line",): frozenset({"x"}), ("hill",): frozenset({"x", "y"})},
)


def fork(settings, pruner):
    """The hill is higher than the line, which has no y."""
    if settings["model"] == "hill":
        return hill(settings, pruner)
    return complete(0.5 - abs(settings["x"] - 0.9))


@pytest.mark.parametrize("method", ["random", "tpe", "gp", "nsga2"])
def test_fields_that_exist_for_one_choice_only(tmp_path, method):
    plan = make_plan(FORK, method=method, trials=16 if method == "gp" else 48)
    trials = run(plan, tmp_path, fork)
    assert {trial.settings["model"] for trial in trials} == {"line", "hill"}
    assert all(("y" in trial.settings) == (trial.settings["model"] == "hill") for trial in trials)
    assert best(trials, plan.objectives, ()).settings["model"] == "hill"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "tpe", "gp", "nsga2", "cmaes", "grid"])
def test_final_choice_keeps_the_constraints(tmp_path, method):
    grid = SearchSpace({"x": Categorical((0.05, 0.15, 0.3)), "y": Categorical((0.5, 0.7))})
    space = grid if method == "grid" else SQUARE
    constraints = ("model/bytes <= 200", "val/accuracy >= 0.1")  # so x <= 0.2; the hill's top breaks it
    plan = make_plan(space, method=method, trials=16 if method == "gp" else 40, constraints=constraints)
    trials = run(plan, tmp_path)
    found = best(trials, plan.objectives, plan.constraints)
    assert found.outcome.metrics["model/bytes"] <= 200
    assert any(trial.outcome.metrics["model/bytes"] > 200 for trial in trials)
    kept = [trial for trial in trials if trial.outcome.metrics["model/bytes"] <= 200]
    assert found.outcome.metrics["val/accuracy"] == max(t.outcome.metrics["val/accuracy"] for t in kept)


@pytest.mark.parametrize("method", ["tpe", "nsga2"])
def test_constraints_guide_the_search(tmp_path, method):
    count = {}
    for name, constraints in {"free": (), "bound": ("model/bytes <= 150",)}.items():
        plan = make_plan(method=method, trials=80, batch=8, constraints=constraints)
        trials = run(plan, tmp_path / name)[40:]
        count[name] = sum(trial.outcome.metrics["model/bytes"] <= 150 for trial in trials)
    assert count["bound"] > count["free"]


def two_sided(settings, pruner):
    """Schaffer's function: the front is 0 <= x <= 2."""
    x = settings["x"]
    return TrialResult("complete", {"val/loss": x**2, "model/parameters": (x - 2) ** 2})


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nsga2", "tpe", "random", "gp"])
def test_front_of_a_known_function(tmp_path, method):
    objectives = {"val/loss": "minimize", "model/parameters": "minimize"}
    count = 16 if method == "gp" else 64
    space = SearchSpace({"x": Range(-4.0, 4.0)})
    plan = make_plan(space, method=method, trials=count, batch=8, objectives=objectives)
    front = pareto_front(run(plan, tmp_path, two_sided), plan)
    assert len(front) >= 3
    assert all(-0.3 <= trial.settings["x"] <= 2.3 for trial in front)
    losses = [trial.outcome.metrics["val/loss"] for trial in front]
    assert losses == sorted(losses)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_any_batch_suits_cmaes(tmp_path, batch):
    plan = make_plan(method="cmaes", trials=64, batch=batch)
    assert distance(best(run(plan, tmp_path), plan.objectives, ())) < 0.12


def test_cmaes_takes_a_single_field(tmp_path):
    plan = make_plan(SearchSpace({"x": Range(0.0, 1.0)}), method="cmaes", trials=40)
    assert abs(best(run(plan, tmp_path), plan.objectives, ()).settings["x"] - 0.3) < 0.03


REFUSED = {
    "cmaes": ({"lr": Range(0.0, 1.0), "size": Categorical((1, 2))}, "cmaes takes numbers only, but size"),
    "grid": ({"lr": Range(0.0, 1.0), "size": Categorical((1, 2))}, "grid tries every value, but lr"),
    "random": ({}, "is empty, so there is nothing to search"),
}


@pytest.mark.parametrize("method", REFUSED)
def test_what_optuna_cannot_do_is_refused_before_the_first_trial(tmp_path, method):
    domains, reason = REFUSED[method]
    evaluator = InProcess(hill)
    with pytest.raises(AssayError, match=reason):
        run_search(make_plan(SearchSpace(domains), method=method), evaluator, tmp_path, nobody)
    assert evaluator.submitted == []


def test_nsga2_needs_parents(tmp_path):
    with pytest.raises(AssayError, match=r"sweep\.batch must be at least 2 .*but got 1"):
        run(make_plan(method="nsga2", batch=1), tmp_path)


def test_each_batch_has_a_sampler_of_its_own_seed():
    def first(index):
        ask_tell = AskTell(make_plan(method="random"))
        ask_tell.reseed(index)
        return ask_tell.ask(0).settings

    assert first(0) == first(0)
    assert first(0) != first(1)


@pytest.mark.parametrize("method", ["random", "tpe", "gp", "cmaes", "nsga2"])
def test_optuna_is_quiet(tmp_path, method, caplog, capfd):
    pruner = "none" if method == "nsga2" else "hyperband"
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        run(make_plan(method=method, pruner=pruner, trials=12), tmp_path)
        run(make_plan(FORK, method="tpe"), tmp_path / "conditional", fork)
    assert capfd.readouterr().err == ""

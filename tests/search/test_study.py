"""A search is the same whatever ends first and wherever it was stopped."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest

from src.core.errors import AssayError
from src.search.engine.distributions import Categorical, Range
from src.search.engine.records import TrialResult, read_trial, write_trial
from src.search.engine.space import SearchSpace
from src.search.engine.study import run_search, search_asynchronously
from src.search.engine.trial_log import SearchProgress
from tests.support.searches import (
    SQUARE,
    InProcess,
    StoppedError,
    complete,
    hill,
    learning,
    make_plan,
    nobody,
)
from tests.support.workspaces import ROOT

METHODS = ["grid", "random", "tpe", "gp", "cmaes", "nsga2"]
GRID = SearchSpace({"x": Categorical((0.1, 0.3, 0.5, 0.7)), "y": Categorical((0.5, 0.7, 0.9))})


def plan_of(method, **changes):
    space = GRID if method == "grid" else SQUARE
    return make_plan(space, method=method, **{"trials": 9 if method == "gp" else 18, "batch": 4, **changes})


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def slope(settings, epoch):
    """Learns towards the height of the hill, with a little that differs from epoch to epoch."""
    height = hill(settings, None).metrics["val/accuracy"]
    return height - 0.5 / epoch + 0.02 * ((settings["x"] * 1000 * epoch) % 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_order_of_delivery_changes_no_byte(tmp_path, method):
    plan = plan_of(method, pruner="none" if method == "nsga2" else "hyperband", max_steps=6)
    train = learning(slope, 6)
    expected = run_search(plan, InProcess(train), tmp_path / "in order", nobody)
    for seed in range(2):
        folder = tmp_path / f"shuffled {seed}"
        assert run_search(plan, InProcess(train, random.Random(seed)), folder, nobody) == expected
        assert contents(folder) == contents(tmp_path / "in order")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_stopped_search_ends_as_one_that_was_never_stopped(tmp_path, method):
    plan = plan_of(method, pruner="none" if method == "nsga2" else "median", max_steps=6)
    train = learning(slope, 6)
    expected = run_search(plan, InProcess(train), tmp_path / "unbroken", nobody)
    moments, folder = random.Random(method), tmp_path / "stopped"
    begun = []
    while True:
        evaluator = InProcess(train, moments, stop_after=moments.randrange(6))
        begun.append(evaluator)
        try:
            trials = run_search(plan, evaluator, folder, nobody)
            break
        except StoppedError:
            continue
    assert len(begun) > 2
    assert trials == expected
    assert contents(folder) == contents(tmp_path / "unbroken")


def test_interrupted_trials_begin_again_with_the_same_settings(tmp_path):
    plan = plan_of("tpe")
    first = InProcess(hill, stop_after=6)
    with pytest.raises(StoppedError):
        run_search(plan, first, tmp_path, nobody)
    second = InProcess(hill)
    run_search(plan, second, tmp_path, nobody)
    assert second.submitted[:2] == first.submitted[6:]
    assert len(second.submitted) == plan.total - 6


def test_finished_search_evaluates_nothing(tmp_path):
    plan = plan_of("tpe")
    trials = run_search(plan, InProcess(hill), tmp_path, nobody)
    again = InProcess(hill)
    assert run_search(plan, again, tmp_path, nobody) == trials
    assert again.submitted == []


SCRIPT = """
import sys
from pathlib import Path
from src.search.engine.study import run_search
from tests.support.searches import InProcess, make_plan, nobody
from tests.search.test_samplers import FORK, fork
run_search(make_plan(FORK, method=sys.argv[1], trials=20), InProcess(fork), Path(sys.argv[2]), nobody)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tpe", pytest.param("nsga2", marks=pytest.mark.prove)])
def test_other_processes_propose_the_same(tmp_path, method):
    """Optuna's own docstrings warn of the hashing of texts, which differs between processes."""
    for hashing in "12":
        command = [sys.executable, "-c", SCRIPT, method, str(tmp_path / hashing)]
        environment = {**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_seed_decides(tmp_path):
    trials = [
        run_search(plan_of("random", seed=seed), InProcess(hill), tmp_path / str(seed), nobody)
        for seed in (0, 1)
    ]
    assert trials[0] != trials[1]


def test_proposals_know_earlier_batches_only(tmp_path):
    """What a batch proposes does not depend on how its own trials end."""

    def spoiled(settings, pruner):
        return hill(settings, pruner) if pruner.number < 8 else complete(0.0)

    plan = plan_of("tpe", trials=12)
    one = run_search(plan, InProcess(hill), tmp_path / "one", nobody)
    other = run_search(plan, InProcess(spoiled), tmp_path / "other", nobody)
    assert [trial.settings for trial in one] == [trial.settings for trial in other]


def test_rules_know_earlier_batches_only(tmp_path):
    known = {}

    def train(settings, pruner):
        known[pruner.number] = [past.number for past in pruner.earlier]
        return complete(1.0)

    run_search(plan_of("random", trials=10, pruner="median"), InProcess(train), tmp_path, nobody)
    assert known == {number: list(range(number - number % 4)) for number in range(10)}


FEW = SearchSpace({"x": Categorical((0.1, 0.3)), "y": Categorical((0.7,))})


def test_known_settings_are_not_evaluated_again(tmp_path):
    plan = make_plan(FEW, method="random", trials=12)
    for shuffled in (None, random.Random(0)):
        folder = tmp_path / str(shuffled)
        evaluator = InProcess(hill, shuffled)
        trials = run_search(plan, evaluator, folder, nobody)
        assert len(trials) == 12 and len(evaluator.submitted) == 2
        originals = {trial.number: trial for trial in trials if trial.reused is None}
        assert len(originals) == 2
        for trial in trials:
            original = originals[trial.number if trial.reused is None else trial.reused]
            assert original.number <= trial.number
            assert (trial.settings, trial.outcome) == (original.settings, original.outcome)
            assert read_trial(folder / f"{trial.number:05d}.json") == trial


def test_reused_outcomes_survive_a_stop(tmp_path):
    plan = make_plan(FEW, method="random", trials=12)
    expected = run_search(plan, InProcess(hill), tmp_path / "unbroken", nobody)
    with pytest.raises(StoppedError):
        run_search(plan, InProcess(hill, stop_after=1), tmp_path / "stopped", nobody)
    assert run_search(plan, InProcess(hill), tmp_path / "stopped", nobody) == expected


def failing(*numbers):
    """Trials with these numbers fail."""

    def train(settings, pruner):
        if pruner.number in numbers:
            return TrialResult("failed", reason=f"the loss of trial {pruner.number} is nan")
        return hill(settings, pruner)

    return train


@pytest.mark.parametrize("method", ["random", "tpe", "gp", "cmaes", "nsga2"])
def test_failed_trials_are_kept_with_their_reason_and_the_search_goes_on(tmp_path, method):
    trials = run_search(plan_of(method), InProcess(failing(0, 1, 5)), tmp_path, nobody)
    assert [trial.number for trial in trials if trial.outcome.state == "failed"] == [0, 1, 5]
    assert trials[5].outcome.reason == "the loss of trial 5 is nan"
    assert len(trials) == plan_of(method).total


@pytest.mark.parametrize("run", ["batches", "asynchronous"])
def test_search_stops_if_the_first_trials_all_fail(tmp_path, run):
    evaluator = InProcess(failing(*range(18)))
    with pytest.raises(
        AssayError, match=r"first 3 trials \(sweep.max_failures\).*the loss of trial 2 is nan"
    ):
        if run == "batches":
            run_search(plan_of("tpe"), evaluator, tmp_path, nobody)
        else:
            search_asynchronously(plan_of("tpe"), evaluator, 1, tmp_path, nobody)
    assert len(evaluator.submitted) <= 4


def test_a_success_among_the_first_lets_it_go_on(tmp_path):
    trials = run_search(plan_of("tpe"), InProcess(failing(0, 1, *range(3, 18))), tmp_path, nobody)
    assert [trial.outcome.state for trial in trials].count("failed") == 17


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_objective_that_is_no_number_is_a_failure(tmp_path, value):
    def train(settings, pruner):
        return complete(value) if pruner.number == 4 else hill(settings, pruner)

    trials = run_search(plan_of("tpe"), InProcess(train), tmp_path, nobody)
    assert trials[4].outcome.state == "failed"
    assert trials[4].outcome.reason == f"val/accuracy is {value}"


def test_file_of_another_search_is_refused_by_name(tmp_path):
    run_search(plan_of("random"), InProcess(hill), tmp_path, nobody)
    with pytest.raises(AssayError, match=r"00000\.json has other settings"):
        run_search(plan_of("random", seed=1), InProcess(hill), tmp_path, nobody)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"number": 2, "outcome": {"steps": {"a": 1}}}'])
def test_damaged_file_is_refused_by_name(tmp_path, content):
    run_search(plan_of("random"), InProcess(hill), tmp_path, nobody)
    (tmp_path / "00002.json").write_text(content)
    with pytest.raises(AssayError, match=r"00002\.json is damaged"):
        run_search(plan_of("random"), InProcess(hill), tmp_path, nobody)


def test_file_of_a_trial_gives_the_same_trial(tmp_path):
    outcome = TrialResult("pruned", {"val/loss": 0.1}, {1: 0.5, 2: 0.25}, 2, {"completed_rung_0": 0.5}, "why")
    (trial,) = run_search(make_plan(trials=1), InProcess(lambda settings, pruner: outcome), tmp_path, nobody)
    trial = replace(trial, settings={"a": [1, "x", 0.1, None, True], "b": {"c": 1e-300}}, reused=3)
    write_trial(tmp_path, trial)
    assert repr(read_trial(tmp_path / "00000.json")) == repr(trial)


def test_progress_leads_to_the_total(tmp_path):
    reported: list[SearchProgress] = []
    run_search(plan_of("tpe"), InProcess(hill, random.Random(0)), tmp_path, reported.append)
    assert [progress.total for progress in reported] == [18] * len(reported)
    ended = [len(progress.trials) for progress in reported]
    assert ended == sorted(ended) and ended[-1] == 18
    assert max(progress.running for progress in reported) == 4 and reported[-1].running == 0


# without batches


def test_asynchronous_search_keeps_the_slots_busy(tmp_path):
    busy = []
    evaluator = InProcess(hill, random.Random(0))

    def on_progress(progress):
        busy.append((progress.running, len(progress.trials)))

    trials = search_asynchronously(plan_of("tpe"), evaluator, 3, tmp_path, on_progress)
    assert [trial.number for trial in trials] == list(range(18))
    assert all(running == min(3, 18 - ended) for running, ended in busy)
    assert sorted(proposal.number for proposal in evaluator.submitted) == list(range(18))


@pytest.mark.parametrize("method", ["grid", "random", "tpe", "gp"])
def test_asynchronous_search_goes_on_after_stops(tmp_path, method):
    plan, moments = plan_of(method, pruner="hyperband", max_steps=6), random.Random(method)
    train = learning(slope, 6)
    settings, kept = {}, {}
    while True:
        evaluator = InProcess(train, moments, stop_after=moments.randrange(5))
        try:
            trials = search_asynchronously(plan, evaluator, 3, tmp_path, nobody)
            break
        except StoppedError:
            pass
        finally:
            for proposal in evaluator.submitted:
                assert settings.setdefault(proposal.number, proposal.settings) == proposal.settings
                assert f"{proposal.number:05d}.json" not in kept  # what was finished is not done again
            kept = {name: text for name, text in contents(tmp_path).items() if "begun" not in name}
    assert [trial.number for trial in trials] == list(range(plan.total))
    assert [trial.settings for trial in trials if trial.reused is None] == [
        settings[trial.number] for trial in trials if trial.reused is None
    ]
    assert sorted(contents(tmp_path)) == [f"{number:05d}.json" for number in range(plan.total)]
    if method == "grid":
        assert len({json.dumps(trial.settings) for trial in trials}) == 12


def test_asynchronous_search_reuses_what_is_known_or_under_way(tmp_path):
    evaluator = InProcess(hill, random.Random(0))
    trials = search_asynchronously(make_plan(FEW, method="random", trials=12), evaluator, 2, tmp_path, nobody)
    assert len(trials) == 12 and len(evaluator.submitted) == 2
    assert sum(trial.reused is None for trial in trials) == 2


def test_asynchronous_rules_know_what_has_ended(tmp_path):
    known = {}

    def train(settings, pruner):
        known[pruner.number] = {past.number for past in pruner.earlier}
        return complete(1 - pruner.number / 100)

    search_asynchronously(plan_of("random", pruner="median"), InProcess(train), 2, tmp_path, nobody)
    assert known[0] == known[1] == set()
    assert all(known[number] == set(range(number - 1)) for number in range(2, 18))


def test_damaged_proposal_is_refused_by_name(tmp_path):
    with pytest.raises(StoppedError):
        search_asynchronously(plan_of("random"), InProcess(hill, stop_after=1), 2, tmp_path, nobody)
    (tmp_path / "00001.begun.json").write_text("{")
    with pytest.raises(AssayError, match=r"00001\.begun\.json is damaged"):
        search_asynchronously(plan_of("random"), InProcess(hill), 2, tmp_path, nobody)


def test_single_point_is_a_search_of_one_training(tmp_path):
    space = SearchSpace({"x": Categorical((0.3,)), "size": Range(1, 2, integer=True)})
    trials = run_search(make_plan(space, method="tpe", trials=8), InProcess(hill), tmp_path, nobody)
    assert len({trial.settings["size"] for trial in trials}) <= 2
    assert sum(trial.reused is None for trial in trials) <= 2

"""The copy of a search that Optuna's own tools read."""

import json
import random
import subprocess
import sys
import threading
from functools import partial

import optuna
import pytest

from src.search.engine.distributions import Categorical, Range
from src.search.engine.records import Trial, TrialResult
from src.search.engine.space import SearchSpace
from src.search.engine.study import run_search
from src.search.engine.trial_log import SearchProgress
from src.search.engine.trial_tasks import trial_lineage
from src.search.report.optuna_storage import STORAGE, StudyMirror, open_storage
from tests.support.searches import InProcess, StoppedError, hill, learning, make_plan

PLAN = make_plan(pruner="median", max_steps=4, trials=12, constraints=("val/loss <= 0.5",))
CLIENT = """
import json, sys
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

assert "src" not in sys.modules
study = optuna.load_study(study_name=sys.argv[2], storage=JournalStorage(JournalFileBackend(sys.argv[1])))
print(json.dumps([
    {
        "number": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "distributions": {name: str(each) for name, each in trial.distributions.items()},
        "steps": trial.intermediate_values,
        "attributes": trial.user_attrs,
        "best": trial.number == study.best_trial.number,
    }
    for trial in study.trials
]))
"""


def slope(settings, step):
    return 0.5 + settings["x"] * step / 8


def mirror(root, plan=PLAN, name="study", said=None):
    said = [] if said is None else said
    return StudyMirror(root, name, plan, partial(trial_lineage, "parent"), said.append)


def search(root, plan=PLAN, function=None, folder="trials", **changes):
    runner = InProcess(function or learning(slope, 4), random.Random(1), **changes)
    return run_search(plan, runner, root / folder, mirror(root, plan))


def trials_of(root, name="study"):
    return optuna.load_study(study_name=name, storage=open_storage(root)).get_trials()


def test_optunas_own_client_reads_it(tmp_path):
    trials = search(tmp_path)
    command = [sys.executable, "-c", CLIENT, str(tmp_path / STORAGE), "study"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)
    assert [each["number"] for each in read] == [trial.number for trial in trials]
    for each, trial in zip(read, trials, strict=True):
        outcome = trial.outcome
        assert each["state"] == outcome.state.upper()
        assert each["params"] == trial.settings
        assert each["distributions"].keys() == {"x", "y"}
        assert {int(step): value for step, value in each["steps"].items()} == outcome.steps
        assert each["attributes"]["lineage"] == trial_lineage("parent", trial.number)
        assert each["attributes"].get("reason") == outcome.reason
        if outcome.state == "complete":
            assert each["values"] == [outcome.metrics["val/accuracy"]]
    assert {each["state"] for each in read} == {"COMPLETE", "PRUNED"}
    assert sum(each["best"] for each in read) == 1


def test_two_objectives_failed_trials_and_categories(tmp_path):
    objectives = {"val/accuracy": "maximize", "model/bytes": "minimize"}
    space = SearchSpace({"x": Range(0.0, 1.0), "widths": Categorical(([8], [8, 16]))})
    plan = make_plan(space, objectives=objectives, trials=8, method="random", max_failures=9)

    def sometimes(settings, pruner):
        if pruner.number % 2:
            return TrialResult("failed", reason="the loss is NaN")
        return hill(settings, pruner)

    search(tmp_path, plan, sometimes)
    copied = trials_of(tmp_path)
    assert [trial.state.name for trial in copied] == ["COMPLETE", "FAIL"] * 4
    assert {trial.user_attrs["reason"] for trial in copied[1::2]} == {"the loss is NaN"}
    assert {trial.params["widths"] for trial in copied} <= {"[8]", "[8, 16]"}
    study = optuna.load_study(study_name="study", storage=open_storage(tmp_path))
    assert study.metric_names == list(objectives)


def test_a_search_that_is_killed_and_repeated_is_there_once(tmp_path):
    with pytest.raises(StoppedError):
        search(tmp_path, stop_after=6)
    assert 0 < len(trials_of(tmp_path)) <= 6
    with (tmp_path / STORAGE).open("a") as file:
        file.write('{"op_code": 4, "study_')  # what a kill left of a write
    trials = search(tmp_path)
    again = search(tmp_path)
    assert again == trials
    assert [trial.params for trial in trials_of(tmp_path)] == [trial.settings for trial in trials]


def test_another_search_of_the_same_name_replaces_it(tmp_path):
    search(tmp_path, folder="one")
    other = make_plan(pruner="median", max_steps=4, trials=5, seed=7)
    trials = search(tmp_path, other, folder="other")
    assert [trial.params for trial in trials_of(tmp_path)] == [trial.settings for trial in trials]


def test_searches_at_the_same_time_are_both_whole(tmp_path):
    progress = SearchProgress(
        20, tuple(Trial(n, {"x": 0.5, "y": n / 20}, hill({"x": 0.5}, None)) for n in range(20)), 0
    )

    def copy(name):
        follow = mirror(tmp_path, name=name)
        for count in range(1, 21):
            follow(SearchProgress(20, progress.trials[:count], 1))

    threads = [threading.Thread(target=copy, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("one", "other"):
        assert [trial.params["y"] for trial in trials_of(tmp_path, name)] == [n / 20 for n in range(20)]


def test_trials_wait_for_those_with_lower_numbers(tmp_path):
    follow = mirror(tmp_path)
    later = Trial(1, {"x": 0.5, "y": 0.5}, hill({"x": 0.5}, None))
    follow(SearchProgress(2, (later,), 1))
    assert trials_of(tmp_path) == []
    follow(SearchProgress(2, (Trial(0, {"x": 0.1, "y": 0.1}, hill({"x": 0.1}, None)), later), 0))
    assert [trial.params["x"] for trial in trials_of(tmp_path)] == [0.1, 0.5]


def test_a_file_that_cannot_be_written_costs_a_line_and_nothing_else(tmp_path):
    (tmp_path / STORAGE).write_text("no journal\n" * 3)
    said = []
    follow = mirror(tmp_path, said=said)
    trials = run_search(PLAN, InProcess(learning(slope, 4)), tmp_path / "trials", follow)
    assert len(trials) == 12
    assert len(said) == 1 and said[0].startswith("optuna.log could not be written")
    assert (tmp_path / STORAGE).read_text() == "no journal\n" * 3

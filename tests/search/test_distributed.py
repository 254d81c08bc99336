"""Studies that many machines share, in a real PostgreSQL server: nothing is lost, nothing counted twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from src.core.errors import AssayError
from src.search.distributed.plan_json import plan_from_json, plan_to_json
from src.search.distributed.storage import Heartbeat, open_storage, redact_url
from src.search.distributed.study import attributes_of, create_study, ended_trials, plan_of, work
from src.search.engine.distributions import Categorical, Range
from src.search.engine.records import TrialResult
from src.search.engine.space import SearchSpace
from tests.support.postgres import postgres_server
from tests.support.searches import SQUARE, complete, make_plan, nobody
from tests.support.workspaces import ROOT

FAST = Heartbeat(heartbeat=1, grace=1, poll=0.1)


pytestmark = [
    pytest.mark.filterwarnings("ignore:Heartbeat of storage is supposed to be used with Study.optimize"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture(scope="module")
def server():
    with postgres_server() as url:
        yield url


@pytest.fixture
def name(request):
    return request.node.name.replace("[", "-").replace("]", "")


def hill(proposal, pruning):
    return complete(1 - (proposal.settings["x"] - 0.3) ** 2, bytes=1000 * proposal.settings["x"])


def run(name, server, evaluate=hill, on_progress=nobody):
    said = []
    return work(name, server, evaluate, on_progress, said.append, FAST), said


def states(server, name):
    with open_storage(server, FAST) as storage:
        study = optuna.load_study(storage=storage, study_name=name)
        return [trial.state.name for trial in study.get_trials()]


def second_attempt(server, name, number):
    """What Optuna numbered the second attempt: on a busy machine it comes early, else last."""
    with open_storage(server, FAST) as storage:
        trials = optuna.load_study(storage=storage, study_name=name).get_trials()
    return next(trial.number for trial in trials if trial.system_attrs.get("failed_trial") == number)


def begun(log):
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.mark.prove
def test_three_workers_one_of_them_killed(server, name, tmp_path):
    plan, log = make_plan(name=name, trials=12), tmp_path / "begun"
    create_study(plan, server, {}, retries=2)
    command = [sys.executable, "-m", "tests.support.shared_worker", server, name, str(log)]
    victim = subprocess.Popen([*command, "600"], cwd=ROOT)  # never ends its trial
    while not begun(log):
        assert victim.poll() is None
        time.sleep(0.05)
    others = [subprocess.Popen([*command, "0.2"], cwd=ROOT) for _ in range(2)]
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert [other.wait(60) for other in others] == [0, 0]

    trials, log_lines = {trial.number: trial for trial in ended_trials(name, server)}, begun(log)
    killed = next(line for line in log_lines if line["process"] == victim.pid)
    attempts = [line for line in log_lines if line["number"] == killed["number"]]
    assert len(attempts) == 2
    assert attempts[0]["settings"] == attempts[1]["settings"] == trials[killed["number"]].settings
    first_attempts = [
        number for number in range(13) if number != second_attempt(server, name, killed["number"])
    ]
    assert list(trials) == first_attempts[:12]
    assert [trial.outcome.state for trial in trials.values()] == ["complete"] * 12
    assert len(log_lines) == 12 + 1  # no other was begun twice, and none beyond the total
    assert set(states(server, name)) == {"COMPLETE", "FAIL"}
    assert states(server, name).count("COMPLETE") == 12
    assert len({line["process"] for line in log_lines}) == 3


def test_many_workers_at_once_reach_the_total_and_no_more(server, name):
    create_study(make_plan(name=name, trials=5), server, {}, retries=0)
    lists = []
    threads = [threading.Thread(target=lambda: lists.append(run(name, server)[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(lists) == 6
    assert all(trials == lists[0] for trials in lists)
    assert [trial.number for trial in lists[0]] == [0, 1, 2, 3, 4]
    assert states(server, name).count("COMPLETE") == 5
    assert "RUNNING" not in states(server, name)
    assert len({json.dumps(trial.settings) for trial in lists[0]}) == 5  # no two had the same seed


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_a_worker_that_died_without_a_trace(server, name, seen):
    """Killed before or after its first sign of life, which Optuna alone would wait for for ever."""
    create_study(make_plan(name=name, trials=3), server, {}, retries=1)
    with open_storage(server, FAST) as storage:
        study = optuna.load_study(storage=storage, study_name=name)
        trial = study.ask()
        settings = SQUARE.suggest(trial)
        if seen:
            storage.record_heartbeat(trial._trial_id)
    trials, _ = run(name, server)
    assert [trial.outcome.state for trial in trials] == ["complete"] * 3
    assert trials[0].settings == settings
    assert sorted(states(server, name)) == ["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]


def test_retries_come_to_an_end(server, name):
    """A trial that kills each worker is a failed one in the end."""
    create_study(make_plan(name=name, trials=2), server, {}, retries=1)
    with open_storage(server, FAST) as storage:
        study = optuna.load_study(storage=storage, study_name=name)
        for _ in range(2):
            trial = study.ask()
            SQUARE.suggest(trial)
            storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
            storage.get_heartbeat_stale_trial_callback()(study, study.get_trials()[trial.number])
    trials, _ = run(name, server)
    assert [trial.outcome.state for trial in trials] == ["failed", "complete"]
    assert trials[0].outcome.reason == "its worker died, 2 times"
    assert set(trials[0].settings) == {"x", "y"}


@pytest.mark.slow
@pytest.mark.parametrize("error", [ZeroDivisionError, ValueError, KeyboardInterrupt])
def test_a_worker_that_is_stopped_gives_its_trial_back(server, name, error):
    create_study(make_plan(name=name, trials=3), server, {}, retries=1)
    tried = []

    def broken(proposal, pruning):
        tried.append(proposal)
        raise error

    with pytest.raises(error):
        run(name, server, broken)
    assert states(server, name) == ["FAIL", "WAITING"]
    trials, _ = run(name, server)
    assert [trial.outcome.state for trial in trials] == ["complete"] * 3
    assert trials[0].settings == tried[0].settings


def test_a_worker_that_was_silent_for_too_long_loses_its_trial(server, name):
    """As after a laptop's sleep: its trial was taken over, and its own outcome is not counted."""
    create_study(make_plan(name=name, trials=2), server, {}, retries=1)

    def asleep(proposal, pruning):
        if proposal.number == 0 and not others:
            with open_storage(server, FAST) as storage:
                study = optuna.load_study(storage=storage, study_name=name)
                storage.set_trial_state_values(study.trials[0]._trial_id, optuna.trial.TrialState.FAIL)
                storage.get_heartbeat_stale_trial_callback()(study, study.trials[0])
            others.append(run(name, server)[0])
        assert pruning.report(1, -1.0) == (proposal.number == 0)
        return complete(-1.0)

    others = []
    trials, said = run(name, server, asleep)
    assert trials == others[0]
    assert all(trial.outcome.metrics["val/accuracy"] > 0 for trial in trials)
    assert said == ["a trial was taken over by another worker, because this one gave no sign of life"]


def test_outcomes_come_back_as_they_were(server, name):
    """Figures, steps, marks and reasons; failed and pruned trials count; equal settings are tried once."""
    space = SearchSpace({"x": Categorical((0.1, 0.2, 0.3))})
    given = {
        0.1: TrialResult(
            "complete", {"val/accuracy": 1 / 3, "model/bytes": 7.0}, {1: 0.5, 2: 1 / 3}, 2, {"mark": 1.5}
        ),
        0.2: TrialResult("pruned", {"val/accuracy": 0.1}, {1: 0.1}, 1, {}, "pruned after epoch 1"),
        0.3: TrialResult("failed", reason="the loss is NaN in epoch 1"),
    }
    create_study(make_plan(space, name=name, trials=14, max_failures=99), server, {}, retries=0)
    tried = []

    def evaluate(proposal, pruning):
        tried.append(proposal.settings["x"])
        return given[proposal.settings["x"]]

    snapshots = []
    trials, _ = run(name, server, evaluate, snapshots.append)
    assert len(trials) == 14
    assert sorted(tried) == sorted(set(tried))
    assert all(trial.outcome == given[trial.settings["x"]] for trial in trials)
    firsts = {trial.settings["x"]: trial.number for trial in reversed(trials)}
    assert all((trial.reused is None) == (trial.number in firsts.values()) for trial in trials)
    assert all(trial.reused in (None, firsts[trial.settings["x"]]) for trial in trials)
    assert [len(progress.trials) for progress in snapshots] == list(range(15))


def test_the_pruner_of_the_study_decides(server, name):
    """After good trials, one that is bad at the first step is stopped there."""
    plan = make_plan(name=name, trials=8, pruner="median", max_steps=4)
    create_study(plan, server, {}, retries=0)

    def evaluate(proposal, pruning):
        steps = {}
        for step in range(1, 5):
            steps[step] = 0.0 if proposal.number == 7 else 1.0
            if pruning.report(step, steps[step]):
                return TrialResult("pruned", {}, steps, step, pruning.pruner_state, "median")
        return TrialResult("complete", {"val/accuracy": steps[4]}, steps, 4)

    trials, _ = run(name, server, evaluate)
    assert [trial.outcome.state for trial in trials] == ["complete"] * 7 + ["pruned"]
    assert len(trials[7].outcome.steps) < 4


def test_an_objective_that_is_no_number_is_a_failure(server, name):
    create_study(make_plan(name=name, trials=2, max_failures=9), server, {}, retries=0)
    trials, _ = run(name, server, lambda proposal, pruning: complete(float("nan")))
    assert [trial.outcome.reason for trial in trials] == ["val/accuracy is nan"] * 2


def test_hopeless_studies_stop(server, name):
    create_study(make_plan(name=name, trials=9, max_failures=2), server, {}, retries=0)
    with pytest.raises(AssayError, match=r"first 2 trials .* all failed, the last one with: no luck"):
        run(name, server, lambda proposal, pruning: TrialResult("failed", reason="no luck"))


def test_two_objectives_and_constraints(server, name):
    objectives = {"val/accuracy": "maximize", "model/bytes": "minimize"}
    plan = make_plan(
        name=name, trials=10, method="nsga2", objectives=objectives, constraints=("model/bytes <= 500",)
    )
    create_study(plan, server, {}, retries=0)
    trials, _ = run(name, server)
    assert len(trials) == 10
    with open_storage(server, FAST) as storage:
        found = optuna.load_study(storage=storage, study_name=name).get_trials()
    for trial, kept in zip(trials, found, strict=True):
        assert kept.values == [trial.outcome.metrics["val/accuracy"], trial.outcome.metrics["model/bytes"]]
        assert kept.constraints == pytest.approx(
            {"model/bytes <= 500": trial.outcome.metrics["model/bytes"] / 500 - 1}
        )


def test_a_grid_is_complete_and_without_repeats(server, name):
    space = SearchSpace({"x": Categorical((0.1, 0.2, 0.3)), "w": Categorical(([8], [8, 16]))})
    create_study(make_plan(space, name=name, method="grid", trials=99), server, {}, retries=0)
    create_study(make_plan(space, name=name, method="grid", trials=99), server, {}, retries=0)  # joined
    lists = []
    threads = [threading.Thread(target=lambda: lists.append(run(name, server)[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    points = [json.dumps(trial.settings, sort_keys=True) for trial in lists[0]]
    assert sorted(points) == sorted(json.dumps(point, sort_keys=True) for point in space.points())


def rich_plan(name):
    space = SearchSpace(
        {
            "model": Categorical(("cnn", "lenet")),
            "train.optimizer.lr": Range(1e-4, 1e-1, log=True),
            "model.widths": Categorical(([8, 16], [16])),
            "train.epochs": Range(1, 5, integer=True),
        },
        ("model",),
        {
            ("cnn",): frozenset({"train.optimizer.lr", "model.widths", "train.epochs"}),
            ("lenet",): frozenset({"train.optimizer.lr", "train.epochs"}),
        },
    )
    return make_plan(space, name=name, constraints=("model/bytes <= 2e5",), pruner="median", max_steps=5)


def test_a_worker_knows_the_plan_from_the_storage(server, name):
    plan, attributes = rich_plan(name), {"overrides": ["model=cnn"], "data": {"digest": "abc"}}
    assert create_study(plan, server, attributes, retries=2)
    assert not create_study(plan, server, attributes, retries=2)
    assert plan_of(name, server) == plan
    assert list(plan_of(name, server).space.domains) == list(plan.space.domains)
    assert attributes_of(name, server) == attributes
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan
    assert ended_trials(name, server) == []


def test_another_plan_is_refused_by_name(server, name):
    plan = rich_plan(name)
    create_study(plan, server, {"overrides": []}, retries=2)
    other = replace(plan, trials=plan.trials + 1, seed=5)
    with pytest.raises(AssayError, match=rf"{name} .* differs in seed, trials\. .*sweep\.study=OTHER"):
        create_study(other, server, {"overrides": []}, retries=2)
    with pytest.raises(AssayError, match=r"differs in overrides, retries\."):
        create_study(plan, server, {"overrides": ["model=lenet"]}, retries=1)
    assert plan_of(name, server) == plan


def test_unknown_studies_are_told_with_the_known_ones(server, name):
    create_study(make_plan(name=name), server, {}, retries=0)
    with pytest.raises(AssayError, match=rf"there is no study nothing in .*: it has .*{name}"):
        plan_of("nothing", server)


def test_a_study_of_somebody_else_is_not_worked_on(server, name):
    with open_storage(server, FAST) as storage:
        optuna.create_study(storage=storage, study_name=name)
    with pytest.raises(AssayError, match=r"not of Assay: it lacks .*plan"):
        run(name, server)


def test_an_unreachable_server_is_told_without_the_password():
    url = "postgresql://somebody:topsecret@127.0.0.1:1/studies"
    with pytest.raises(
        AssayError, match=r"postgresql\+psycopg2://somebody:\*\*\*@127\.0\.0\.1:1/studies"
    ) as caught:
        plan_of("study", url)
    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert "refused" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["nonsense", "mystery://user:topsecret@host/db", "postgresql://u:topsecret@host:port/db"]
)
def test_no_url_of_a_database(url):
    with pytest.raises(AssayError, match=r"sweep\.storage") as caught:
        plan_of("study", url)
    assert "topsecret" not in str(caught.value)


def test_passwords_are_not_shown():
    assert redact_url("postgresql://me:topsecret@host/db") == "postgresql+psycopg2://me:***@host/db"
    assert "topsecret" not in redact_url("postgresql://host/db?user=me&password=topsecret")


@pytest.mark.slow
def test_a_server_that_stops_is_told(name):
    with postgres_server() as url:
        create_study(make_plan(name=name), url, {}, retries=0)
        process = _server_process(url)

        def evaluate(proposal, pruning):
            os.kill(process, signal.SIGQUIT)
            while _alive(url):
                time.sleep(0.05)
            return hill(proposal, pruning)

        with pytest.raises(AssayError, match=r"stopped answering: .*\. Finished trials are kept"):
            run(name, url, evaluate)


def _server_process(url):
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
    with engine.connect() as connection:
        folder = connection.execute(sqlalchemy.text("SHOW data_directory")).scalar()
    engine.dispose()
    return int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])


def _alive(url):
    import psycopg2

    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True

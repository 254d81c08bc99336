"""Pruners stop what is plainly bad, never the best, and decide as Optuna does in one process."""

import pickle

import optuna
import pytest

from src.search.engine.distributions import Categorical
from src.search.engine.pruning import earlier_trials, make_pruner_spec
from src.search.engine.ranking import best
from src.search.engine.records import Trial, TrialResult
from src.search.engine.samplers import make_pruner, quiet_optuna
from src.search.engine.space import SearchSpace
from src.search.engine.study import run_search
from tests.support.searches import InProcess, learning, make_plan, nobody

EPOCHS = 6
LADDER = SearchSpace({"level": Categorical(tuple(range(24)))})
PRUNERS = ["median", "hyperband", "successive_halving"]


def rung(settings, epoch):
    """Trials that never overtake each other."""
    return 0.5 + settings["level"] / 100 - 0.3 / epoch


def climb(pruner, folder, **changes):
    """The ladder in random order."""
    fields = {"method": "grid", "trials": 24, "pruner": pruner, "max_steps": EPOCHS, **changes}
    plan = make_plan(LADDER, **fields)
    return plan, run_search(plan, InProcess(learning(rung, EPOCHS)), folder, nobody)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("pruner", PRUNERS)
def test_best_of_a_ladder_is_never_pruned(tmp_path, pruner, batch, seed):
    plan, trials = climb(pruner, tmp_path, batch=batch, seed=seed)
    assert best(trials, plan.objectives, ()).settings == {"level": 23}
    assert any(trial.outcome.state == "pruned" for trial in trials)


@pytest.mark.parametrize("pruner", PRUNERS)
def test_plainly_bad_trial_is_pruned(pruner):
    plan = make_plan(LADDER, pruner=pruner, max_steps=EPOCHS)
    train = learning(rung, EPOCHS)
    good = [
        Trial(number, {"level": 20}, train({"level": 20}, make_pruner_spec(plan, number, ())))
        for number in range(8)
    ]
    outcome = train({"level": 0}, make_pruner_spec(plan, 8, earlier_trials(plan, good)))
    assert outcome.state == "pruned"
    assert outcome.epochs <= 3
    assert outcome.reason == f"pruned after epoch {outcome.epochs}"


@pytest.mark.parametrize("way", ["minimize", "maximize"])
@pytest.mark.parametrize("pruner", PRUNERS)
def test_direction_of_the_objective_is_heeded(pruner, way):
    plan = make_plan(LADDER, pruner=pruner, max_steps=EPOCHS, objectives={"val/loss": way})

    def train(level, number, past):
        pruning = make_pruner_spec(plan, number, past).begin()
        for epoch in range(1, EPOCHS + 1):
            if pruning.report(epoch, float(level)):
                return TrialResult("pruned", {}, {}, epoch, pruning.pruner_state)
        steps = dict.fromkeys(range(1, EPOCHS + 1), float(level))
        return TrialResult("complete", {"val/loss": float(level)}, steps, EPOCHS, pruning.pruner_state)

    past = earlier_trials(plan, [Trial(number, {}, train(5, number, ())) for number in range(9)])
    assert train(9, 9, past).state == ("pruned" if way == "minimize" else "complete")
    assert train(1, 9, past).state == ("complete" if way == "minimize" else "pruned")


def in_one_process(plan, trials):
    """States and epochs that Optuna comes to by itself for the same settings."""
    with quiet_optuna():
        study = optuna.create_study(
            study_name=plan.name,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=make_pruner(plan.pruner, plan.trials, plan.max_steps),
        )
    for trial in trials:
        study.enqueue_trial(plan.space.encode(trial.settings))

    def objective(asked):
        settings, values = plan.space.suggest(asked), []
        for epoch in range(1, plan.max_steps + 1):
            values.append(noisy(settings, epoch))
            asked.report(values[-1], epoch)
            stop = asked.should_prune()
            if stop and epoch < plan.max_steps:
                raise optuna.TrialPruned
        return max(values)

    study.optimize(objective, n_trials=len(trials))
    return [(trial.state.name.lower(), trial.last_step) for trial in study.trials]


def noisy(settings, epoch):
    """Trials that overtake each other."""
    return rung(settings, epoch) + 0.1 * ((settings["level"] * 7919 * epoch) % 13) / 13


@pytest.mark.parametrize("name", ["a", "b", "c"])  # which decides hyperband's brackets
@pytest.mark.parametrize("steps", [6, 20])
@pytest.mark.parametrize("pruner", PRUNERS)
def test_one_at_a_time_it_decides_as_optuna_does(tmp_path, pruner, steps, name):
    plan = make_plan(
        LADDER, name=name, method="grid", trials=24, batch=1, pruner=pruner, max_steps=steps, seed=len(name)
    )
    trials = run_search(plan, InProcess(learning(noisy, steps)), tmp_path, nobody)
    ours = [(trial.outcome.state, trial.outcome.epochs) for trial in trials]
    assert ours == in_one_process(plan, trials)
    assert len({state for state, _ in ours}) == 2


def test_hyperband_has_brackets(tmp_path):
    """Trials of the second one may learn for longer before they are compared."""
    plan = make_plan(LADDER, method="grid", trials=24, pruner="hyperband", max_steps=20)
    trials = run_search(plan, InProcess(learning(rung, 20)), tmp_path, nobody)
    ends = {trial.outcome.epochs for trial in trials if trial.outcome.state == "pruned"}
    assert {1, 4} <= ends


@pytest.mark.parametrize("pruner", ["hyperband", "successive_halving"])
def test_halving_takes_less_than_half_of_the_epochs(tmp_path, pruner):
    """On average, in batches of 2; the first trials of all have nothing to be compared with."""
    spent = [
        sum(trial.outcome.epochs for trial in climb(pruner, tmp_path / str(seed), batch=2, seed=seed)[1])
        for seed in range(6)
    ]
    assert sum(spent) / len(spent) < 0.5 * 24 * EPOCHS


def test_worse_folds_end_a_trial_by_wilcoxon(tmp_path):
    plan = make_plan(LADDER, method="grid", trials=24, pruner="wilcoxon", max_steps=8)

    def folds(settings, fold):
        return settings["level"] / 100 + 0.01 * (fold % 3)

    trials = run_search(plan, InProcess(learning(folds, 8)), tmp_path, nobody)
    assert best(trials, plan.objectives, ()).settings == {"level": 23}
    pruned = [trial for trial in trials if trial.outcome.state == "pruned"]
    assert pruned and all(4 <= trial.outcome.epochs < 8 for trial in pruned)


@pytest.mark.parametrize("pruner", [*PRUNERS, "wilcoxon", "none"])
def test_nothing_is_pruned_after_its_last_step(pruner):
    plan = make_plan(LADDER, pruner=pruner, max_steps=3)
    good = TrialResult(
        "complete", {"val/accuracy": 1.0}, {1: 1.0, 2: 1.0, 3: 1.0}, 3, {"completed_rung_0": 1.0}
    )
    spec = make_pruner_spec(plan, 9, earlier_trials(plan, [Trial(number, {}, good) for number in range(9)]))
    assert spec.begin().report(3, 0.0) is False


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_pruner_is_sent_as_plain_values_and_starts_again_after_a_kill(pruner):
    plan = make_plan(LADDER, pruner=pruner, max_steps=EPOCHS)
    train = learning(rung, EPOCHS)
    past = [
        Trial(number, {}, train({"level": number * 5 % 9}, make_pruner_spec(plan, number, ())))
        for number in range(6)
    ]
    spec = make_pruner_spec(plan, 7, earlier_trials(plan, past))  # trial 6 runs at the same time
    sent = pickle.loads(pickle.dumps(spec))
    assert sent == spec
    outcomes = [train({"level": 4}, each) for each in (spec, spec, sent)]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_reused_and_failed_trials_are_no_evidence():
    plan = make_plan(LADDER, pruner="median")
    done = TrialResult("complete", {"val/accuracy": 1.0}, {1: 1.0})
    trials = [
        Trial(0, {}, done),
        Trial(1, {}, done, reused=0),
        Trial(2, {}, TrialResult("failed", reason="nan")),
    ]
    assert [past.number for past in earlier_trials(plan, trials)] == [0]


def test_later_numbers_may_have_ended_before():
    """Without batches a trial that was interrupted comes back after others."""
    plan = make_plan(LADDER, pruner="hyperband", max_steps=EPOCHS)
    train = learning(rung, EPOCHS)
    others = [
        Trial(number, {}, train({"level": 20}, make_pruner_spec(plan, number, ())))
        for number in (0, 1, 4, 7, 9)
    ]
    outcome = train({"level": 0}, make_pruner_spec(plan, 3, earlier_trials(plan, others)))
    assert outcome.state == "pruned"


def test_without_a_pruner_optuna_is_not_asked():
    plan = make_plan(LADDER)
    spec = make_pruner_spec(
        plan, 5, earlier_trials(plan, [Trial(0, {}, TrialResult("complete", {"val/accuracy": 1.0}))])
    )
    assert spec.earlier == ()
    assert spec.begin().report(1, float("nan")) is False

"""Studies that many machines share in an Optuna database.

Any machine that reaches the database can work on a study: all that a worker needs is there. Workers
give signs of life while they work on a trial (Optuna's heartbeats); a trial whose worker has died is tried
again with the same settings. What a study comes to depends on timing, so this is for ad-hoc searches.
"""

import math
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import DuplicatedStudyError, TrialPruned, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection

from src.config.dotted_keys import differing_keys
from src.core.errors import AssayError
from src.search.distributed.plan_json import plan_from_json, plan_to_json
from src.search.distributed.storage import OUTCOME, RETRIES, Heartbeat, open_storage, redact_url, retry
from src.search.distributed.trials import REUSED, SURPLUS, TrialTable, outcome_to_json
from src.search.engine.frozen_trials import constraint_values, objective_values
from src.search.engine.plan import SearchPlan, check_supported
from src.search.engine.pruning import Pruning
from src.search.engine.records import Proposal, Trial, TrialResult
from src.search.engine.samplers import grid_order, make_pruner, make_sampler, quiet_optuna
from src.search.engine.trial_log import SearchProgress, check_not_hopeless, with_finite_objectives

PLAN, ATTRIBUTES, READY = "plan", "attributes", "ready"  # attributes of a study
Evaluate = Callable[[Proposal, Pruning], TrialResult]
TIMING = Heartbeat()


def create_study(
    plan: SearchPlan, url: str, attributes: Mapping[str, Any], retries: int, timing: Heartbeat = TIMING
) -> bool:
    """Whether the study ``plan.name`` was created here; it is joined if it already exists.

    ``attributes``: what a worker needs beside the plan, as JSON. ``retries``: of a trial whose worker dies.

    Raises:
        AssayError: there is a study of this name with another plan, attributes or retries, and in what; the
            storage cannot be used; Optuna cannot do this search.
    """
    check_supported(plan)
    said = {PLAN: plan_to_json(plan), ATTRIBUTES: dict(attributes), RETRIES: retries}
    with open_storage(url, timing) as storage:
        study, created = _create(storage, plan)
        for key, value in said.items():
            if key not in study.user_attrs:
                study.set_user_attr(key, value)
        _refuse_other(plan.name, said, study.user_attrs)
        if READY not in study.user_attrs:
            _queue_first(study, plan)
            study.set_user_attr(READY, True)
        return created


def plan_of(study_name: str, url: str, timing: Heartbeat = TIMING) -> SearchPlan:
    """What a study is to do. Raises as :func:`attributes_of`."""
    with open_storage(url, timing) as storage:
        return _plan(_load(storage, study_name, url))


def attributes_of(study_name: str, url: str, timing: Heartbeat = TIMING) -> dict[str, Any]:
    """What a worker needs beside the plan.

    Raises:
        AssayError: the study does not exist (the others are named), or the storage cannot be used.
    """
    with open_storage(url, timing) as storage:
        attributes: dict[str, Any] = _load(storage, study_name, url).user_attrs[ATTRIBUTES]
        return attributes


def ended_trials(study_name: str, url: str, timing: Heartbeat = TIMING) -> list[Trial]:
    """The trials that have ended, by the number of their first attempt.

    All attempts at one trial are one. What was begun beyond the total is not among them, and leaves a gap in
    the numbers. Raises as :func:`attributes_of`.
    """
    return list(progress(study_name, url, timing).trials)


def progress(study_name: str, url: str, timing: Heartbeat = TIMING) -> SearchProgress:
    """How far a study is. Raises as :func:`attributes_of`."""
    with open_storage(url, timing) as storage:
        study = _load(storage, study_name, url)
        book = TrialTable(_plan(study), study.user_attrs[RETRIES], study.get_trials(deepcopy=False))
        return _standing(book)


def work(
    study_name: str,
    url: str,
    evaluate: Evaluate,
    on_progress: Callable[[SearchProgress], None],
    say: Callable[[str], None],
    timing: Heartbeat = TIMING,
) -> list[Trial]:
    """Work on a study until its total has ended, here and elsewhere; returns :func:`ended_trials`.

    ``evaluate`` carries one proposal out, whose number is that of its first attempt. What it raises ends this
    worker, and the trial is tried again elsewhere, as one whose worker was killed.

    Raises:
        AssayError: the first trials have all failed; else as :func:`attributes_of`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # failed trials are told of by on_progress
    with open_storage(url, timing) as storage:
        study = _load(storage, study_name, url)
        worker = StudyWorker(study, storage, evaluate, say, timing)
        while True:
            book = worker.book()
            ended = book.ended()
            on_progress(_standing(book))
            check_not_hopeless(book.plan, ended)
            if len(ended) >= book.plan.total:
                return ended
            if book.has_room() or book.waiting():
                worker.try_one()
            else:
                worker.look_after_others(book)
                time.sleep(timing.poll)


class LivePruner:
    """Asks the study's own pruner, which knows what all workers have reported."""

    def __init__(self, trial: optuna.Trial, plan: SearchPlan) -> None:
        self.pruner_state: dict[str, float] = {}  # Optuna keeps its own
        self._trial = trial
        self._plan = plan

    def report(self, step: int, value: float) -> bool:
        """Whether to stop after this step; never after the last, where nothing is saved."""
        if len(self._plan.objectives) > 1:
            return False
        try:
            self._trial.report(value, step)
        except UpdateFinishedTrialError:  # taken over by another worker: what comes of it here is of no use
            return True
        return self._trial.should_prune() and step < self._plan.max_steps


class StudyWorker:
    """One process at work on a study."""

    def __init__(
        self,
        study: optuna.Study,
        storage: RDBStorage,
        evaluate: Evaluate,
        say: Callable[[str], None],
        timing: Heartbeat,
    ) -> None:
        self._study = study
        self._plan, self._retries = _plan(study), study.user_attrs[RETRIES]
        self._failed = [math.nan] * len(self._plan.objectives)  # what Optuna takes for a failure
        self._storage = storage
        self._evaluate = evaluate
        self._say = say
        self._timing = timing
        self._attempt: int | None = None  # Optuna's number of the trial at hand
        self._settled = False  # it has its outcome, from here or from elsewhere
        self._orphans: dict[int, float] = {}  # id of a trial -> when it was first seen without a worker
        with quiet_optuna():  # a seed of its own, or two workers would propose the same
            study.sampler = make_sampler(self._plan, secrets.randbits(32))
            study.pruner = make_pruner(self._plan.pruner, self._plan.trials, self._plan.max_steps)

    def book(self) -> TrialTable:
        """How the study stands now."""
        return TrialTable(self._plan, self._retries, self._study.get_trials(deepcopy=False))

    def try_one(self) -> None:
        """Ask for a trial, and evaluate it if it counts."""
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._settled = False
        try:
            self._study.optimize(self._objective, n_trials=1)
        except UnboundLocalError as error:  # Optuna's own, where the server is gone before it can tell
            raise error.__context__ or error from None
        except (ValueError, AssertionError, UpdateFinishedTrialError):
            if not self._settled:
                self._hand_back()
                raise
            # Optuna refuses the outcome of a trial that has ended: this worker had been silent for too long
            self._say("a trial was taken over by another worker, because this one gave no sign of life")
        except (KeyboardInterrupt, Exception):
            self._hand_back()
            raise

    def look_after_others(self, book: TrialTable) -> None:
        """See to the trials of workers that have died, also where Optuna's heartbeats do not reach."""
        with quiet_optuna():
            optuna.storages.fail_stale_trials(self._study)
        silent = self._without_heartbeat()
        lost = {entry.attempts[-1]._trial_id: entry for entry in book.of("lost")}
        now = time.monotonic()
        seen = {trial: self._orphans.get(trial, now) for trial in [*silent, *lost]}
        due = {trial for trial, since in seen.items() if now - since > self._timing.grace}
        self._orphans = {trial: since for trial, since in seen.items() if trial not in due}
        for trial in due.intersection(silent):
            self._storage.record_heartbeat(trial)  # the last one: from now on it counts as any other
        for trial in due.intersection(lost):
            retry(self._study, lost[trial].attempts[-1])

    def _hand_back(self) -> None:
        """Queue the current trial again for the next worker that asks."""
        for entry in self.book().of("lost"):
            if entry.attempts[-1].number == self._attempt:
                retry(self._study, entry.attempts[-1])

    def _without_heartbeat(self) -> list[int]:
        """Running trials whose worker died before its first heartbeat; Optuna would wait for them forever."""
        query = sqlalchemy.text(
            "SELECT trials.trial_id FROM trials LEFT JOIN trial_heartbeats"
            " ON trial_heartbeats.trial_id = trials.trial_id"
            " WHERE trials.study_id = :study AND trials.state = 'RUNNING'"
            " AND trial_heartbeats.trial_id IS NULL"
        )
        with self._storage.engine.connect() as connection:
            return [int(row[0]) for row in connection.execute(query, {"study": self._study._study_id})]

    def _objective(self, trial: optuna.Trial) -> list[float]:
        self._attempt, book = trial.number, self.book()
        number = book.number_of(trial.number)
        if not book.has_room_for(number):  # several workers have asked at the same time
            trial.set_user_attr(SURPLUS, True)
            return self._failed
        settings = self._plan.space.suggest(trial)
        twin = book.twin(settings, number)
        if twin is None:
            outcome = self._evaluate(Proposal(number, settings), LivePruner(trial, self._plan))
        else:
            outcome = twin.outcome
            trial.set_user_attr(REUSED, twin.number)
            self._report(trial, outcome)
        return self._keep(trial, Trial(number, settings, with_finite_objectives(self._plan, outcome)))

    def _report(self, trial: optuna.Trial, outcome: TrialResult) -> None:
        for step, value in outcome.steps.items() if len(self._plan.objectives) == 1 else ():
            trial.report(value, step)

    def _keep(self, trial: optuna.Trial, ended: Trial) -> list[float]:
        """Write the outcome down, all of it at once, and tell Optuna the state; returns the objectives."""
        self._settled = True
        for name, excess in constraint_values(self._plan, ended).items():
            trial.set_constraint(name, excess)
        trial.set_user_attr(OUTCOME, outcome_to_json(ended.outcome))
        if ended.outcome.state == "pruned":
            raise TrialPruned
        return objective_values(ended, list(self._plan.objectives)) or self._failed


def _create(storage: RDBStorage, plan: SearchPlan) -> tuple[optuna.Study, bool]:
    directions = [StudyDirection[way.upper()] for way in plan.objectives.values()]
    with quiet_optuna():
        try:
            study = optuna.create_study(storage=storage, study_name=plan.name, directions=directions)
        except DuplicatedStudyError:
            return optuna.load_study(storage=storage, study_name=plan.name), False
    return study, True


def _refuse_other(name: str, wanted: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    differing = differing_keys(wanted, {key: there.get(key) for key in wanted})
    if differing:
        shown_keys = ", ".join(
            key.removeprefix(f"{PLAN}.").removeprefix(f"{ATTRIBUTES}.") for key in differing
        )
        raise AssayError(
            f"the study {name} in sweep.storage is another search: it differs in {shown_keys}. Join it as it "
            f"is (python -m src.sweep --worker {name} sweep.storage=URL), or name another: sweep.study=OTHER"
        )


def _queue_first(study: optuna.Study, plan: SearchPlan) -> None:
    """All points of a grid, or the settings to try first, wait for whoever asks."""
    for point in grid_order(plan) if plan.method == "grid" else plan.enqueue:
        study.enqueue_trial(plan.space.encode(point), skip_if_exists=True)


def _load(storage: RDBStorage, name: str, url: str) -> optuna.Study:
    names = optuna.get_all_study_names(storage)
    if name not in names:
        known = f"it has {', '.join(names)}" if names else "it has none"
        raise AssayError(f"there is no study {name} in {redact_url(url)}: {known}")
    with quiet_optuna():
        study = optuna.load_study(storage=storage, study_name=name)
    missing = {PLAN, ATTRIBUTES, RETRIES, READY} - study.user_attrs.keys()
    if missing:
        raise AssayError(
            f"the study {name} in {redact_url(url)} is not complete, or not of Assay: it lacks "
            f"{', '.join(sorted(missing))}. Begin it again: python -m src.sweep sweep.storage=URL …"
        )
    return study


def _plan(study: optuna.Study) -> SearchPlan:
    return plan_from_json(study.user_attrs[PLAN])


def _standing(book: TrialTable) -> SearchProgress:
    return SearchProgress(book.plan.total, tuple(book.ended()), len(book.of("under way")))

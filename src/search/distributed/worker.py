"""Searches whose trials several machines share: who creates the study, and who joins it."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from src.core.errors import AssayError
from src.search.engine.plan import SearchPlan
from src.search.engine.pruning import Pruning
from src.search.engine.records import Proposal, Trial, TrialResult
from src.search.engine.trial_tasks import TrialTasks
from src.search.engine.worker_pool import WorkerLost, WorkerPool

if TYPE_CHECKING:
    from src.pipeline.execution import StageRun
    from src.search.engine.trial_log import SearchProgress

OnNews = Callable[["SearchProgress"], None]
LOOK = 1.0  # seconds between two looks at the study


@dataclass(frozen=True)
class Given:
    """A rule for a trial in the same process as its pruning."""

    pruning: Pruning

    def begin(self) -> Pruning:
        """What was given."""
        return self.pruning


@dataclass(frozen=True)
class Membership:
    """What a worker process has to know."""

    study: str
    url: str
    tasks: TrialTasks


def run_shared_search(
    run: "StageRun", plan: SearchPlan, url: str, tasks: TrialTasks, n_jobs: int, on_news: OnNews
) -> list[Trial]:
    """Create or join the study ``plan.name``, work on it in ``n_jobs`` processes, and wait for its end."""
    from src.search.distributed.study import create_study

    loaded = run.job.loaded
    attributes = {"lineage": run.lineage.id, "overrides": [o for o in loaded.overrides if not _is_local(o)]}
    created = create_study(plan, url, attributes, loaded.config.sweep.retries)
    run.say(
        f"{'created' if created else 'joined'} study {plan.name}; on other machines: "
        f"python -m src.sweep --worker {plan.name} sweep.storage=URL"
    )
    return _work_in_processes(Membership(plan.name, url, tasks), n_jobs, on_news)


def join(study: str, arguments: argparse.Namespace) -> None:
    """Work on a study that was created elsewhere, until it ends.

    Raises:
        AssayError: there is no such study, or code, data or parameters here are not those of the study.
    """
    from src.config.loading import load
    from src.core.cpus import resolve_n_jobs
    from src.pipeline.job import prepare, repository_root
    from src.provenance.work_dir import WorkDir
    from src.search.distributed.study import attributes_of, plan_of
    from src.search.engine.trial_configs import TrialConfigs
    from src.search.engine.trial_tasks import TrialRecorder, read_sample
    from src.search.report.live_view import live_view
    from src.tracking.live import Tracker

    own = load(arguments.overrides).config
    attributes = attributes_of(study, own.sweep.storage)
    job = prepare(argparse.Namespace(overrides=attributes["overrides"]), "sweep")
    _refuse_other_inputs(study, attributes, job.lineage.id)
    root, config = repository_root(), job.loaded.config
    state = WorkDir(root, job.address, job.lineage.id).path
    tasks = TrialTasks(TrialConfigs(job.loaded), *read_sample(config), state, root, job.record())
    tracker = Tracker(root, job.lineage.id)
    diary = TrialRecorder(tasks, tracker, adopts=False)
    n_jobs = resolve_n_jobs(own.sweep.n_jobs, config.sweep.threads)
    with live_view(plan_of(study, own.sweep.storage), own.machine.progress, job.say) as show:

        def on_news(standing: "SearchProgress") -> None:
            show(standing)
            diary(standing)

        trials = _work_in_processes(Membership(study, own.sweep.storage, tasks), n_jobs, on_news)
    tracker.finish()
    job.say(f"study {study} has ended with {len(trials)} trials; its result is where it was created")


def _work_in_processes(membership: Membership, n_jobs: int, on_news: OnNews) -> list[Trial]:
    from src.search.distributed.study import ended_trials, standing

    working = n_jobs
    with WorkerPool(n_jobs, membership.tasks.candidates.loaded.config.sweep.retries) as pool:
        for worker in range(n_jobs):
            pool.submit(worker, work_on, membership)
        while working:
            ended = pool.poll(LOOK)
            working -= ended is not None
            if ended is not None and isinstance(ended[1], WorkerLost):
                raise AssayError(
                    f"a worker was stopped by the machine: {ended[1].reason}. Join the study again"
                )
            on_news(standing(membership.study, membership.url))
    return ended_trials(membership.study, membership.url)


def work_on(membership: Membership) -> None:
    """What a worker process does: trial after trial, until the study ends."""
    from src.search.distributed.study import work
    from src.search.engine.trial import run_trial

    def evaluate(proposal: Proposal, pruning: Pruning) -> TrialResult:
        try:
            task = membership.tasks(proposal, Given(pruning))
        except AssayError as error:
            return TrialResult("failed", reason=str(error))
        return run_trial(task)

    work(membership.study, membership.url, evaluate, on_news=lambda _: None, say=print)


def _refuse_other_inputs(study: str, attributes: dict[str, Any], lineage: str) -> None:
    if attributes["lineage"] != lineage:
        raise AssayError(
            f"the study {study} was begun with other code, data or parameters than those here, so that its "
            "trials could not be compared. Take over its commit (git checkout) and its data (dvc pull, dvc "
            "repro normalize), and join it again"
        )


def _is_local(override: str) -> bool:
    """What each machine decides for itself; the address of the storage may hold a password."""
    return override.startswith(("sweep.storage=", "sweep.n_jobs=", "machine."))

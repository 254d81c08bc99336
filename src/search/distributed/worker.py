"""Searches whose trials several machines share: who creates the study, and who joins it."""

from collections.abc import Callable
from dataclasses import dataclass

from src.core.errors import AssayError
from src.search.distributed.study import create_study, ended_trials, progress, work
from src.search.engine.plan import SearchPlan
from src.search.engine.pruning import Pruning
from src.search.engine.records import Proposal, Trial, TrialResult
from src.search.engine.study import OnProgress
from src.search.engine.trial_tasks import TrialTasks
from src.search.engine.worker_pool import WorkerLost, WorkerPool

LOOK = 1.0  # seconds between two looks at the study


@dataclass(frozen=True)
class Given:
    """A pruner for a trial in the same process as its pruning."""

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
    plan: SearchPlan,
    url: str,
    tasks: TrialTasks,
    n_jobs: int,
    on_progress: OnProgress,
    say: Callable[[str], None],
) -> list[Trial]:
    """Create or join the study ``plan.name``, work on it in ``n_jobs`` processes, and wait for its end."""
    loaded = tasks.candidates.loaded
    overrides = [override for override in loaded.overrides if not _is_local(override)]
    attributes = {"lineage": tasks.record["lineage"], "overrides": overrides}
    created = create_study(plan, url, attributes, loaded.config.sweep.retries)
    say(
        f"{'created' if created else 'joined'} study {plan.name}; on other machines: "
        f"python -m src.sweep --worker {plan.name} sweep.storage=URL"
    )
    return join_study(plan.name, url, tasks, n_jobs, on_progress)


def join_study(study: str, url: str, tasks: TrialTasks, n_jobs: int, on_progress: OnProgress) -> list[Trial]:
    """Work on an existing study in ``n_jobs`` processes, and wait for its end."""
    membership, working = Membership(study, url, tasks), n_jobs
    with WorkerPool(n_jobs, tasks.candidates.loaded.config.sweep.retries) as pool:
        for worker in range(n_jobs):
            pool.submit(worker, work_on, membership)
        while working:
            ended = pool.poll(LOOK)
            working -= ended is not None
            if ended is not None and isinstance(ended[1], WorkerLost):
                raise AssayError(f"the machine stopped a worker: {ended[1].reason}. Join the study again")
            on_progress(progress(study, url))
    return ended_trials(study, url)


def work_on(membership: Membership) -> None:
    """What a worker process does: trial after trial, until the study ends."""
    from src.search.engine.trial import run_trial  # torch, which only the workers need

    def evaluate(proposal: Proposal, pruning: Pruning) -> TrialResult:
        try:
            task = membership.tasks(proposal, Given(pruning))
        except AssayError as error:
            return TrialResult("failed", reason=str(error))
        return run_trial(task)

    work(membership.study, membership.url, evaluate, on_progress=lambda _: None, say=print)


def check_same_inputs(study: str, lineage: str, own_lineage: str) -> None:
    """
    Raises:
        AssayError: Code, data or parameters here are not those of the study.
    """
    if lineage != own_lineage:
        raise AssayError(
            f"the study {study} was started with other code, data or parameters than those here, so its "
            "trials cannot be compared. Check out its commit (git checkout), get its data (dvc repro "
            "normalize), and join again"
        )


def _is_local(override: str) -> bool:
    """What each machine decides for itself; the address of the storage may hold a password."""
    return override.startswith(("sweep.storage=", "sweep.n_jobs=", "machine."))

"""Carries proposals out: in worker processes, or one after another in this one."""

from collections import deque
from collections.abc import Callable

from src.core.errors import AssayError
from src.search.engine.pruning import PrunerSpec
from src.search.engine.records import Proposal, TrialResult
from src.search.engine.trial_task import TrialTask
from src.search.engine.worker_pool import WorkerLost, WorkerPool

MakeTask = Callable[[Proposal, PrunerSpec], TrialTask]  # raises AssayError for impossible settings


class PoolRunner:
    """Trials in the processes of a pool."""

    def __init__(
        self,
        pool: WorkerPool,
        make_task: MakeTask,
        forgiving: bool,
        run: Callable[[TrialTask], TrialResult] | None = None,
    ) -> None:
        """``forgiving``: a trial that the machine stops again and again has failed, and the search goes on.

        ``run``: what a worker does with a task, by default ``src.search.engine.trial.run_trial``.
        """
        self.pool = pool
        self.make_task = make_task
        self.forgiving = forgiving
        self.run = run or _run
        self._impossible: deque[tuple[int, TrialResult]] = deque()

    def submit(self, proposal: Proposal, rule: PrunerSpec) -> None:
        """Queue a trial."""
        try:
            task = self.make_task(proposal, rule)
        except AssayError as error:
            self._impossible.append((proposal.number, TrialResult("failed", reason=str(error))))
        else:
            self.pool.submit(proposal.number, self.run, task)

    def collect(self) -> tuple[int, TrialResult]:
        """Number and outcome of a trial that has ended; waits for one.

        Raises:
            AssayError: the machine stopped a trial, which is no function of the inputs.
        """
        if self._impossible:
            return self._impossible.popleft()
        number, result = self.pool.collect()
        if not isinstance(result, WorkerLost):
            return number, result
        if self.forgiving:
            return number, TrialResult("failed", reason=result.reason)
        raise AssayError(
            f"trial {number} was stopped by the machine and not by its settings: {result.reason}. Finished "
            "trials are kept. Give it more room (fewer sweep.n_jobs, a smaller train.batch_size), then repeat"
        )


class InProcessRunner:
    """Trials one after another in this process, without records of their own: a search within a fold."""

    def __init__(self, make_task: MakeTask) -> None:
        self.make_task = make_task
        self._waiting: deque[tuple[Proposal, PrunerSpec]] = deque()

    def submit(self, proposal: Proposal, rule: PrunerSpec) -> None:
        """Queue a trial."""
        self._waiting.append((proposal, rule))

    def collect(self) -> tuple[int, TrialResult]:
        """Number and outcome of the next trial."""
        from src.search.engine.trial import train_trial

        proposal, rule = self._waiting.popleft()
        try:
            task = self.make_task(proposal, rule)
        except AssayError as error:
            return proposal.number, TrialResult("failed", reason=str(error))
        return proposal.number, train_trial(task)


def _run(task: TrialTask) -> TrialResult:
    from src.search.engine.trial import run_trial  # torch, which only the workers need

    return run_trial(task)

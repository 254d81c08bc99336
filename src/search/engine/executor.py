"""Runs proposals: in worker processes, or one after another in this process."""

from collections import deque
from collections.abc import Callable

from src.core.errors import AssayError
from src.search.engine.pruning import PrunerSpec
from src.search.engine.records import Proposal, TrialResult
from src.search.engine.trial_task import TrialTask
from src.search.engine.worker_pool import WorkerLost, WorkerPool

MakeTask = Callable[[Proposal, PrunerSpec], TrialTask]  # raises AssayError for impossible settings


class PoolRunner:
    """Runs trials in the processes of a pool."""

    def __init__(
        self,
        pool: WorkerPool,
        make_task: MakeTask,
        forgiving: bool,
        run: Callable[[TrialTask], TrialResult] | None = None,
    ) -> None:
        """
        Args:
            pool: The worker processes.
            make_task: Makes the task of a proposal.
            forgiving: Whether a trial that the machine stops again and again counts as failed, so that the
                search continues. Otherwise it ends the search.
            run: What a worker does with a task, by default ``src.search.engine.trial.run_trial``.
        """
        self.pool = pool
        self.make_task = make_task
        self.forgiving = forgiving
        self.run = run or _run
        self._impossible: deque[tuple[int, TrialResult]] = deque()

    def submit(self, proposal: Proposal, pruner: PrunerSpec) -> None:
        """Queue a trial."""
        try:
            task = self.make_task(proposal, pruner)
        except AssayError as error:
            self._impossible.append((proposal.number, TrialResult("failed", reason=str(error))))
        else:
            self.pool.submit(proposal.number, self.run, task)

    def collect(self) -> tuple[int, TrialResult]:
        """Wait for a trial to end; returns its number and result.

        Raises:
            AssayError: The machine stopped a trial, which does not follow from the inputs.
        """
        if self._impossible:
            return self._impossible.popleft()
        number, result = self.pool.collect()
        if not isinstance(result, WorkerLost):
            return number, result
        if self.forgiving:
            return number, TrialResult("failed", reason=result.reason)
        raise AssayError(
            f"the machine stopped trial {number}, not its settings: {result.reason}. Finished trials are "
            "kept. Give it more room (a lower sweep.n_jobs or train.batch_size) and run the command again"
        )


class InProcessRunner:
    """Runs trials one after another in this process, without a journal entry each: a search within a fold."""

    def __init__(self, make_task: MakeTask) -> None:
        self.make_task = make_task
        self._waiting: deque[tuple[Proposal, PrunerSpec]] = deque()

    def submit(self, proposal: Proposal, pruner: PrunerSpec) -> None:
        """Queue a trial."""
        self._waiting.append((proposal, pruner))

    def collect(self) -> tuple[int, TrialResult]:
        """Run the next trial; returns its number and result."""
        from src.search.engine.trial import train_trial  # torch, which a driver with workers does not need

        proposal, pruner = self._waiting.popleft()
        try:
            task = self.make_task(proposal, pruner)
        except AssayError as error:
            return proposal.number, TrialResult("failed", reason=str(error))
        return proposal.number, train_trial(task)


def _run(task: TrialTask) -> TrialResult:
    from src.search.engine.trial import run_trial  # torch, which only the workers need

    return run_trial(task)

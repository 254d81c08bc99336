"""The loop of a search: propose, run, keep the result, tell Optuna.

A search is replayed rather than stored: each finished trial is a file, and a study in memory is asked and
told in order of number, so that samplers with a state (CMA-ES, NSGA-II) return to the same state. Proposals
come in batches. Each batch has a sampler with a seed of its own and is told when all of it has ended; so the
trials depend neither on which of them ends first nor on kills in between.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from src.search.engine.ask_tell import AskTell
from src.search.engine.plan import SearchPlan, check_supported
from src.search.engine.pruning import PrunerSpec, earlier_trials, make_pruner_spec
from src.search.engine.records import (
    Proposal,
    Trial,
    TrialResult,
    forget_proposal,
    read_proposals,
    write_proposal,
)
from src.search.engine.trial_log import SearchProgress, TrialLog, check_not_hopeless

OnProgress = Callable[[SearchProgress], None]


class TrialRunner(Protocol):
    """Runs proposals, several at a time if it can."""

    def submit(self, proposal: Proposal, pruner: PrunerSpec) -> None:
        """Start or queue a trial."""
        ...

    def collect(self) -> tuple[int, TrialResult]:
        """Wait for a trial to end; returns its number and result."""
        ...


def run_search(
    plan: SearchPlan, runner: TrialRunner, folder: Path, on_progress: OnProgress | None = None
) -> list[Trial]:
    """Run a search whose result depends only on the plan and on the results of its trials.

    Args:
        plan: What to search, and how.
        runner: Runs the trials.
        folder: Where finished trials are kept; those that an earlier call left here are not run again.
        on_progress: Called whenever a trial has ended.

    Returns:
        All trials of the plan, by number.

    Raises:
        AssayError: Optuna cannot do this; the first trials all failed; a file in ``folder`` is damaged or
            belongs to another search.
    """
    check_supported(plan)
    folder.mkdir(parents=True, exist_ok=True)
    log, ask_tell = TrialLog(plan, folder, on_progress), AskTell(plan)
    for index, start in enumerate(range(0, plan.total, plan.batch)):
        ask_tell.reseed(index)
        numbers = range(start, min(start + plan.batch, plan.total))
        earlier = earlier_trials(plan, log.by_number())
        for proposal in [ask_tell.ask(number) for number in numbers]:
            if log.add(proposal):
                runner.submit(proposal, make_pruner_spec(plan, proposal.number, earlier))
        log.report()
        while log.running:
            log.finish(*runner.collect())
            log.report()
        for trial in log.by_number()[start:]:
            ask_tell.tell(trial)
        check_not_hopeless(plan, log.by_number())
    return log.by_number()


def search_asynchronously(
    plan: SearchPlan, runner: TrialRunner, slots: int, folder: Path, on_progress: OnProgress | None = None
) -> list[Trial]:
    """Run a search without batches: propose a trial whenever fewer than ``slots`` are running.

    No worker waits, but the result depends on timing. After a kill the finished trials are kept, and those
    that were running start again with the same settings. Returns and raises as :func:`run_search`.
    """
    check_supported(plan)
    folder.mkdir(parents=True, exist_ok=True)
    log = TrialLog(plan, folder, on_progress)
    ended = log.restore()
    begun = read_proposals(folder, but={trial.number for trial in ended})
    ask_tell = AskTell(plan, ended, begun)
    upcoming = _upcoming(plan, ask_tell, ended, begun)
    while True:
        while log.running < slots and (proposal := next(upcoming, None)):
            write_proposal(folder, proposal)
            if log.add(proposal):
                earlier = earlier_trials(plan, log.by_number())
                runner.submit(proposal, make_pruner_spec(plan, proposal.number, earlier))
            _tell_new(log, ask_tell, folder)
        log.report()
        if not log.running:
            return log.by_number()
        log.finish(*runner.collect())
        _tell_new(log, ask_tell, folder)
        check_not_hopeless(plan, log.ended)


def _upcoming(
    plan: SearchPlan, ask_tell: AskTell, ended: Sequence[Trial], begun: Sequence[Proposal]
) -> Iterator[Proposal]:
    """What was interrupted, then new proposals, each made when it is needed."""
    yield from begun
    taken = {trial.number for trial in ended} | {proposal.number for proposal in begun}
    for number in range(plan.total):
        if number not in taken:
            ask_tell.reseed(number)
            yield ask_tell.ask(number)


def _tell_new(log: TrialLog, ask_tell: AskTell, folder: Path) -> None:
    for trial in log.take_new():
        ask_tell.tell(trial)
        forget_proposal(folder, trial.number)

"""The loop of a search: propose, have it evaluated, keep what came of it, tell Optuna.

A search is replayed, not stored: each finished trial is a file, and a study in memory is asked and told in
order of number, so that samplers with a state of their own (CMA-ES, NSGA-II) come back to the same state.
Proposals come in batches, each from a sampler with a seed of its own, and are told when the whole batch has
ended; so the trials do not depend on which of them ends first, nor on kills in between.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from src.search.engine.ask_tell import AskTell
from src.search.engine.plan import SearchPlan
from src.search.engine.pruning import PrunerSpec, make_rule, past_of
from src.search.engine.records import (
    Proposal,
    Trial,
    TrialResult,
    forget_proposal,
    read_proposals,
    write_proposal,
)
from src.search.engine.samplers import check_supported
from src.search.engine.trial_log import SearchProgress, TrialLog, refuse_hopeless

OnNews = Callable[[SearchProgress], None]


class TrialRunner(Protocol):
    """Carries proposals out, several at a time if it can."""

    def submit(self, proposal: Proposal, rule: PrunerSpec) -> None:
        """Begin, or queue."""
        ...

    def collect(self) -> tuple[int, TrialResult]:
        """Number and outcome of one that has ended; waits."""
        ...


def run_search(plan: SearchPlan, evaluator: TrialRunner, folder: Path, on_news: OnNews) -> list[Trial]:
    """All trials of the plan by number; those that an earlier call left in ``folder`` are taken from there.

    The result depends on the plan and on the outcomes only. ``on_news`` hears of every trial that ends.

    Raises:
        AssayError: Optuna cannot do this; the first trials have all failed; a file in ``folder`` is damaged
            or of another search.
    """
    check_supported(plan)
    folder.mkdir(parents=True, exist_ok=True)
    ledger, proposer = TrialLog(plan, folder), AskTell(plan)
    for index, start in enumerate(range(0, plan.total, plan.batch)):
        proposer.reseed(index)
        numbers = range(start, min(start + plan.batch, plan.total))
        past = past_of(plan, ledger.by_number())
        for proposal in [proposer.ask(number) for number in numbers]:
            if ledger.admit(proposal):
                evaluator.submit(proposal, make_rule(plan, proposal.number, past))
        on_news(ledger.standing())
        while ledger.running:
            ledger.end(*evaluator.collect())
            on_news(ledger.standing())
        for trial in ledger.by_number()[start:]:
            proposer.tell(trial)
        refuse_hopeless(plan, ledger.by_number())
    return ledger.by_number()


def search_asynchronously(
    plan: SearchPlan, evaluator: TrialRunner, slots: int, folder: Path, on_news: OnNews
) -> list[Trial]:
    """The same without batches: whenever fewer than ``slots`` trials are under way, the next is proposed.

    No worker waits, but the result depends on timing. After a kill the finished trials are kept, and those
    that were under way begin again with the same settings. Raises as :func:`search`.
    """
    check_supported(plan)
    folder.mkdir(parents=True, exist_ok=True)
    ledger = TrialLog(plan, folder)
    ended = ledger.restore()
    begun = read_proposals(folder, but={trial.number for trial in ended})
    proposer = AskTell(plan, ended, begun)
    upcoming = _upcoming(plan, proposer, ended, begun)
    while True:
        while ledger.running < slots and (proposal := next(upcoming, None)):
            write_proposal(folder, proposal)
            if ledger.admit(proposal):
                past = past_of(plan, ledger.by_number())
                evaluator.submit(proposal, make_rule(plan, proposal.number, past))
            _tell_new(ledger, proposer, folder)
        on_news(ledger.standing())
        if not ledger.running:
            return ledger.by_number()
        ledger.end(*evaluator.collect())
        _tell_new(ledger, proposer, folder)
        refuse_hopeless(plan, ledger.ended)


def _upcoming(
    plan: SearchPlan, proposer: AskTell, ended: Sequence[Trial], begun: Sequence[Proposal]
) -> Iterator[Proposal]:
    """What was interrupted, then new proposals, each made when it is asked for."""
    yield from begun
    taken = {trial.number for trial in ended} | {proposal.number for proposal in begun}
    for number in range(plan.total):
        if number not in taken:
            proposer.reseed(number)
            yield proposer.ask(number)


def _tell_new(ledger: TrialLog, proposer: AskTell, folder: Path) -> None:
    for trial in ledger.take_new():
        proposer.tell(trial)
        forget_proposal(folder, trial.number)

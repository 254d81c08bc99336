"""An ad-hoc search as ``python -m src.sweep`` does it, with a training that takes no time.

    python -m benchmarks.instant_search sweep.trials=100

Everything else is the real thing: proposals, worker processes, files, journal and MLflow.
"""

import math
from functools import partial

from src import sweep
from src.core.processes import process_identity
from src.pipeline.execution import run_stage
from src.provenance.journal import RunRecord
from src.search.engine.records import TrialResult
from src.search.engine.trial import close_attempt
from src.search.engine.trial_task import TrialTask

EPOCHS = 6


def train_in_no_time(task: TrialTask) -> TrialResult:
    """Report what a training of six epochs might, and keep it as a worker does."""
    attempt, pruning = (
        RunRecord.open(task.root, {**task.record, "process": process_identity()}),
        task.pruner.begin(),
    )
    steps = {}
    for epoch in range(1, EPOCHS + 1):
        value = 1 - abs(math.log10(task.train.optimizer.lr) + 2.5) / (1 + epoch)
        attempt.add_epoch(
            {"epoch": epoch, "train/loss": 1 - value, "val/loss": 1 - value, "val/accuracy": value}
        )
        steps[epoch] = value
        if pruning.report(epoch, value):
            break
    state = "complete" if len(steps) == EPOCHS else "pruned"
    figures = {"val/accuracy": value, "val/loss": 1 - value}
    outcome = TrialResult(state, figures, steps, len(steps), dict(pruning.pruner_state))
    close_attempt(attempt, outcome)
    return outcome


if __name__ == "__main__":
    run_stage("sweep", partial(sweep.build, train=train_in_no_time), sweep.__doc__)

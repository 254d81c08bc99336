"""Everything that a proposal needs: the folder, the machine and the weights within reach."""

from pathlib import Path

from src.config.loading import load_conf
from src.core.cpus import available_cpus
from src.core.progress import progress_bar
from src.proposal.available_weights import find_available
from src.proposal.goals import Goal
from src.proposal.inspection import inspect
from src.proposal.machine import look_at_machine
from src.proposal.proposal import Proposal, propose


def prepare(folder: Path, *, name: str, goal: Goal, minutes: float, weights: Path) -> Proposal:
    """Inspect a folder of images and this machine, and propose settings that suit both.

    Args:
        folder: with the images.
        name: of the data set and of the experiment.
        goal: what the person wants of the model.
        minutes: budget of the final training on this machine.
        weights: data/weights.

    Raises:
        AssayError: the folder holds nothing to learn from.
    """
    with progress_bar("Decoding images", total=None, show=True) as advance:
        found = inspect(folder, available_cpus(), advance)
    return propose(
        found,
        look_at_machine(),
        find_available(weights),
        name=name,
        goal=goal,
        minutes=minutes,
        compose=lambda overrides: load_conf(overrides).config,
    )

"""How long each candidate would take here, and with which image size and epochs it fits into the budget."""

from dataclasses import dataclass

from src.proposal.candidates import Candidate
from src.proposal.inspection import Inspection
from src.proposal.timing import StepTimes

HEAD_SECONDS = 1e-4  # an image and epoch of a training on features, which hardly depends on the network
FEATURES_SHARE = 0.5  # of the budget, that computing features may take
RESERVE = 0.9  # of the budget: other processes slow a training down
HELD_OUT = 0.35  # share of the images for validation and test, as in conf/split/default.yaml
VALIDATION = 0.15


@dataclass(frozen=True)
class Plan:
    """A candidate with the numbers that the budget decides."""

    candidate: Candidate
    image_size: tuple[int, int]
    epochs: int
    seconds: float  # of the final training; of as many epochs as are wanted if none fits
    times: StepTimes  # at the size at which they were measured

    @property
    def fits(self) -> bool:
        """Whether it is worth trying within the budget."""
        return self.epochs >= self.candidate.least_epochs


def plan(candidate: Candidate, times: StepTimes, found: Inspection, budget: float) -> Plan:
    """The largest image size at which the candidate has the epochs that it wants; else the least.

    Args:
        times: measured at the size of the inspection's images; cost grows with their area.
        budget: seconds of the final training.
    """
    sizes = [(side, side) for side in candidate.sides] or [found.image_size]
    plans = [_at(candidate, times, found, budget, size) for size in sizes]
    enough = [each for each in plans if each.epochs >= candidate.epochs]
    return enough[0] if enough else plans[-1]


def _at(
    candidate: Candidate, times: StepTimes, found: Inspection, budget: float, size: tuple[int, int]
) -> Plan:
    area = size[0] * size[1] / (found.image_size[0] * found.image_size[1])
    images = len(found.listing.items)
    if candidate.way == "head":
        features = images * times.inference * area
        seconds = features + candidate.epochs * images * HEAD_SECONDS
        fitting = candidate.epochs if features <= FEATURES_SHARE * budget and seconds <= budget else 0
        return Plan(candidate, size, fitting, seconds, times)
    epoch = images * area * ((1 - HELD_OUT) * times.training + VALIDATION * times.inference)
    epochs = min(candidate.epochs, int(RESERVE * budget / epoch))
    return Plan(candidate, size, epochs, (epochs or candidate.epochs) * epoch, times)

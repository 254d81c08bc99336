"""The Pareto front."""

from collections.abc import Sequence


def pareto_mask(losses: Sequence[tuple[float, ...]]) -> list[bool]:
    """Whether each candidate is on the front: no other is as good in everything and better in something.

    Args:
        losses: a tuple for each candidate; lower is better. Equal candidates do not exclude each other.
    """
    return [
        not any(other != own and all(o <= s for o, s in zip(other, own, strict=True)) for other in losses)
        for own in losses
    ]

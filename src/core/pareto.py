"""What nothing beats: the Pareto front."""

from collections.abc import Sequence


def pareto_mask(losses: Sequence[tuple[float, ...]]) -> list[bool]:
    """For each candidate, whether no other is at least as good in everything and better in something.

    ``losses``: one tuple a candidate, of which less is better; equal candidates do not beat each other.
    """
    return [
        not any(other != own and all(o <= s for o, s in zip(other, own, strict=True)) for other in losses)
        for own in losses
    ]

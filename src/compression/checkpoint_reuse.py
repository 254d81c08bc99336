"""Trainings that variants have in common: what one of them has trained, the others go on from.

Chains that begin with the same steps begin with the same networks, because the seed of a step depends on
its place and not on the variant. So a checkpoint of one is a checkpoint of the other, finished or not, and
the result has the bytes that a training of its own would have given.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from filelock import FileLock, Timeout

from src.config.schema.compress import Step
from src.core.files import replaced


def state_of_step(state: Path, place: int) -> Path:
    """Where the step at this place of a chain keeps its checkpoint; ``state`` is that of the variant."""
    return state / f"step-{place}"


def reuse_checkpoints(
    chains: Mapping[str, Sequence[Step]],
    variant: str,
    state_of: Callable[[str], Path],
    say: Callable[[str], None],
) -> None:
    """Copy what ``variant`` would train as another variant has trained it; what it has itself, stays.

    ``state_of`` tells the state of each variant as it would be made now. One at work is passed over.
    """
    for other, steps in chains.items():
        shared = _in_common(chains[variant], steps)
        if other == variant or not shared or not state_of(other).is_dir():
            continue
        try:
            with FileLock(f"{state_of(other)}.lock", timeout=0):
                brought = [p for p in range(shared) if _bring(state_of(other), state_of(variant), p)]
        except Timeout:
            continue
        for place in brought:
            say(f"step {place + 1}, {chains[variant][place].name}, goes on from the training of {other}")


def _in_common(one: Sequence[Step], other: Sequence[Step]) -> int:
    """How many steps two chains have in common before the first that differs."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _bring(source: Path, target: Path, place: int) -> bool:
    """Copy the checkpoint of one step, if it is there and wanted."""
    wanted = state_of_step(target, place)
    found = list(state_of_step(source, place).glob("*.ckpt"))
    if wanted.exists() or not found:
        return False
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with replaced(wanted) as beside:
        beside.mkdir()
        for path in found:
            shutil.copy(path, beside)
    return True

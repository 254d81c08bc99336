"""Reuses the training of another variant with the same first steps.

Variants with the same first steps train the same networks, because the seed of a step depends on its place
and not on the variant. So a checkpoint of one is a checkpoint of the other, finished or not, and the result
has the same bytes as without reuse.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from filelock import FileLock, Timeout

from src.compression.artifacts import step_folder
from src.config.schema.compress import Step
from src.core.files import replaced


def reuse_checkpoints(
    variants: Mapping[str, Sequence[Step]],
    variant: str,
    state_of: Callable[[str], Path],
    say: Callable[[str], None],
) -> None:
    """Copy checkpoints that ``variant`` lacks from variants that begin with the same steps.

    Args:
        variants: the steps of each variant.
        variant: the one to be made.
        state_of: the state folder of a variant as it would be made now.
        say: prints one line.
    """
    for other, steps in variants.items():
        shared = _count_shared(variants[variant], steps)
        if other == variant or not shared or not state_of(other).is_dir():
            continue
        try:
            with FileLock(f"{state_of(other)}.lock", timeout=0):
                copied = [
                    place for place in range(shared) if _copy(state_of(other), state_of(variant), place)
                ]
        except Timeout:  # it is being made right now
            continue
        for place in copied:
            say(f"step {place + 1}, {variants[variant][place].name}, continues the training of {other}")


def _count_shared(one: Sequence[Step], other: Sequence[Step]) -> int:
    """The number of steps before the first that differs."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _copy(source: Path, target: Path, place: int) -> bool:
    """Copy the checkpoints of one step, if there are any and the target has none."""
    folder, origin = step_folder(target, place), step_folder(source, place)
    found = list(origin.rglob("*.ckpt"))  # each member of an ensemble has a folder of its own
    if folder.exists() or not found:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replaced(folder) as beside:
        for path in found:
            copy = beside / path.relative_to(origin)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return True

"""Numbers and lists in messages."""

from collections.abc import Sequence

IRREGULAR = {"class": "classes", "entry": "entries"}


def counted(number: int, noun: str) -> str:
    """``1 image``, ``1,200 images``, ``0 classes``; of several words the last one counts."""
    rest, _, last = noun.rpartition(" ")
    plural = f"{rest} {IRREGULAR.get(last, f'{last}s')}".lstrip()
    return f"{number:,} {noun if number == 1 else plural}"


def listed(names: Sequence[str], most: int) -> str:
    """``a, b and 3 more``: the first names, and the number of the others."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

"""Numbers in messages."""

IRREGULAR = {"class": "classes", "entry": "entries"}


def counted(number: int, noun: str) -> str:
    """``1 image``, ``1,200 images``, ``0 classes``; of several words the last one counts."""
    rest, _, last = noun.rpartition(" ")
    plural = f"{rest} {IRREGULAR.get(last, f'{last}s')}".lstrip()
    return f"{number:,} {noun if number == 1 else plural}"

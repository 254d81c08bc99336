"""Whether names of files or columns suggest that several images show one person, animal or place."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from src.data.ingestion.csv_source import OPTIONAL, REQUIRED, column_names
from src.data.ingestion.listing import Listing
from src.data.ingestion.sources import Source

WORDS = (
    "patient|subject|person|participant|donor|specimen|animal|plant|slide|scan|video|clip|session|recording|"
    "site|camera|case"
)
SPELLED = rf"(?i)((?:{WORDS})[_-]?\d+)"
# A name, then what counts the images of it: anna_01.jpg, P12-left.png.
PREFIXED = r"([^/]+)[ _-][^/ _-]+$"
LEAST_SUBJECTS = 10  # fewer say nothing, and could not be divided among splits
MOST_SHARE = 0.1  # of all images, that one subject may have: more is rather a kind of picture
LEAST_SHARED = 0.6  # share of the images that are not alone with their name


@dataclass(frozen=True)
class SubjectGuess:
    """What ``data.subject`` could be.

    Attributes:
        subject: a pattern in the path, or a column of labels.csv.
        subjects: how many it finds.
        example: one of them.
        obvious: the name itself says so, as in patient12_03.png.
    """

    subject: str
    subjects: int
    example: str
    obvious: bool


def guess_subject(folder: Path, listing: Listing, source: Source) -> SubjectGuess | None:
    """What the images may share, by a column of labels.csv or by their names; None: nothing suggests it.

    It must give each image a subject; subjects must be many, and most images not alone with theirs. So a
    counter (IMG_0001) is not one, and neither is a kind of picture that many images have (bird-1, bird-2).
    """
    if listing.arrays or any(item.group for item in listing.items):
        return None
    return next((guess for guess in _candidates(folder, listing, source) if guess is not None), None)


def _candidates(folder: Path, listing: Listing, source: Source) -> Iterator[SubjectGuess | None]:
    if source == "csv":
        yield from _columns(folder)
    paths = [item.source for item in listing.items]
    for pattern, obvious in ((SPELLED, True), (PREFIXED, False)):
        matches = [re.search(pattern, path.rpartition(".")[0]) for path in paths]
        if all(matches):
            in_path = pattern if obvious else pattern.replace("$", r"\.[^.]+$")
            yield _judge(in_path, [match[1] for match in matches if match], obvious)


def _columns(folder: Path) -> Iterator[SubjectGuess | None]:
    """Columns named after what they hold, such as patient or patient_id."""
    import pandas as pd

    named = [name for name in column_names(folder) if name not in (*REQUIRED, *OPTIONAL)]
    table = pd.read_csv(folder / "labels.csv", dtype=str, keep_default_na=False, skipinitialspace=True)
    for name in named:
        if re.fullmatch(rf"(?i)({WORDS})s?([ _-]?(id|no|nr|number|name))?", name) and name in table:
            yield _judge(name, [value for value in table[name] if value], obvious=True)


def _judge(subject: str, values: Sequence[str], obvious: bool) -> SubjectGuess | None:
    counts = Counter(values)
    if len(counts) < LEAST_SUBJECTS or max(counts.values()) > max(2, MOST_SHARE * len(values)):
        return None
    shared = sum(count for count in counts.values() if count > 1)
    if shared < LEAST_SHARED * len(values):
        return None
    return SubjectGuess(subject, len(counts), counts.most_common(1)[0][0], obvious)

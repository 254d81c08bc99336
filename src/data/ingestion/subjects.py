"""``data.subject``: which images show the same person, animal, place or recording and must stay together."""

import re
from dataclasses import replace

from src.core.errors import AssayError
from src.data.ingestion.listing import ImageEntry, Listing, normalized_name, shortened


def with_subjects(listing: Listing, subject: str) -> Listing:
    """The listing with the subject of each image, found in its path.

    Args:
        listing: of the data set.
        subject: a regular expression that is searched in the path of each image. The subject is what its
            first group matched, or all of the match if it has no group; an image for which that is empty has
            no subject.

    Raises:
        AssayError: it is not a regular expression, or does not match every path.
    """
    if listing.arrays:
        raise AssayError(
            f"data.subject={subject}: the images of idx files have no paths or columns. Remove it (null), or "
            "store the images as files: data=image_folder or data=csv"
        )
    pattern = _compiled(subject)
    matches = [pattern.search(item.source) for item in listing.items]
    missed = [item.source for item, match in zip(listing.items, matches, strict=True) if match is None]
    if missed:
        raise AssayError(
            f"data.subject={subject} matches {len(matches) - len(missed)} of {len(matches)} paths, but not:\n"
            f"{shortened(missed)}\nChange the pattern, or name a column of labels.csv. An image without a "
            "subject needs an empty match, as of ^(?:patient(\\d+))?"
        )
    items = [_with_subject(item, match) for item, match in zip(listing.items, matches, strict=True) if match]
    return replace(listing, items=items)


def _compiled(subject: str) -> re.Pattern[str]:
    try:
        return re.compile(subject)
    except re.error as error:
        raise AssayError(
            f"data.subject={subject} is neither a column of labels.csv nor a regular expression: {error}"
        ) from error


def _with_subject(item: ImageEntry, match: re.Match[str]) -> ImageEntry:
    found = match[1] if match.re.groups else match[0]
    return replace(item, subject=normalized_name(found) if found else None)

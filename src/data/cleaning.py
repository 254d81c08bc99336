"""Images that contradict or repeat each other, found by the hash of their pixels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from src.errors import AssayError

SHOWN = 10  # conflicts in the message; the report lists all


@dataclass(frozen=True)
class Conflict:
    """The same pixels under more than one label; ``rows`` ascending."""

    digest: str
    rows: tuple[int, ...]


def find_conflicts(digests: Sequence[str], labels: Sequence[str]) -> list[Conflict]:
    """Conflicts in the order of their first row."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        rows[digest].append(row)
    return [
        Conflict(digest, tuple(group))
        for digest, group in rows.items()
        if len({labels[row] for row in group}) > 1
    ]


def count_duplicates(digests: Sequence[str]) -> int:
    """How many images have the pixels of an earlier one."""
    return len(digests) - len(set(digests))


def refuse_conflicts(conflicts: Sequence[Conflict], sources: Sequence[str], labels: Sequence[str]) -> None:
    """Raise ``AssayError`` that lists the conflicts, if there are any."""
    if not conflicts:
        return
    lines = ["  " + describe_conflict(conflict, sources, labels) for conflict in conflicts[:SHOWN]]
    if len(conflicts) > SHOWN:
        lines.append(f"  and {len(conflicts) - SHOWN} more")
    raise AssayError(
        f"{len(conflicts)} image(s) have the same pixels under more than one label:\n"
        + "\n".join(lines)
        + "\nKeep the right one of each, or leave all of them out with data.on_conflict=drop."
    )


def describe_conflict(conflict: Conflict, sources: Sequence[str], labels: Sequence[str]) -> str:
    """``a/1.png (a) = b/7.png (b)``."""
    return " = ".join(f"{sources[row]} ({labels[row]})" for row in conflict.rows)

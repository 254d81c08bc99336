"""Which known keys a mistyped one was probably meant for."""

import difflib
from collections.abc import Iterable


def near_matches(key: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Known dotted keys that ``key`` may have been meant for, best first; at most ``most``.

    Those with the same last part in the same section (``train.lr`` -> ``train.optimizer.lr``), else the name
    in a section that is called so (``optimizer`` -> ``train.optimizer.name``), else those spelled alike, else
    those with the same last part elsewhere.
    """
    keys = sorted(set(known) - {key})
    top, leaf = key.partition(".")[0], _leaf(key)
    same = [other for other in keys if _leaf(other) == leaf]
    within = [other for other in same if other.startswith(f"{top}.")]
    near_leaves = difflib.get_close_matches(leaf, sorted({_leaf(other) for other in keys}), n=1, cutoff=0.75)
    beside = [other for other in keys if _leaf(other) in near_leaves and _parent(key) in ("", _parent(other))]
    alike = difflib.get_close_matches(key, keys, n=most, cutoff=0.8)
    named = [other for other in keys if other.endswith(f".{leaf}.name") or other == f"{key}.name"]
    return list(dict.fromkeys(within or named or [*beside, *alike] or same))[:most]


def did_you_mean(key: str, known: Iterable[str]) -> str:
    """A question in brackets to put after a message; "" if nothing is near."""
    found = near_matches(key, known)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _parent(key: str) -> str:
    return key.rpartition(".")[0]

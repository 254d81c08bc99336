"""One seed for everything: each use derives its own from its name and position."""

import hashlib


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on ``seed`` and ``names`` only.

    Nothing depends on how far a generator has run, so a resumed run equals an uninterrupted one.
    """
    key = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1

"""One choice of a proposal."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A key of the configuration (or a group), its value, and why; "" if that is said elsewhere."""

    key: str
    value: Any
    reason: str = ""

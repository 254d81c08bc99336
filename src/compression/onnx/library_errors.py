"""Turns errors of a library that does not support a model into results."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from src.core.errors import AssayError


class UnsupportedModelError(Exception):
    """The method does not support this model. This is a result with a reason, not a crash."""


LENGTH = 160  # characters of a reason
# These are about the user's input or the machine, not about the model.
UNRELATED = (AssayError, UnsupportedModelError, MemoryError, OSError)
COLORS = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def translate_errors(library: str) -> Iterator[None]:
    """Raise UnsupportedModelError, with a short reason, for any error of ``library``."""
    try:
        yield
    except UNRELATED:
        raise
    except Exception as error:
        raise UnsupportedModelError(f"{library} does not support this model: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The first line of the original error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in COLORS.sub("", str(error)).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"

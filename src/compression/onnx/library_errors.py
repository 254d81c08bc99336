"""What a library cannot do with a model is a result, and no crash."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from src.core.errors import AssayError


class UnsupportedModelError(Exception):
    """The method cannot do this model: a result with a reason, and no crash."""


LENGTH = 160  # characters of a reason
OTHERS = (
    AssayError,
    UnsupportedModelError,
    MemoryError,
    OSError,
)  # say something about the person's input or the machine
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def translate_errors(library: str) -> Iterator[None]:
    """Within: an error of ``library``, which raises what it likes, is a MethodError with a short reason."""
    try:
        yield
    except OTHERS:
        raise
    except Exception as error:
        raise UnsupportedModelError(f"{library} cannot do this model: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The first line of the error at the bottom of it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in COLOURS.sub("", str(error)).splitlines() if line.strip()]
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}…"

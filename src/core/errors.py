"""The one exception that a person is meant to read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class AssayError(Exception):
    """Something the user can mend. The message names the thing, the place and the mend.

    A stage that raises it ends with exit code 1 and the message, without a traceback.
    """


def first_line(error: Exception) -> str:
    """What went wrong, short enough to read."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]

"""The one exception that is written for the user."""


class AssayError(Exception):
    """Something the user can fix. The message says what is wrong, where, and how to fix it.

    A stage that raises it ends with exit code 1 and the message, without a traceback.
    """


def first_line(error: Exception) -> str:
    """The first line of the message, short enough for one line of output."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]

"""The one exception that is written for the user, and how a command ends with it."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from src.core.interruption import raise_on_interrupt

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
INTERRUPTED = 130  # exit code: 128 + SIGINT


class AssayError(Exception):
    """Something the user can fix. The message says what is wrong, where, and how to fix it.

    A stage that raises it ends with exit code 1 and the message, without a traceback.
    """


def first_line(error: Exception) -> str:
    """The first line of the message, short enough for one line of output."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]


@contextmanager
def ends_with_message(name: str, hint: Callable[[], str] = str, code: int = 1) -> Iterator[None]:
    """End the process with one message, and no traceback, where the user can do something about an error.

    Args:
        name: The command that failed.
        hint: What follows the reason.
        code: The exit code after an error.
    """
    raise_on_interrupt()
    try:
        yield
    except AssayError as error:
        _end(f"{name} failed: {error}{hint()}", code)
    except KeyboardInterrupt:
        _end(f"{name} interrupted. Nothing is half done: run it again", INTERRUPTED)
    except BrokenPipeError:  # the reader has enough, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        _end(f"{name} failed: {_disk_full(error)}{hint()}", code)


def _end(message: str, code: int) -> None:
    print(f"\n{message}", file=sys.stderr)
    sys.exit(code)


def _disk_full(error: OSError) -> str:
    return (
        f"the disk is full ({error.filename or 'while writing'}). Finished work is kept: free some space "
        "(python -m src.track --clean shows what Assay can free; dvc gc -w frees old results), then repeat"
    )

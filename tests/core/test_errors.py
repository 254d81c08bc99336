"""A command ends with a message that a person can act on, and with a traceback only for our own mistakes."""

import errno
import subprocess
import sys

import pytest

from src.core.errors import AssayError, ends_with_message
from tests.support.workspaces import ROOT


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (AssayError("no image in data/raw/x"), 1, "fetch failed: no image in data/raw/x (hint)"),
        (OSError(errno.ENOSPC, "No space left", "mlruns/a"), 1, "fetch failed: the disk is full (mlruns/a)"),
        (OSError(errno.EDQUOT, "Quota exceeded"), 1, "fetch failed: the disk is full (while writing)"),
        (KeyboardInterrupt(), 130, "fetch interrupted. Nothing is half done: run it again"),
    ],
)
def test_what_a_person_can_act_on_is_one_message(error, code, message, capsys) -> None:
    with pytest.raises(SystemExit) as ended, ends_with_message("fetch", lambda: " (hint)"):
        raise error
    assert ended.value.code == code
    out, shown = capsys.readouterr()
    assert shown.strip().startswith(message) and not out


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), ZeroDivisionError()])
def test_everything_else_keeps_its_traceback(error) -> None:
    with pytest.raises(type(error)), ends_with_message("fetch"):
        raise error


def test_a_command_may_have_its_own_exit_code() -> None:
    with pytest.raises(SystemExit) as ended, ends_with_message("audit", code=4):
        raise AssayError("the model is missing")
    assert ended.value.code == 4


def test_a_reader_that_has_enough_ends_the_command_quietly():
    """As in `python -m src.list_models | head`."""
    code = (
        "from src.core.errors import ends_with_message\n"
        "with ends_with_message('list'):\n"
        "    for number in range(100_000): print(number)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", 1)

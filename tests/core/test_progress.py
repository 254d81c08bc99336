"""Progress on a terminal and in a log."""

import time

import pytest

from src.core import progress
from src.core.progress import progress_bar


def test_a_log_gets_a_line_now_and_then(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.2)
    with progress_bar("Training", total=2_000, unit="batches") as advance:
        for _ in range(1_000):
            advance(1)
        time.sleep(0.25)
        advance(1)
        advance(1)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "Training: 1,001 of 2,000 batches after 0 s\n")


def test_a_quick_step_and_one_that_is_not_to_be_shown_write_nothing(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress_bar("Quick", total=None) as advance:
        advance(5)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress_bar("Hidden", total=None, show=False) as advance:
        advance(5)
    assert capfd.readouterr() == ("", "")
    with progress_bar("Shown", total=None) as advance:
        advance(5)
    assert capfd.readouterr().err == "Shown: 5 after 0 s\n"


def test_a_terminal_gets_a_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress_bar("Decoding", total=2) as advance:
        advance(2)
    err = capfd.readouterr().err
    assert "Decoding" in err and " after " not in err and "\x1b" in err

"""The word list of `make lint`."""

import subprocess
import sys

import pytest

from tests.support.words import QUOTED, ROOT, findings

TEXT = "It is no mapping.\nNothing is made anew here. No ledgering."


def test_a_word_is_reported_with_its_place_and_a_better_one():
    assert list(findings("docs/a.md", TEXT)) == [
        "docs/a.md:1: 'is no mapping', write: is not a …; … is missing",
        "docs/a.md:2: 'anew', write: again",
    ]


def test_a_file_may_quote_its_own_words_only():
    assert list(findings("tests/test_words.py", TEXT)) == []
    assert all((ROOT / name).is_file() for name in QUOTED)


@pytest.mark.slow
def test_the_command_reports_what_it_finds_by_its_exit_code():
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.words"], cwd=ROOT, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    assert done.returncode == (0 if lines == ["Words: no findings"] else 1)

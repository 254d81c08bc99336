"""Finds words and phrases that read as translated, and says what to write instead: part of ``make lint``."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = (
    "src",
    "tests",
    "conf",
    "benchmarks",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Makefile",
)
ENDINGS = {".py", ".md", ".yaml", ".html", ""}

THINGS = "mapping|list|number|file|folder|model|class|split|key|repository|url|run|name|object|answer|digest"
INSTEAD = {
    r"mend(s|ed|ing)?": "fix, repair",
    r"anew": "again",
    r"ledgers?": "trial log",
    r"errands?": "background task",
    r"by hand": "manually; an ad-hoc run",
    r"go(es)? on from": "continue from",
    r"whatever else": "anything else",
    rf"(is|are) no (\w+ )?({THINGS})s?": "is not a …; … is missing",
    r"there (is|are) no such": "… does not exist",
    r"(is|are) there already": "already exists",
    r"ha(s|ve) not got": "lacks; does not have",
    r"in silence": "silently",
}
QUOTED = {  # the words that a file may quote
    "CONTRIBUTING.md": {"by hand", "ledger"},  # its vocabulary
    "tests/test_words.py": {"anew", "is no mapping"},
}


def findings(name: str, text: str) -> Iterator[str]:
    """``name:line: word, write: …`` for each word in the text of a file."""
    for number, line in enumerate(text.splitlines(), start=1):
        for pattern, instead in INSTEAD.items():
            for found in re.finditer(rf"\b{pattern}\b", line, re.IGNORECASE):
                if found[0].lower() not in QUOTED.get(name, ()):
                    yield f"{name}:{number}: {found[0]!r}, write: {instead}"


def files() -> Iterator[Path]:
    """The files with English text, except this one."""
    for place in (ROOT / name for name in PLACES):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            text = path.is_file() and path.suffix in ENDINGS and "__pycache__" not in path.parts
            if text and path != Path(__file__).resolve():
                yield path


def main() -> int:
    """Print the findings; returns 1 if there are any."""
    found = [
        line
        for path in files()
        for line in findings(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    print("\n".join(found) or "Words: no findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

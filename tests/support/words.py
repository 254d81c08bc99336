"""Finds words and phrases that read as translated, and names what to write instead: part of ``make lint``."""

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

NOUNS = "mapping|list|number|file|folder|model|class|split|key|repository|url|run|name|object|answer|digest"
INSTEAD = {
    r"mend(s|ed|ing)?": "fix, repair",
    r"anew": "again",
    r"ledgers?": "trial log",
    r"errands?": "background task",
    r"by hand": "manually; an ad-hoc run",
    r"go(es)? on from": "continue from",
    r"whatever else": "anything else",
    rf"(is|are) no (\w+ )?({NOUNS})s?": "is not a …; … is missing",
    r"there (is|are) no such": "… does not exist",
    r"(is|are) there already": "already exists",
    r"ha(s|ve) not got": "lacks; does not have",
    r"in silence": "silently",
}
ALLOWED: dict[str, set[str]] = {  # path: words that are quoted there
    "tests/support/words.py": set(INSTEAD),
}


def findings(place: Path) -> Iterator[str]:
    """``path:line: word -> what to write`` of each word in a file."""
    name = place.relative_to(ROOT).as_posix()
    for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), start=1):
        for word, instead in INSTEAD.items():
            found = re.search(rf"\b({word})\b", line, re.IGNORECASE)
            if found and word not in ALLOWED.get(name, ()):
                yield f"{name}:{number}: {found[0]!r}, write: {instead}"


def files() -> Iterator[Path]:
    """The text files in which people read our English."""
    for place in (ROOT / name for name in PLACES):
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and path.suffix in ENDINGS and "__pycache__" not in path.parts:
                yield path


def main() -> int:
    """Print the findings; 1 if there are any."""
    found = [line for path in files() for line in findings(path)]
    print("\n".join(found) or "no translated-sounding words")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

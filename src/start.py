"""Look at a folder of images, propose settings that suit it and this machine, and write them to conf/.

    python -m src.start PATH                       propose settings and make them the default
    python -m src.start PATH --dry-run             only show what would be done
    python -m src.start PATH --minutes 30 --goal balanced

Inspects the images, times two or three candidate models on this machine for a few seconds each, and gives its
reasons. Then it copies the folder to data/raw/NAME (an existing one stays), adds it to DVC, writes
conf/data/NAME.yaml and conf/experiment/NAME.yaml with the reasons as comments, and composes params.yaml.
Takes less than a minute. After an error or Ctrl-C nothing has changed. The next command is: dvc repro
"""

import argparse
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from src.config.schema.base import NAME
from src.core.errors import AssayError, ends_with_message
from src.pipeline.paths import RAW, WEIGHTS
from src.proposal.goals import parse_goal
from src.proposal.taken_names import describe_taken, describe_way_out

if TYPE_CHECKING:
    from src.proposal.proposal import Proposal

WIDTH = 110  # characters of a line
LONGEST = 100  # characters of a name: it becomes that of files


def main() -> None:
    """Run the command."""
    arguments = _arguments()
    with ends_with_message("start"):
        if not Path("conf").is_dir():
            raise AssayError("conf/ is missing: run this in the root of the repository")
        _run(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m src.start", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("path", type=Path, help="folder with the images: CLASS/IMAGE.png, labels.csv or idx")
    parser.add_argument("--name", help="of the data set and the experiment (default: the folder's name)")
    parser.add_argument(
        "--minutes", type=float, default=10, help="for the final training on this machine (default: 10)"
    )
    parser.add_argument(
        "--goal", default="accuracy", help="accuracy (default), balanced, recall:CLASS, size or speed"
    )
    parser.add_argument("--dry-run", action="store_true", help="print it all, and write nothing")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> None:
    if not arguments.minutes > 0:
        raise AssayError(f"--minutes must be above 0, but got {arguments.minutes:g}")
    goal = parse_goal(arguments.goal)
    folder: Path = arguments.path
    name = arguments.name or _name_of(folder)
    if not re.match(NAME, name) or len(name) > LONGEST:
        raise AssayError(
            f"--name {name[:LONGEST]}: a name has letters of a to z, digits, _, . and -, begins with a "
            f"letter or a digit, and is at most {LONGEST} characters long"
        )
    taken = describe_taken(name, folder, RAW)
    if taken and not arguments.dry_run:
        raise AssayError(f"{taken}. {describe_way_out(name)}")
    from src.proposal.preparation import prepare  # torch takes seconds
    from src.proposal.writing import describe_files, write

    proposal = prepare(folder, name=name, goal=goal, minutes=arguments.minutes, weights=WEIGHTS)
    _show(proposal)
    if arguments.dry_run:
        for text in describe_files(proposal):
            print(text)
        if taken:
            print(f"{taken}, so without --dry-run you need another: --name OTHER")
        print("Nothing was written. Run this again without --dry-run; the next command is then: dvc repro")
        return
    for line in write(proposal, folder, RAW, WEIGHTS):
        print(f"{'start':<20} {line}", flush=True)
    print("\nNext: dvc repro\nCommit the new and changed files; git status shows them.")


def _name_of(folder: Path) -> str:
    """The folder's name, with what a data set's name cannot have replaced."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", folder.resolve().name).strip("_.-")
    if not name:
        raise AssayError(f"{folder} has no name that a data set can have: choose one with --name")
    return name


def _show(proposal: "Proposal") -> None:
    for title, lines in proposal.steps:
        if lines:
            print(f"\n{title}")
        for line in lines:
            print(textwrap.fill(line, WIDTH, initial_indent="  - ", subsequent_indent="    "))
    print(flush=True)


if __name__ == "__main__":
    main()

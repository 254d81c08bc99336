"""Prove that a model can be made again, or say exactly what differs.

    python -m src.audit                              the workspace against what was recorded of it
    python -m src.audit models:/assay-digits@champion     a registered version; also models:/NAME/3
    python -m src.audit RUN_ID | REVISION            an MLflow run, or a revision of git
    python -m src.audit … --rebuild                  make it again in an empty folder, and compare every file
    python -m src.audit --all                        every version of the registered model, a line each
    python -m src.audit --diff A B                   why two versions differ

Prints each check as PASS, FAIL or SKIPPED with its evidence, then one verdict, which is the exit code too:
IDENTICAL, EQUIVALENT and INTACT 0, DIFFERENT 1, TAMPERED 2, INCOMPLETE 3 (docs/audit.md says what each of
them proves). Takes a few seconds; with --rebuild as long as the `dvc repro` that it repeats. A registered
version gets the verdict as tags and the report beside its files, unless --no-write forbids it.
"""

import argparse
import sys
from pathlib import Path

from src.core.errors import ends_with_message

USAGE = 4  # exit code of a call that could not be carried out


def main() -> None:
    """Run the command."""
    arguments = _parser().parse_args()
    from src.auditing.command import carry_out

    with ends_with_message("audit", code=USAGE):
        sys.exit(carry_out(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m src.audit", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("target", nargs="?", help="what to audit; nothing: the workspace")
    parser.add_argument("--rebuild", action="store_true", help="make it again and compare")
    parser.add_argument(
        "--in", dest="folder", type=Path, metavar="DIR", help="where to make it again; is kept"
    )
    parser.add_argument("--stages", default="", metavar="A,B", help="make and compare these only")
    parser.add_argument("--threads", type=int, metavar="N", help="instead of the recorded number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    parser.add_argument("--public-key", type=Path, metavar="PEM", help="who must have signed it")
    parser.add_argument("--no-write", action="store_true", help="leave the registry alone")
    parser.add_argument("--all", action="store_true", help="every version of the registered model")
    parser.add_argument("--diff", nargs=2, metavar=("A", "B"), help="why two versions differ")
    return parser


if __name__ == "__main__":
    main()

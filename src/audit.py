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
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from src.core.errors import AssayError

if TYPE_CHECKING:
    from src.auditing.audit import Audit, RebuildOptions
    from src.auditing.resolve import Places
    from src.auditing.target import AuditTarget
    from src.tracking.mlflow_store import MlflowStore

USAGE = 4  # exit code of a call that could not be carried out


def main() -> None:
    """Run the command."""
    arguments = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="assay-audit-") as scratch:
            code = _run(arguments, _places(arguments, Path(scratch)))
    except AssayError as error:
        print(f"audit failed: {error}", file=sys.stderr)
        sys.exit(USAGE)
    sys.exit(code)


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


def _run(arguments: argparse.Namespace, places: "Places") -> int:
    if arguments.diff:
        return _diff(arguments.diff, places)
    if arguments.all:
        return _all(arguments, places)
    from src.auditing.report import to_lines
    from src.auditing.resolve import resolve_target

    open_store = _opener(places.root)
    found = _audit(resolve_target(arguments.target, places, open_store), arguments, open_store)
    print("\n".join(to_lines(found)))
    return _exit_code(found)


def _audit(
    subject: "AuditTarget", arguments: argparse.Namespace, open_store: "Callable[[], MlflowStore]"
) -> "Audit":
    """Audit one subject, and leave the report where it was asked for."""
    from src.auditing.audit import run_audit
    from src.auditing.html_report import write_page
    from src.auditing.report import to_json

    with _status(sys.stderr.isatty()) as say:
        found = run_audit(subject, _wish(arguments), sys.stderr.isatty(), say)
    if arguments.json:
        arguments.json.write_text(to_json(found), encoding="utf-8")
    if arguments.html:
        write_page(arguments.html, found)
    if subject.version is not None and not arguments.no_write:
        _write(found, open_store)
    return found


def _write(found: "Audit", open_store: "Callable[[], MlflowStore]") -> None:
    """Tags of the version, and the report beside its files."""
    from src.auditing.html_report import write_page
    from src.auditing.report import to_json, to_tags
    from src.registry.versions import mark_audited

    version = found.subject.version
    assert version is not None
    if version.model_run is None:  # there is no model to put it beside
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "audit.json").write_text(to_json(found), encoding="utf-8")
        write_page(folder / "audit.html", found)
        mark_audited(open_store(), version, to_tags(found), folder)


def _all(arguments: argparse.Namespace, places: "Places") -> int:
    """The worst of all exit codes."""
    from dataclasses import replace

    from src.auditing.report import summary_line
    from src.auditing.resolve import SCHEME, resolve_target
    from src.config.loading import load
    from src.registry.versions import all_versions

    open_store = _opener(places.root)
    name = arguments.target.removeprefix(SCHEME) if arguments.target else load().config.register_.name
    versions = all_versions(open_store(), name)
    if not versions:
        raise AssayError(f"{name} has no version. Stage register makes them: dvc repro")
    worst = 0
    for version in versions:
        own = replace(places, scratch=places.scratch / str(version.version))
        subject = resolve_target(f"{SCHEME}{name}/{version.version}", own, open_store)
        found = _audit(subject, arguments, open_store)
        print(summary_line(found), flush=True)
        worst = max(worst, _exit_code(found))
    return worst


def _diff(targets: list[str], places: "Places") -> int:
    from dataclasses import replace

    from src.auditing.resolve import resolve_target
    from src.auditing.version_diff import explain_difference

    one, other = (
        resolve_target(target, replace(places, scratch=places.scratch / side), _opener(places.root))
        for side, target in zip("ab", targets, strict=True)
    )
    print("\n".join(explain_difference(one, other)))
    return 0


def _exit_code(found: "Audit") -> int:
    from src.auditing.verdict import EXIT_CODE

    return EXIT_CODE[found.verdict]


def _wish(arguments: argparse.Namespace) -> "RebuildOptions":
    from src.auditing.audit import RebuildOptions

    stages = [name for name in arguments.stages.split(",") if name]
    wanted = (
        arguments.rebuild or bool(stages) or arguments.folder is not None or arguments.threads is not None
    )
    return RebuildOptions(wanted, arguments.folder, stages, arguments.threads)


def _places(arguments: argparse.Namespace, scratch: Path) -> "Places":
    from src.attestation.signing import PUBLIC, configured
    from src.auditing.resolve import Places

    root = Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()
    key = arguments.public_key or configured(PUBLIC)
    if key is not None and not key.is_file():
        raise AssayError(f"--public-key {key}: there is no such file")
    return Places(root, scratch, key)


def _opener(root: Path) -> "Callable[[], MlflowStore]":
    """MLflow, when it is asked for the first time."""
    from functools import cache

    from src.tracking.mlflow_store import connect, unreachable

    @cache
    def open_store() -> "MlflowStore":
        try:
            store = connect(root, patient=True)
            store.client.search_registered_models(max_results=1)
        except Exception as error:  # MLflow raises requests', SQLAlchemy's and its own
            raise unreachable(error) from error
        return store

    return open_store


@contextmanager
def _status(show: bool) -> "Iterator[Callable[[str], None]]":
    """Says which check is at work, on a terminal."""
    if not show:
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("Auditing") as status:
        yield lambda name: status.update(f"Checking {name.lower()}") if name != "Rebuild" else status.stop()


if __name__ == "__main__":
    main()

"""The command ``python -m src.audit``: one target, every version of a model, or two versions compared."""

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from src.attestation.signing import PUBLIC, configured
from src.auditing.audit import Audit, RebuildOptions, run_audit
from src.auditing.html_report import write_page
from src.auditing.report import summary_line, to_json, to_lines, to_tags
from src.auditing.resolve import Places, resolve_target
from src.auditing.target import AuditTarget
from src.auditing.verdict import EXIT_CODE
from src.auditing.version_diff import explain_difference
from src.config.loading import load
from src.core.errors import AssayError
from src.registry.versions import SCHEME, all_versions, mark_audited
from src.tracking.mlflow_store import MlflowStore, connect, unreachable


def carry_out(arguments: Namespace) -> int:
    """Do what the command line asks for; returns the exit code.

    Raises:
        AssayError: The target does not exist, or cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="assay-audit-") as scratch:
        return _run(arguments, _places(arguments, Path(scratch)))


def _run(arguments: Namespace, places: Places) -> int:
    if arguments.diff:
        return _compare_two(arguments.diff, places)
    if arguments.all:
        return _audit_all(arguments, places)

    open_store = _opener(places.root)
    found = _audit(resolve_target(arguments.target, places, open_store), arguments, open_store)
    print("\n".join(to_lines(found)))
    return EXIT_CODE[found.verdict]


def _audit(subject: AuditTarget, arguments: Namespace, open_store: Callable[[], MlflowStore]) -> Audit:
    """Audit one target, and write the reports that the command line asks for."""
    with _status(sys.stderr.isatty()) as say:
        found = run_audit(subject, _rebuild_options(arguments), sys.stderr.isatty(), say)
    if arguments.json:
        arguments.json.write_text(to_json(found), encoding="utf-8")
    if arguments.html:
        write_page(arguments.html, found)
    if subject.version is not None and not arguments.no_write:
        _write(found, open_store)
    return found


def _write(found: Audit, open_store: Callable[[], MlflowStore]) -> None:
    """Tags of the version, and the report beside its files."""
    version = found.subject.version
    assert version is not None
    if version.model_run is None:  # no model to put it beside
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "audit.json").write_text(to_json(found), encoding="utf-8")
        write_page(folder / "audit.html", found)
        mark_audited(open_store(), version, to_tags(found), folder)


def _audit_all(arguments: Namespace, places: Places) -> int:
    """Audit every version; returns the worst of all exit codes."""
    open_store = _opener(places.root)
    name = arguments.target.removeprefix(SCHEME) if arguments.target else load().config.register_.name
    versions = all_versions(open_store(), name)
    if not versions:
        raise AssayError(f"{name} has no version. The stage register makes them: dvc repro")
    worst = 0
    for version in versions:
        own = replace(places, scratch=places.scratch / str(version.version))
        subject = resolve_target(f"{SCHEME}{name}/{version.version}", own, open_store)
        found = _audit(subject, arguments, open_store)
        print(summary_line(found), flush=True)
        worst = max(worst, EXIT_CODE[found.verdict])
    return worst


def _compare_two(targets: list[str], places: Places) -> int:
    """Print why two versions differ."""
    one, other = (
        resolve_target(target, replace(places, scratch=places.scratch / side), _opener(places.root))
        for side, target in zip("ab", targets, strict=True)
    )
    print("\n".join(explain_difference(one, other)))
    return 0


def _rebuild_options(arguments: Namespace) -> RebuildOptions:
    stages = [name for name in arguments.stages.split(",") if name]
    wanted = (
        arguments.rebuild or bool(stages) or arguments.folder is not None or arguments.threads is not None
    )
    return RebuildOptions(wanted, arguments.folder, stages, arguments.threads)


def _places(arguments: Namespace, scratch: Path) -> Places:
    root = Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()
    key = arguments.public_key or configured(PUBLIC)
    if key is not None and not key.is_file():
        raise AssayError(f"--public-key {key}: no such file")
    return Places(root, scratch, key)


def _opener(root: Path) -> Callable[[], MlflowStore]:
    """Connects to MLflow at the first call."""

    @cache
    def open_store() -> MlflowStore:
        try:
            store = connect(root, patient=True)
            store.client.search_registered_models(max_results=1)
        except Exception as error:  # MLflow raises requests', SQLAlchemy's and its own
            raise unreachable(error) from error
        return store

    return open_store


@contextmanager
def _status(show: bool) -> Iterator[Callable[[str], None]]:
    """Show the running check, on a terminal."""
    if not show:
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("Auditing") as status:
        yield lambda name: status.update(f"Checking {name.lower()}") if name != "Rebuild" else status.stop()

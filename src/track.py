"""Bring MLflow up to date with the journal, and with the records of others (reports/records).

    python -m src.track             add what MLflow lacks, for example after an outage. Takes about
                                    5 s; the first time in a clone 15 s or more, by the number of records
    python -m src.track --rebuild   build mlflow.db again: after the repository was moved, or a deletion.
                                    What people changed on MLflow's pages (descriptions, tags) is lost
    python -m src.track --clean     list the state that interrupted stages left; with --yes, remove it

Prints what changed. Nothing here touches the pipeline's files.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from src.core.errors import AssayError, ends_with_message
from src.pipeline import leftovers
from src.tracking import rebuild as rebuilding
from src.tracking import sync
from src.tracking.journal_index import JournalIndex
from src.tracking.mlflow_store import MlflowStore, connect, database, is_embedded, unreachable

if TYPE_CHECKING:
    from src.registry.registered_model import Version
    from src.tracking.run_sync import SyncResult

CHILDREN = ("trial-", "fold-")  # there may be thousands, so they are only counted


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m src.track", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--rebuild", action="store_true", help="build mlflow.db again from the journal")
    choice.add_argument("--clean", action="store_true", help="list the state that interrupted stages left")
    parser.add_argument("--yes", action="store_true", help="with --clean: remove it")
    arguments = parser.parse_args()
    root = Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()
    with ends_with_message("track"):
        if arguments.clean:
            clean(root, arguments.yes)
        else:
            if is_embedded() and not database(root).exists():
                print("Building mlflow.db, once: 15 s or more", file=sys.stderr, flush=True)
            from src.registry.decision_records import import_records, publish_decisions

            brought = import_records(root, root)
            show(*track(root, arguments.rebuild), brought.lines(root))
            publish_decisions(root, root)  # on challenges that waited for MLflow
            brought.demand_all(root)


def track(root: Path, rebuild: bool = False) -> "tuple[list[SyncResult], list[Version]]":
    """Bring the runs, then the model registry.

    Returns:
        What was done with each run; and the versions that have got an alias.

    Raises:
        AssayError: MLflow does not answer, or the repository was moved.
    """
    from src.registry.mlflow_registry import apply_decisions, held_aliases

    versions: list[Version] = []

    def register(store: MlflowStore, journal: JournalIndex) -> None:
        before = held_aliases(store)
        for version in apply_decisions(store, journal):
            if {(version.name, alias, version.version) for alias in version.aliases} - before:
                versions.append(version)

    try:
        if rebuild:
            return rebuilding.rebuild(root, then=register), versions
        store, journal = connect(root, patient=True), JournalIndex(root)
        results = sync.replay(store, journal, show=True)
        register(store, journal)
    except AssayError:
        raise
    except Exception as error:  # MLflow raises requests', SQLAlchemy's and its own
        raise unreachable(error) from error
    return results, versions


def show(results: "list[SyncResult]", versions: "list[Version]", brought: Sequence[str] = ()) -> None:
    """Print what was done: a line for each run and each alias that changed, and one that counts the runs."""
    for line in brought:
        print(line)
    changed = [run for run in results if run.done != "unchanged"]
    news = [run for run in changed if not run.name.startswith(CHILDREN)]
    width = max((len(run.name) for run in news), default=0)
    for run in news:
        print(f"{run.name:<{width}}  {run.experiment}  {run.lineage[:8]}  {run.status:<8}  {run.done}")
    if len(changed) > len(news):
        print(f"and {len(changed) - len(news)} of their trials and folds")
    for version in versions:
        print(f"registered: {version}")
    count = Counter(run.done for run in results)
    counts = [f"{count[done]} {done}" for done in ("created", "refreshed", "unchanged", "waiting")]
    print(f"MLflow runs: {', '.join(counts)}")
    if count["waiting"]:
        print("waiting: metrics of a run made on another machine, which neither the journal nor MLflow has")


def clean(root: Path, remove: bool) -> None:
    """List, or remove, the state that no running stage uses."""

    found = leftovers.leftovers(root)
    for left in found:
        size, lineage = f"{left.size / 1e6:8.1f} MB", left.path.name[:8]
        print(f"{size}  {left.days:5.1f} days  {left.stage:<20}  {lineage}  {left.what}")
    total = sum(left.size for left in found) / 1e6
    if not found:
        print("Nothing to remove: no stage left anything behind")
    elif remove:
        removed = [left for left in found if leftovers.remove(left)]
        print(f"Removed {sum(left.size for left in removed) / 1e6:.1f} MB in {len(removed)} folders")
    else:
        print(f"{total:.1f} MB. Interrupted stages could continue from it. To remove all: --clean --yes")


if __name__ == "__main__":
    main()

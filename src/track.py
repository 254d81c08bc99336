"""Bring MLflow up to date with the journal.

    python -m src.track             what MLflow lacks: after an outage, say. About 4 s, and does nothing twice
    python -m src.track --rebuild   the whole view anew: after a wiped database or a moved repository.
                                    What people typed into MLflow's pages (descriptions, their own tags) goes
    python -m src.track --clean     list left-over state of interrupted stages; with --yes, free it

Prints what it brought. Nothing here touches the pipeline's files.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from src.core.errors import AssayError

if TYPE_CHECKING:
    from src.tracking.sync import Summary

CHILDREN = ("trial-", "fold-")  # there may be thousands, so they are only counted


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m src.track", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--rebuild", action="store_true", help="make the whole view anew")
    choice.add_argument("--clean", action="store_true", help="list left-over state of interrupted stages")
    parser.add_argument("--yes", action="store_true", help="with --clean: free it")
    arguments = parser.parse_args()
    root = Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()
    try:
        clean(root, arguments.yes) if arguments.clean else track(root, arguments.rebuild)
    except AssayError as error:
        sys.exit(f"track failed: {error}")


def track(root: Path, rebuild: bool) -> None:
    """Replay the journal and say what came of it.

    Raises:
        AssayError: MLflow does not answer, or the repository was moved.
    """
    from src.tracking.mlflow_store import unreachable
    from src.tracking.rebuild import rebuild as make_anew
    from src.tracking.sync import synchronize

    try:
        summary = make_anew(root) if rebuild else synchronize(root, patient=True)
    except AssayError:
        raise
    except Exception as error:  # MLflow raises requests', SQLAlchemy's and its own
        raise unreachable(error) from error
    show(summary)


def show(summary: "Summary") -> None:
    """A line for each run that changed, and one that counts the others."""
    changed = [run for run in summary.runs if run.done != "unchanged"]
    news = [run for run in changed if not run.name.startswith(CHILDREN)]
    width = max((len(run.name) for run in news), default=0)
    for run in news:
        print(f"{run.name:<{width}}  {run.experiment}  {run.lineage[:8]}  {run.status:<8}  {run.done}")
    if len(changed) > len(news):
        print(f"and {len(changed) - len(news)} of their trials and folds")
    for version in summary.versions:
        if version.aliases:
            print(f"registered: {version}")
    counts = [f"{summary.count(done)} {done}" for done in ("created", "refreshed", "unchanged", "waiting")]
    print(f"MLflow runs: {', '.join(counts)}")
    if summary.count("waiting"):
        print("waiting: figures of a run that neither the journal nor MLflow has, made on another machine")


def clean(root: Path, free: bool) -> None:
    """List, or free, what lies in .assay/state and nobody works on."""
    from src.pipeline.leftovers import leftovers, remove

    found = leftovers(root)
    for left in found:
        size, lineage = f"{left.size / 1e6:8.1f} MB", left.path.name[:8]
        print(f"{size}  {left.days:5.1f} days  {left.stage:<20}  {lineage}  {left.what}")
    total = sum(left.size for left in found) / 1e6
    if not found:
        print("Nothing to free: no stage has left anything behind")
    elif free:
        removed = [left for left in found if remove(left)]
        print(f"Freed {sum(left.size for left in removed) / 1e6:.1f} MB in {len(removed)} folders")
    else:
        print(f"{total:.1f} MB. An interrupted stage could go on from its state. To free all: --clean --yes")


if __name__ == "__main__":
    main()

"""Results that nobody made here: DVC's cache, git or a team mate brought them, so the journal lacks them.

A fresh clone has the reports of evaluate and compare from git, and DVC runs neither again while they match
their inputs. The journal gets an attempt for each such result, tagged ``adopted``, and MLflow shows its
figures as those of any other.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.core.hashing import hash_tree
from src.leaderboard.table.rows import BASE, read_rows
from src.pipeline.execution import StageRun
from src.provenance.journal import RunRecord, attempts
from src.registry.variant_metrics import evaluate_figures
from src.tracking.live import Tracker

MODELS, EVALUATE, COMPARE = Path("models"), Path("reports/evaluate"), Path("reports/compare")
UNKNOWN = "made elsewhere: of its execution nothing is known here"


def adopt_variant(run: StageRun, variant: str) -> None:
    """Give the journal the model of a variant."""
    parents = run.lineage.parents
    own = {
        "stage": "compress",
        "variant": variant,
        "parents": {"train": parents["train"]} if "train" in parents else {},
    }
    attempt = _open(run, f"compress@{variant}", own)
    attempt.add_model(MODELS / variant)
    _close(attempt, MODELS / variant)


def adopt_reports(run: StageRun) -> None:
    """Give the journal what evaluate and compare have found out, unless it knows, and MLflow too."""
    for stage, fill, folder in (("evaluate", _evaluate, EVALUATE), ("compare", _compare, COMPARE)):
        lineage = run.lineage.parents[stage]
        if any(attempt.record["status"] == "FINISHED" for attempt in attempts(run.root, lineage)):
            continue
        subject = run.lineage.parents["train"] if stage == "evaluate" else lineage
        attempt = _open(run, stage, {"stage": stage, "subject": subject})
        fill(run, attempt)
        _close(attempt, folder)
        Tracker(run.root, lineage).finish()


def _evaluate(run: StageRun, attempt: RunRecord) -> None:  # noqa: ARG001  # as _compare
    attempt.add_figures(sorted(EVALUATE.glob("*.png")))
    attempt.update(metrics=evaluate_figures(EVALUATE / "metrics.json"))


def _compare(run: StageRun, attempt: RunRecord) -> None:
    for row in read_rows(COMPARE / "variants.csv"):
        if row.reason is None:
            address = "train" if row.name == BASE else f"compress@{row.name}"
            attempt.attach(run.lineage.parents[address], row.tracked(), (), {})


def _open(run: StageRun, address: str, own: Mapping[str, Any]) -> RunRecord:
    """An attempt like that of the stage at work, but for what is the result's own."""
    lineage = run.lineage.parents[address]
    known = {
        "address": address,
        "command": run.job.graph.stage(address).command,
        "lineage": lineage,
        "subject": lineage,
        "name": f"{address}-{lineage[:8]}",
        "attached": {},
        "params": run.job.graph.parameters_of(address, run.job.loaded.values),
        "tags": {"adopted": UNKNOWN},
    }
    return RunRecord.open(run.root, {**run.attempt.record, **known, **own})


def _close(attempt: RunRecord, folder: Path) -> None:
    attempt.update(outputs=hash_tree(folder))
    attempt.close("FINISHED")

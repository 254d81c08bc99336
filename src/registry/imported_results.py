"""Imports results from DVC's cache, git or a colleague, whose execution the journal lacks.

A fresh clone has the reports of evaluate and compare from git, and DVC does not run these stages again while
their inputs are unchanged. The journal gets an attempt for each such result, tagged ``adopted``, and MLflow
shows its metrics like any other's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.core.hashing import hash_tree
from src.leaderboard.table.rows import BASE, read_rows
from src.pipeline.execution import StageRun
from src.pipeline.paths import COMPARE, EVALUATE, MODELS
from src.provenance.journal import RunRecord, attempts
from src.registry.variant_metrics import evaluate_metrics
from src.tracking.live import Tracker

UNKNOWN = "made elsewhere: nothing is known here about its execution"


def import_variant(run: StageRun, variant: str) -> None:
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


def import_reports(run: StageRun) -> None:
    """Give the journal, and through it MLflow, the results of evaluate and compare if it lacks them."""
    for stage, fill, folder in (("evaluate", _evaluate, EVALUATE), ("compare", _compare, COMPARE)):
        lineage = run.lineage.parents[stage]
        if any(attempt.record["status"] == "FINISHED" for attempt in attempts(run.root, lineage)):
            continue
        subject = run.lineage.parents["train"] if stage == "evaluate" else lineage
        attempt = _open(run, stage, {"stage": stage, "subject": subject})
        fill(run, attempt)
        _close(attempt, folder)
        Tracker(run.root, lineage).finish()


def _evaluate(run: StageRun, attempt: RunRecord) -> None:  # noqa: ARG001  # called like _compare
    attempt.add_figures(sorted(EVALUATE.glob("*.png")))
    attempt.update(metrics=evaluate_metrics(EVALUATE / "metrics.json"))


def _compare(run: StageRun, attempt: RunRecord) -> None:
    for row in read_rows(COMPARE / "variants.csv"):
        if row.reason is None:
            address = "train" if row.name == BASE else f"compress@{row.name}"
            attempt.attach(run.lineage.parents[address], row.tracked(), (), {})


def _open(run: StageRun, address: str, own: Mapping[str, Any]) -> RunRecord:
    """An attempt like that of the running stage, except for what is the result's own."""
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

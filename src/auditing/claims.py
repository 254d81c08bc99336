"""What the records in git say of the models' metrics, against the result files and what was recomputed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from src.auditing.checks.records import of_stages
from src.auditing.target import AuditTarget
from src.core.files import read_json
from src.leaderboard.table.rows import BASE, read_rows
from src.records.execution import claims
from src.records.files import read_records
from src.registry.variant_metrics import evaluate_metrics, numbers


def recorded_claims(subject: AuditTarget) -> Iterator[tuple[Path, str, Mapping[str, float]]]:
    """(record, lineage of a run, metrics that the record says it has) for the stages behind the model."""
    for record in of_stages(subject, read_records(subject.root)):
        for lineage, metrics in claims(record).items():
            yield record.path, lineage, metrics


def published_metrics(subject: AuditTarget) -> dict[str, dict[str, float]]:
    """{lineage of a run: its metrics by the tracked result files that are here}."""
    found: dict[str, dict[str, float]] = {}
    for stage, metrics in _result_files(subject):
        if stage in subject.lineages:
            found.setdefault(subject.lineages[stage], {}).update(metrics)
    return found


def _result_files(subject: AuditTarget) -> Iterator[tuple[str, dict[str, float]]]:
    reports = subject.folder / "reports"
    if (reports / "evaluate/metrics.json").is_file():
        yield "train", evaluate_metrics(reports / "evaluate/metrics.json")
    if (reports / "cross_validate/metrics.json").is_file():
        yield "cross_validate", numbers(read_json(reports / "cross_validate/metrics.json"))
    if (reports / "compare/variants.csv").is_file():
        for row in read_rows(reports / "compare/variants.csv"):
            if row.reason is None:
                # the base's accuracy there is that of another computation
                is_base = row.name == BASE
                yield (
                    "train" if is_base else f"compress@{row.name}",
                    row.tracked() if is_base else row.metrics,
                )

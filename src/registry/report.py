"""What was decided on the variants, as decision.json and the terminal say it."""

from collections.abc import Sequence
from typing import Any

from src.config.schema import Config
from src.registry.decisions import Registration, Ruling
from src.registry.mlflow_registry import Version
from src.registry.policy import Choice
from src.registry.variant_metrics import VariantMetrics

UNKNOWN = "not ruled on yet, as MLflow does not answer: python -m src.track does it by the same rule"


def build_decision_report(
    config: Config,
    choice: Choice,
    measured: Sequence[VariantMetrics],
    registrations: Sequence[Registration],
    ruling: Ruling | None,
) -> dict[str, Any]:
    """The content of decision.json; ``test`` is only reported."""
    figures = next((one.metrics() for one in measured if one.name == choice.name), {})
    tested = {key: value for key, value in figures.items() if key.startswith("test/")}
    sha256 = next((r.sha256 for r in registrations if r.variant == choice.name), None)
    return {
        "decision": _outcome(choice, ruling),
        "model": config.register_.name,
        "variant": choice.name,
        "sha256": sha256,
        "reason": choice.reason,
        "promotion": None if choice.name is None else ruling.reason if ruling else UNKNOWN,
        "policy": config.register_.policy.model_dump(),
        "excluded": choice.excluded,
        "registered": [registration.variant for registration in registrations],
        "judged_by": {key: value for key, value in figures.items() if key not in tested},
        "test": tested,
    }


def _outcome(choice: Choice, ruling: Ruling | None) -> str:
    if choice.name is None:
        return "none"
    return "champion" if ruling is not None and ruling.champion else "challenger"


def summary(decision: dict[str, Any], versions: Sequence[Version] | None) -> list[str]:
    """What the whole pipeline has come to, for the terminal."""
    lines = [f"Left out         {name}: {why}" for name, why in decision["excluded"].items()]
    if decision["variant"] is None:
        lines.append(f"Chosen           none: {decision['reason']}. Nothing is promoted")
    else:
        lines += [
            f"Chosen           {decision['variant']}: {decision['reason']}",
            *_tested(decision["test"]),
            f"Promotion        {decision['decision']}: {decision['promotion']}",
        ]
    named = [str(version) for version in versions or () if version.aliases]
    count = f"{len(decision['registered'])} versions of {decision['model']}"
    if versions is None:
        count += ": decided, not yet carried out (python -m src.track)"
    return [
        *lines,
        f"Registered       {'; '.join([count, *named])}",
        "Figures          reports/benchmark/leaderboard.md, reports/evaluate/",
        "Look at it       make ui",
    ]


def _tested(test: dict[str, float]) -> list[str]:
    value, low, high = (test.get(f"test/accuracy{end}") for end in ("", "_low", "_high"))
    if value is None:
        return []
    interval = f" (interval {low:.4f} to {high:.4f})" if low is not None and high is not None else ""
    return [f"Test accuracy    {value:.4f}{interval}; it has decided nothing"]

"""The decision on the variants, as decision.json, summary.json and the terminal show it."""

from collections.abc import Sequence
from typing import Any

from src.config.schema import Config
from src.core.metric_names import nest
from src.registry.decisions import Registration, Ruling
from src.registry.policy import Choice
from src.registry.registered_model import Version
from src.registry.variant_metrics import VariantMetrics

UNKNOWN = "not decided yet, because MLflow does not answer: python -m src.track decides by the same rule"
# DVC's metrics of the champion; short names, so that `dvc metrics show` fits 120 columns
SUMMARY = {"champion": "test/accuracy", "latency_ms": "speed/latency_p50_ms"}


def build_decision_report(
    config: Config,
    choice: Choice,
    measured: Sequence[VariantMetrics],
    registrations: Sequence[Registration],
    ruling: Ruling | None,
) -> dict[str, Any]:
    """The content of decision.json; ``test`` is only reported."""
    metrics = next((dict(one.metrics) for one in measured if one.name == choice.name), {})
    tested = {key: value for key, value in metrics.items() if key.startswith("test/")}
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
        "judged_by": nest({key: value for key, value in metrics.items() if key not in tested}),
        **nest({"test": {}} | tested),
    }


def _outcome(choice: Choice, ruling: Ruling | None) -> str:
    if choice.name is None:
        return "none"
    return "champion" if ruling is not None and ruling.champion else "challenger"


def champion_summary(versions: Sequence[Version] | None) -> dict[str, Any]:
    """The content of summary.json: the champion's metrics, null where MLflow does not tell them."""
    champion = next((version for version in versions or () if "champion" in version.aliases), None)
    tags = champion.tags if champion else {}
    return {short: float(tags[name]) if name in tags else None for short, name in SUMMARY.items()}


def terminal_lines(decision: dict[str, Any], versions: Sequence[Version] | None) -> list[str]:
    """The outcome of the whole pipeline, for the terminal."""
    lines = [f"Excluded         {name}: {reason}" for name, reason in decision["excluded"].items()]
    if decision["variant"] is None:
        lines.append(f"Chosen           none: {decision['reason']}. Nothing is promoted")
    else:
        lines += [
            f"Chosen           {decision['variant']}: {decision['reason']}",
            *_tested(decision["test"].get("accuracy")),
            f"Promotion        {decision['decision']}: {decision['promotion']}",
        ]
    named = [str(version) for version in versions or () if version.aliases]
    count = f"{len(decision['registered'])} versions of {decision['model']}"
    if versions is None:
        count += ": decided, but not in MLflow yet (python -m src.track)"
    return [
        *lines,
        f"Registered       {'; '.join([count, *named])}",
        "Reports          reports/benchmark/leaderboard.md, reports/evaluate/",
        "MLflow           make ui",
    ]


def _tested(accuracy: dict[str, float] | float | None) -> list[str]:
    if accuracy is None:
        return []
    parts = accuracy if isinstance(accuracy, dict) else {"value": accuracy}
    interval = f" (interval {parts['low']:.4f} to {parts['high']:.4f})" if "low" in parts else ""
    return [f"Test accuracy    {parts['value']:.4f}{interval}; it decided nothing"]

"""The decision on the variants, as decision.json, summary.json and the terminal show it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from src.config.schema import Config
from src.config.schema.register import Policy
from src.core.metric_names import nest
from src.core.wording import counted, listed
from src.leaderboard.comparison.non_inferiority import Verdict, fewest_images, smallest_limit
from src.registry.class_report import ClassReport
from src.registry.decisions import Registration, Ruling
from src.registry.image_roles import ImageRole
from src.registry.policy import Choice
from src.registry.registered_model import Version
from src.registry.variant_metrics import VariantMetrics

UNKNOWN = "not decided yet, because MLflow does not answer: python -m src.track decides by the same rule"
SHOWN = 10  # classes named in one line
# DVC's metrics of the champion; short names, so that `dvc metrics show` fits 120 columns
SUMMARY = {"champion": "test/accuracy", "latency_ms": "speed/latency_p50_ms"}


def build_decision_report(
    config: Config,
    choice: Choice,
    verdicts: Mapping[str, Verdict],
    measured: Sequence[VariantMetrics],
    registrations: Sequence[Registration],
    ruling: Ruling | None,
    classes: ClassReport | None,
    roles: Sequence[ImageRole],
) -> dict[str, Any]:
    """The content of decision.json; ``test`` and ``classes`` are only reported."""
    metrics = next((dict(one.metrics) for one in measured if one.name == choice.name), {})
    tested = {key: value for key, value in metrics.items() if key.startswith("test/")}
    if classes is not None:
        tested["test/f1_macro"] = classes.f1_macro()
    sha256 = next((r.sha256 for r in registrations if r.variant == choice.name), None)
    return {
        "decision": _outcome(choice, ruling),
        "model": config.register_.name,
        "variant": choice.name,
        "sha256": sha256,
        "reason": choice.reason,
        "promotion": None if choice.name is None else ruling.reason if ruling else UNKNOWN,
        "policy": config.register_.policy.model_dump(),
        "non_inferiority": {name: _finite(asdict(verdict)) for name, verdict in verdicts.items()},
        "too_few_images": too_few_images(config.register_.policy, verdicts, roles),
        "excluded": choice.excluded,
        "registered": [registration.variant for registration in registrations],
        "judged_by": nest({key: value for key, value in metrics.items() if key not in tested}),
        **nest({"test": {}} | tested),
        "classes": None if classes is None else _by_class(classes),
        "images": {role.split: {"images": role.images, "decided": role.decided} for role in roles},
    }


def too_few_images(policy: Policy, verdicts: Mapping[str, Verdict], roles: Sequence[ImageRole]) -> str | None:
    """What no variant can show with so few validation images, and what would help; None if one can."""
    images = next(role.images for role in roles if role.split == "val")
    level = policy.level / max(len(verdicts), 1)
    least = smallest_limit(images, level)
    if policy.metric != "val/accuracy" or not verdicts or least <= policy.margin:
        return None
    return (
        f"{images} validation images cannot show that {_variants(len(verdicts))} less than {least:.4f}, "
        f"even if no answer changes, but register.policy.margin is {policy.margin:g}. Use at least "
        f"{fewest_images(policy.margin, level)} validation images, fewer variants or a wider margin"
    )


def _variants(count: int) -> str:
    return "a variant loses" if count == 1 else f"{count} variants lose"


def _by_class(classes: ClassReport) -> dict[str, Any]:
    """Where the chosen variant is weak on the test images."""
    weakest = classes.weakest()
    return {
        "weakest": None if weakest is None else dict(zip(("class", "images", "right"), weakest, strict=True)),
        "never_right": classes.never_right(),
        "confusions": [
            dict(zip(("actual", "predicted", "images"), each, strict=True)) for each in classes.confusions()
        ],
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity and no NaN."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


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
    if decision["too_few_images"]:
        lines.append(f"Too few images   {decision['too_few_images']}")
    if decision["variant"] is None:
        lines.append(f"Chosen           none: {decision['reason']}. Nothing is promoted")
    else:
        lines += [
            f"Chosen           {decision['variant']}: {decision['reason']}",
            *_tested(decision["test"]),
            *_weakest(decision["classes"]),
            f"Promotion        {_promotion(decision)}",
        ]
    named = [str(version) for version in versions or () if version.aliases]
    count = f"{counted(len(decision['registered']), 'version')} of {decision['model']}"
    if versions is None:
        count += ": decided, but not in MLflow yet (python -m src.track)"
    return [
        *lines,
        f"Registered       {'; '.join([count, *named])}",
        "Reports          reports/benchmark/leaderboard.md, reports/register/, reports/evaluate/ (the base)",
        "MLflow           make ui",
    ]


def _promotion(decision: dict[str, Any]) -> str:
    reason: str = decision["promotion"]
    if reason == UNKNOWN:
        return reason
    return f"{'it is champion' if decision['decision'] == 'champion' else 'it stays challenger'}: {reason}"


def _weakest(classes: dict[str, Any]) -> list[str]:
    weakest, never = classes["weakest"], classes["never_right"]
    if weakest is None:
        return []
    if never:
        return [f"Never right      {len(never)} of the classes in the test images: {listed(never, SHOWN)}"]
    return [f"Weakest class    {weakest['class']}: {weakest['right']} of {weakest['images']} test images"]


def _tested(test: dict[str, Any]) -> list[str]:
    if "accuracy" not in test:
        return []
    accuracy = test["accuracy"]
    parts = accuracy if isinstance(accuracy, dict) else {"value": accuracy}
    interval = f" (interval {parts['low']:.4f} to {parts['high']:.4f})" if "low" in parts else ""
    f1 = f", macro F1 {test['f1_macro']:.4f}" if "f1_macro" in test else ""
    return [f"Test accuracy    {parts['value']:.4f}{interval}{f1}; it decided nothing"]

"""Whether a challenger becomes champion: asked when MLflow answers, because only it knows the champion.

A challenge is ruled on once, by one rule, now or in a later ``python -m src.track``. The ruling is written to
the journal and repeated from there, also for a store that is built again.
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from src.leaderboard.comparison.non_inferiority import NonInferiorityRule, measure_loss
from src.registry.decisions import Challenge, Ruling, append_decisions
from src.registry.promotion import (
    PromotionDecision,
    ValidationEvidence,
    judge_challenger,
    overlap,
    paired_logits,
)
from src.registry.registered_model import RegisteredModelView
from src.registry.validation_answers import NotComparableError, answers, read_evidence

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

MANUALLY = 'a person can promote it: python -m src.register --promote VERSION --reason "…"'


def apply_challenge(model: RegisteredModelView, challenge: Challenge, ruled: set[str | None]) -> None:
    """Give the policy's choice its alias, and rule on it unless that was done (``ruled``: times)."""
    version = model.find((challenge.lineage, challenge.sha256)) if challenge.lineage else None
    if version is None:
        return
    if model.move_alias(version, "challenger", challenge.time):
        model.set_version_tags(version, {"challenger.reason": challenge.reason})
    if challenge.time in ruled:
        return
    decision = _decide(model, challenge, version)
    ruling = Ruling(
        name=model.name,
        lineage=str(challenge.lineage),
        sha256=str(challenge.sha256),
        champion=decision.promoted,
        reason=decision.reason,
        by="rule",
        embedded=model.store.embedded,
        challenge=challenge.time,
    )
    append_decisions(model.store.root, ruling)
    apply_ruling(model, ruling)


def apply_ruling(model: RegisteredModelView, ruling: Ruling) -> None:
    """Do what a ruling says, if it was made for this kind of registry and no later one holds."""
    version = model.find((ruling.lineage, ruling.sha256))
    if version is None or ruling.embedded != model.store.embedded:
        return
    if version.tags.get("promotion.time", "") < ruling.time:
        model.set_version_tags(version, _tags(ruling))
    if ruling.champion:
        model.move_alias(version, "champion", ruling.since, ruling.by)


def _tags(ruling: Ruling) -> dict[str, str]:
    return {
        "promotion.result": "champion" if ruling.champion else "not promoted",
        "promotion.reason": ruling.reason,
        "promotion.by": ruling.by,
        "promotion.time": ruling.time,
    }


def _decide(model: RegisteredModelView, challenge: Challenge, version: "ModelVersion") -> PromotionDecision:
    """The rule of promotion. A version that cannot be compared with the champion does not replace it."""
    forbidden = _forbidden(challenge, model.store.embedded)
    if forbidden:
        return PromotionDecision(False, forbidden)
    champion = model.holder("champion")
    if champion is None:
        return PromotionDecision(True, f"there was no champion; {challenge.base}")
    if champion.version == version.version:
        return PromotionDecision(True, "it is the champion already")
    if model.tag("champion.time") > challenge.time:
        later = f"version {champion.version} was made champion after this was decided"
        return PromotionDecision(False, later)
    return _compare(model, champion, version, challenge)


def _compare(
    model: RegisteredModelView, champion: "ModelVersion", version: "ModelVersion", challenge: Challenge
) -> PromotionDecision:
    """Against the present champion, then against the best of those before it, so that small losses do not
    add up over many champions."""
    today = read_evidence(model, version)
    if challenge.rule is None or today is None or today.logits is None:
        return _not_comparable(f"version {version.version} has no answers or no margin to be judged by")
    if learned := overlap(today, today.images):
        return _not_comparable(f"version {version.version}, {learned}")
    rule = NonInferiorityRule(**challenge.rule)
    try:
        present = answers(model, champion, today)
    except NotComparableError as error:
        return _not_comparable(f"version {champion.version}, {error}")
    decision = _against(f"version {champion.version}", judge_challenger(present, today, rule))
    best = _best(model, today, rule)
    if not decision.promoted or best is None:
        return decision
    number, evidence = best
    name = f"version {number}, the best of the earlier champions"
    earlier = _against(name, judge_challenger(evidence, today, rule))
    return replace(earlier, reason=f"{decision.reason}; {earlier.reason}")


def _best(
    model: RegisteredModelView, today: ValidationEvidence, rule: NonInferiorityRule
) -> tuple[str, ValidationEvidence] | None:
    """Number and answers of the earlier champion with the best metric today; None if none can be asked."""
    found = []
    for version in model.former_champions():
        try:
            evidence = answers(model, version, today)
        except NotComparableError:
            continue  # it has learned from today's images, or is gone
        found.append((str(version.version), evidence))
    return max(found, key=lambda each: _loss(each[1], today, rule), default=None)


def _loss(before: ValidationEvidence, today: ValidationEvidence, rule: NonInferiorityRule) -> float:
    """By how much today's model is worse; infinite where that is unknown, which then decides."""
    loss = measure_loss(*paired_logits(before, today), rule).value
    return math.inf if math.isnan(loss) else loss


def _against(name: str, decision: PromotionDecision) -> PromotionDecision:
    return replace(decision, reason=f"against {name}: {decision.reason}")


def _not_comparable(reason: str) -> PromotionDecision:
    return PromotionDecision(False, f"not comparable with the champion: {reason}; {MANUALLY}")


def _forbidden(challenge: Challenge, embedded: bool) -> str | None:
    """Why nothing is promoted automatically here; None if it may be."""
    if challenge.promote == "never":
        return f"register.promote is never; {MANUALLY}"
    if challenge.promote == "embedded" and not embedded:
        return f"this is a team's server, and register.promote is embedded, not auto; {MANUALLY}"
    return None

"""Whether a challenger becomes champion: asked when MLflow answers, because only it knows the champion.

A challenge is ruled on once, by one rule, now or in a later ``python -m src.track``. The ruling is written to
the journal and repeated from there, also for a store that is built again.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from src.registry import promotion
from src.registry.archive import find_archived
from src.registry.decisions import Challenge, Ruling, append_decisions
from src.registry.promotion import PromotionDecision, ValidationEvidence
from src.registry.registered_model import RegisteredModelView, model_id_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


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
        return PromotionDecision(True, "there was no champion")
    if champion.version == version.version:
        return PromotionDecision(True, "it is the champion already")
    if model.tag("champion.time") > challenge.time:
        later = f"version {champion.version} was made champion after this was decided"
        return PromotionDecision(False, later)
    return _compare(model, champion, version, challenge.level)


def _compare(
    model: RegisteredModelView, champion: "ModelVersion", version: "ModelVersion", level: float
) -> PromotionDecision:
    before, after = _evidence(model, champion), _evidence(model, version)
    if before is None or after is None:
        number = champion.version if before is None else version.version
        missing = f"the predictions of version {number} for the validation images are missing"
        return PromotionDecision(False, f"not comparable with the champion: {missing}")
    judgement = promotion.judge(before, after, level)
    return PromotionDecision(judgement.promoted, f"against version {champion.version}: {judgement.reason}")


def _forbidden(challenge: Challenge, embedded: bool) -> str | None:
    """Why nothing is promoted automatically here; None if it may be."""
    manually = 'a person can promote it: python -m src.register --promote VERSION --reason "…"'
    if challenge.promote == "never":
        return f"register.promote is never; {manually}"
    if challenge.promote == "embedded" and not embedded:
        return f"this is a team's server, and register.promote is embedded, not auto; {manually}"
    return None


def _evidence(model: RegisteredModelView, version: "ModelVersion") -> ValidationEvidence | None:
    """What a version is judged by, from the journal or from MLflow; None if it cannot be read."""
    name = version.tags.get("evidence", "")
    folder = find_archived(model.store.root, name)
    if folder is not None:
        return _read(folder)
    client, model_id = model.store.client, model_id_of(version)
    if not name or not client.list_logged_model_artifacts(model_id, "evidence"):
        return None
    from mlflow.artifacts import download_artifacts

    location = client.get_logged_model(model_id).artifact_location
    with tempfile.TemporaryDirectory() as place:
        return _read(Path(download_artifacts(f"{location}/evidence", dst_path=place)))


def _read(folder: Path) -> ValidationEvidence | None:
    try:
        return promotion.load(folder)
    except (OSError, ValueError):
        return None

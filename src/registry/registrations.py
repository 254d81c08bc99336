"""What to register: a version for each variant with a model, and everything that belongs to it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from src.attestation import signing
from src.attestation.statement import write_statement
from src.config.schema import Config
from src.core.files import read_json
from src.core.hashing import file_hash
from src.data.dataset.index import read_index
from src.evaluation.metrics.by_name import refuse_unknown_classes
from src.leaderboard.comparison.non_inferiority import NonInferiorityRule, Verdict
from src.pipeline.execution import StageRun
from src.pipeline.paths import BENCHMARK, COMPARE, INGEST, MODELS
from src.registry.archive import ARCHIVE, has_model, pack, store_evidence, store_provenance, store_record
from src.registry.class_report import ClassReport, write_confusion
from src.registry.decision_records import import_records, publish_decisions
from src.registry.decisions import Challenge, Registration, append_decisions, ruling_on
from src.registry.image_roles import image_roles
from src.registry.imported_results import import_reports, import_variant
from src.registry.mlflow_registry import try_apply_decisions
from src.registry.model_card import ModelCardFacts, model_card
from src.registry.policy import Choice, choose, needed_metrics
from src.registry.provenance_statement import build_provenance
from src.registry.registered_model import Version
from src.registry.report import build_decision_report
from src.registry.variant_answers import VariantAnswers, judge_variants, read_answers, validation_metrics
from src.registry.variant_metrics import VariantMetrics, read_measured
from src.serving.decision import describe
from src.tracking.mlflow_store import is_embedded

# Metrics that are tags of a version too, because people sort versions by them; all are on its model and run.
TAGGED = ("val/accuracy", "test/accuracy", "model/bytes", "speed/latency_p50_ms")


def register_variants(config: Config, run: StageRun) -> tuple[dict[str, Any], list[Version] | None]:
    """Choose a variant, write the decisions to the journal, and apply them in MLflow if it answers.

    Returns:
        The content of decision.json; and the versions in MLflow, None if it does not answer.
    """
    workspace = run.job.graph.folder
    import_records(run.root, workspace)
    import_reports(run)
    measured, machine = read_measured(COMPARE, BENCHMARK)
    made = [one for one in measured if one.row.reason is None]
    answers = read_answers([one.name for one in made])
    rule, policy = rule_of(config), config.register_.policy
    refuse_unknown_classes([policy.metric, *needed_metrics(policy)], rule.classes)
    verdicts = judge_variants(answers, rule)
    candidates = [
        one.candidate(validation_metrics(answers.get(one.name), needed_metrics(policy), rule))
        for one in measured
    ]
    choice = choose(candidates, policy, verdicts)
    registrations = make_registrations(config, run, made, answers, machine)
    challenge = _challenge(config, choice, registrations, verdicts)
    pack(run.root, (name for one in registrations for name in one.archived), run.folder / ARCHIVE)
    append_decisions(run.root, *registrations, challenge)
    publish_decisions(run.root, workspace, run.say)
    versions = try_apply_decisions(run.root, config.register_.name)
    publish_decisions(run.root, workspace, run.say)  # the ruling
    ruling = ruling_on(run.root, challenge, is_embedded())
    chosen = answers.get(choice.name or "")
    classes = None if chosen is None else class_report(chosen)
    if classes is not None:
        write_confusion(run.folder / "confusion.csv", classes)
    decision = build_decision_report(
        config, choice, verdicts, measured, registrations, ruling, classes, image_roles(config)
    )
    return decision, versions


def rule_of(config: Config) -> NonInferiorityRule:
    """What a model must show by section ``register.policy``."""
    policy, evaluate = config.register_.policy, config.evaluate
    return NonInferiorityRule(
        metric=policy.metric,
        margin=policy.margin,
        level=policy.level,
        resamples=evaluate.bootstrap,
        top_k=evaluate.top_k,
        bins=evaluate.calibration_bins,
        seed=config.seed,
        classes=read_index(INGEST).classes,
    )


def class_report(answers: VariantAnswers) -> ClassReport:
    """The errors of a variant by class, on the test images."""
    return ClassReport.of(read_index(INGEST).classes, answers.test_targets, answers.test_predicted)


def make_registrations(
    config: Config,
    run: StageRun,
    measured: Sequence[VariantMetrics],
    answers: Mapping[str, VariantAnswers],
    machine: str,
) -> list[Registration]:
    """One for each variant with a model; the journal keeps what is needed to apply them later."""
    record, key = store_record(run.root, Path()), signing.configured(signing.PRIVATE)
    found = []
    for one in measured:
        lineage = run.lineage.parents[f"compress@{one.name}"]
        sha256 = file_hash(MODELS / one.name / "model.onnx")
        if not has_model(run.root, lineage, sha256):
            import_variant(run, one.name)
        found.append(
            Registration(
                name=config.register_.name,
                variant=one.name,
                lineage=lineage,
                sha256=sha256,
                experiment=config.data.name,
                record=record,
                evidence=store_evidence(run.root, answers[one.name].evidence),
                provenance=_provenance(run, one.name, sha256, record, key),
                tags=_tags(run, one.metrics),
                card=_card(config, run, one, class_report(answers[one.name]), machine, sha256),
            )
        )
    return found


def _challenge(
    config: Config,
    choice: Choice,
    registrations: Sequence[Registration],
    verdicts: Mapping[str, Verdict],
) -> Challenge:
    """The champion is judged by the same rule, at the first level of Holm's: the choice is one of many."""
    chosen = next((r for r in registrations if r.variant == choice.name), None)
    verdict, rule = verdicts.get(choice.name or ""), rule_of(config)
    rule = replace(rule, level=rule.level / max(len(verdicts), 1))
    return Challenge(
        name=config.register_.name,
        lineage=chosen.lineage if chosen else None,
        sha256=chosen.sha256 if chosen else None,
        reason=choice.reason,
        promote=config.register_.promote,
        rule=asdict(rule),
        base=f"non-inferior to the base: {verdict.reason}" if verdict else "it is the base itself",
    )


def _tags(run: StageRun, metrics: Mapping[str, float]) -> dict[str, str]:
    commit = {"git.commit": run.attempt.record["git"]["commit"] or "none"}
    return commit | {name: _written(metrics[name]) for name in TAGGED if name in metrics}


def _provenance(run: StageRun, variant: str, sha256: str, record: str, key: Path | None) -> str:
    """Store the statement on what the model was made from."""
    statement = build_provenance(run.root, run.job.graph, f"compress@{variant}", sha256, record)
    return store_provenance(run.root, write_statement(statement), MODELS / variant, key)


def _card(
    config: Config, run: StageRun, one: VariantMetrics, classes: ClassReport, machine: str, sha256: str
) -> str:
    spec, record = read_json(MODELS / one.name / "model.json"), run.attempt.record
    return model_card(
        ModelCardFacts(
            name=config.register_.name,
            variant=one.name,
            data=config.data.name,
            data_digest=record["data"].get("digest", "unknown"),
            classes=spec["classes"],
            **{key: spec["input"][key] for key in ("channels", "height", "width", "resize_mode")},
            steps=one.row.steps,
            metrics={**one.metrics, "test/f1_macro": classes.f1_macro()},
            confidence=config.evaluate.confidence,
            machine=machine,
            weakest=classes.weakest(),
            never_right=classes.never_right(),
            confusions=classes.confusions(),
            decision=describe(spec["decision"]) if spec.get("decision") else None,
            roles=image_roles(config),
            lineage=run.lineage.parents[f"compress@{one.name}"],
            sha256=sha256,
            commit=record["git"]["commit"] or "none",
            dirty=record["git"]["dirty"],
        )
    )


def _written(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"

"""What is to be registered: a version for each variant with a model, and all that goes with it."""

from collections.abc import Sequence
from pathlib import Path

from src.attestation import signing
from src.attestation.statement import write_statement
from src.config.schema import Config
from src.core.files import read_json
from src.core.hashing import file_hash
from src.data.dataset.index import read_index, read_split
from src.pipeline.execution import StageRun
from src.registry.archive import has_model, store_evidence, store_provenance, store_record
from src.registry.decisions import Registration
from src.registry.imported_results import adopt_variant
from src.registry.model_card import ModelCardFacts, model_card
from src.registry.promotion import ValidationEvidence, image_names
from src.registry.provenance_statement import build_provenance
from src.registry.variant_metrics import VariantMetrics, weakest_class

MODELS, INGEST, SPLIT, EVALUATE = (
    Path("models"),
    Path("data/ingest"),
    Path("data/split"),
    Path("reports/evaluate"),
)


def make_registrations(
    config: Config, run: StageRun, measured: Sequence[VariantMetrics], machine: str
) -> list[Registration]:
    """One for each variant with a model; the journal keeps what it takes to carry them out later."""
    record, answers = store_record(run.root, Path()), _answers([one.name for one in measured])
    key, found = signing.configured(signing.PRIVATE), []
    for one in measured:
        lineage = run.lineage.parents[f"compress@{one.name}"]
        sha256 = file_hash(MODELS / one.name / "model.onnx")
        if not has_model(run.root, lineage, sha256):
            adopt_variant(run, one.name)
        found.append(
            Registration(
                name=config.register_.name,
                variant=one.name,
                lineage=lineage,
                sha256=sha256,
                experiment=config.data.name,
                record=record,
                evidence=store_evidence(run.root, answers[one.name]),
                provenance=_provenance(run, one.name, sha256, record, key),
                tags={key: _written(value) for key, value in one.metrics().items()},
                description=_card(config, run, one, machine, sha256),
            )
        )
    return found


def _provenance(run: StageRun, variant: str, sha256: str, record: str, key: Path | None) -> str:
    """Keep the statement on what the model was made of."""
    statement = build_provenance(run.root, run.job.graph, f"compress@{variant}", sha256, record)
    return store_provenance(run.root, write_statement(statement), MODELS / variant, key)


def _answers(variants: Sequence[str]) -> dict[str, ValidationEvidence]:
    """What each variant says of the validation images, and what it was trained on."""
    from pyarrow import parquet

    names, (split, _) = image_names(read_index(INGEST).digests), read_split(SPLIT)
    trained_on, found = names[split == "train"], {}
    for variant in variants:
        table = parquet.ParquetFile(MODELS / variant / "predictions.parquet").read(
            ["id", "split", "target", "predicted"]
        )
        judged = table["split"].to_numpy() == "val"
        ids, targets, predicted = (table[key].to_numpy()[judged] for key in ("id", "target", "predicted"))
        found[variant] = ValidationEvidence(names[ids], targets, predicted, trained_on)
    return found


def _card(config: Config, run: StageRun, one: VariantMetrics, machine: str, sha256: str) -> str:
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
            metrics=one.metrics(),
            confidence=config.evaluate.confidence,
            machine=machine,
            weakest=weakest_class(EVALUATE / "per_class.csv"),
            lineage=run.lineage.parents[f"compress@{one.name}"],
            sha256=sha256,
            commit=record["git"]["commit"] or "none",
            dirty=record["git"]["dirty"],
        )
    )


def _written(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"

"""Make one compressed variant of the base model; conf/compress lists its steps.

    dvc repro compress@int8_static            (or: python -m src.compress int8_static)

Writes models/VARIANT/: model.onnx (uint8 images in, logits out; the normalization is part of it), model.json
(classes and image format), variant.json (metrics on validation images) and predictions.parquet (validation
and test images). Takes about ten seconds, mostly imports, and longer if a step trains. A method that does not
support the model ends with `status: failed`, the reason, and exit code 0. A killed run continues from its
last finished epoch, or reuses the training of another variant with the same steps; after a change of
evaluate.decision nothing is trained again.
"""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from src.config.dotted_keys import set_dotted
from src.pipeline.execution import StageRun, run_stage
from src.pipeline.job import stage_address
from src.pipeline.paths import BASE, INGEST, SPLIT, WEIGHTS
from src.provenance.work_dir import WorkDir
from src.tracking.logged_model import store_code

DECISION = "evaluate.decision"

if TYPE_CHECKING:
    from src.compression.result import VariantResult
    from src.config.schema import Config


def build(config: Config, run: StageRun) -> None:
    """Make the variant, compare it with the base on validation images, and write the result."""
    from src.compression.checkpoint_reuse import reuse_checkpoints
    from src.compression.variant import make_variant, read_context
    from src.models.numerics import choose_device, computing, resolve_numerics
    from src.training.features import FEATURES

    assert run.variant is not None  # the command line requires it
    if not run.job.loaded.is_ad_hoc:  # whose settings may differ from those of the other variants
        variants = run.job.loaded.unrestricted().compress.variants  # whose checkpoints to copy, no result
        chains = {name: variant.steps for name, variant in variants.items()}
        states = {name: _work_dir(run, name) for name in chains}
        earlier = f"{run.variant} with another decision rule"
        chains[earlier], states[earlier] = chains[run.variant], _work_dir_of_last_rule(run)
        reuse_checkpoints(chains, run.variant, states.__getitem__, run.say)
    steps = config.compress.variants[run.variant].steps
    with computing(config.train) as threads:
        context = read_context(
            *(BASE, INGEST, SPLIT),
            train=config.train,
            augment=config.augment,
            seed=config.seed,
            threads=threads,
            device=config.machine.device,
            weights=WEIGHTS,
            features=run.root / FEATURES,
            state=run.state,
            show=run.progress,
            say=run.say,
        )
        device = choose_device(config.machine.device)  # for training; all else runs on the CPU
        run.log(numerics=resolve_numerics(config.train, device, context.base.network))
        result = make_variant(
            steps, context, config.compress, config.evaluate.decision, INGEST, SPLIT, run.folder
        )
    spec = replace(context.base.spec, temperature=result.temperature, decision=result.decision)
    (run.folder / "model.json").write_text(spec.to_json(), encoding="utf-8")
    _log(run, result)


def _work_dir(run: StageRun, variant: str) -> Path:
    """The folder with the checkpoints of a variant, as it would be made now."""
    name = stage_address("compress", variant)
    return WorkDir(run.root, name, run.job.graph.of(name).id).path


def _work_dir_of_last_rule(run: StageRun) -> Path:
    """The folder of this variant with the rule that dvc.lock records: a rule changes no network."""
    job, graph = run.job, run.job.graph
    recorded = graph.lock[job.address].parameters if job.address in graph.lock else {}
    values = set_dotted(graph.values, {key: recorded[key] for key in (DECISION,) if key in recorded})
    return WorkDir(run.root, job.address, graph.of(job.address, values).id).path


def _log(run: StageRun, result: VariantResult) -> None:
    if result.reason is not None:
        run.log(status=result.status, failure=result.reason)
        run.say(f"this model has no such variant: {result.reason}")
        return
    metrics = result.metrics
    run.log(metrics=dict(metrics), model=run.folder, status=result.status)
    store_code(run.attempt.folder, run.root)
    run.say(
        f"validation accuracy {metrics['val/accuracy']:.4f}, agrees with the base on "
        f"{metrics['val/agreement']:.4f} of the images; {metrics['model/bytes']:,.0f} bytes, "
        f"{metrics['model/macs']:,.0f} MACs"
    )


def add_options(parser: ArgumentParser) -> None:
    """Add the argument that only this stage has."""
    parser.add_argument("variant", help="one of compress.variants")


if __name__ == "__main__":
    run_stage("compress", build, __doc__, add_options)

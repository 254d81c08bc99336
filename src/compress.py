"""Make one compressed variant of the base model: a chain of steps, each by its name in conf/compress.

    dvc repro compress@int8_static            (or: python -m src.compress int8_static)

Writes models/VARIANT/: model.onnx (takes uint8 images, gives logits; the normalization is inside), model.json
(classes and input), variant.json (figures, judged on validation images) and predictions.parquet (validation
and test images). Takes about ten seconds, most of them imports, and more where a step trains. A method that
cannot do a model ends with `status: failed`, its reason, and exit code 0. What was killed goes on from the
last finished epoch, and so does what another variant has begun to train with the same steps.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from src.pipeline.execution import StageRun, run_stage

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from src.compression.artifacts import OnnxModel, StepContext, TorchModel
    from src.compression.result import VariantResult
    from src.config.schema import Config
    from src.data.dataset.index import HeldOutRows

BASE, INGEST, SPLIT = Path("models/base"), Path("data/ingest"), Path("data/split")


def build(config: Config, run: StageRun) -> None:
    """Make the variant, compare it with the base on validation images, and write what was found."""
    from src.compression.artifacts import TorchModel
    from src.compression.onnx.library_errors import UnsupportedModelError
    from src.compression.result import failed
    from src.compression.steps import run_chain
    from src.core.cpus import resolve_threads
    from src.models.numerics import choose_device, deterministic, resolve_numerics
    from src.models.saving import load_model

    assert run.variant is not None  # the command line asks for it
    threads = resolve_threads(config.train.threads)
    steps = config.compress.variants[run.variant].steps
    _bring_checkpoints(config, run)
    names = [step.name for step in steps]
    with deterministic(threads):
        base = TorchModel(*load_model(BASE))
        device = choose_device(config.machine.device)  # where steps train; all else is done on the CPU
        run.log(numerics=resolve_numerics(config.train, device, base.network))
        try:
            model = run_chain(steps, base, _settings(config, run, base, threads))
        except UnsupportedModelError as error:
            variant = failed(names, str(error))
        else:
            variant = _measure(config, run, base, model, names, threads)
    _publish(run, variant)


def _bring_checkpoints(config: Config, run: StageRun) -> None:
    """Do not train what another variant has trained. By hand the settings may be others than its own."""
    from src.compression.checkpoint_reuse import reuse_checkpoints
    from src.pipeline.job import stage_address
    from src.provenance.work_dir import WorkDir

    def state_of(variant: str) -> Path:
        name = stage_address("compress", variant)
        return WorkDir(run.root, name, run.job.graph.of(name).id).path

    if not run.job.loaded.is_ad_hoc:
        chains = {name: variant.steps for name, variant in config.compress.variants.items()}
        reuse_checkpoints(chains, str(run.variant), state_of, run.say)


def _settings(config: Config, run: StageRun, base: TorchModel, threads: int) -> Callable[[int], StepContext]:
    """The setting of each place in the chain."""
    from src.compression.artifacts import StepContext
    from src.compression.checkpoint_reuse import state_of_step
    from src.core.seeds import derive_seed
    from src.data.dataset.arrays import open_array
    from src.data.dataset.index import read_index, read_split

    rows, (split, _) = read_index(INGEST), read_split(SPLIT)

    def setting(place: int) -> StepContext:
        return StepContext(
            images=open_array(INGEST / "images.npy"),
            targets=rows.targets,
            train_rows=rows.ids[split == "train"],
            val_rows=rows.ids[split == "val"],
            base=base,
            train=config.train,
            augment=config.augment,
            seed=derive_seed(config.seed, "compress", place),
            threads=threads,
            device=config.machine.device,
            state=state_of_step(run.state, place),
            show=run.progress,
            say=run.say,
        )

    return setting


def _measure(
    config: Config, run: StageRun, base: TorchModel, model: OnnxModel, names: Sequence[str], threads: int
) -> VariantResult:
    """Write the model and its predictions, unless it does not say what it was made from says."""
    from src.compression.parity import check_parity, onnx_logits, torch_logits
    from src.compression.result import measure
    from src.data.dataset.arrays import open_array
    from src.data.dataset.index import read_held_out

    held = read_held_out(INGEST, SPLIT)
    val, images = held.validation, open_array(INGEST / "images.npy")[held.ids]
    logits = onnx_logits(model.content, images, threads)
    parity = check_parity(
        model, images[val], logits[val], config.compress.tolerance, config.compress.agreement, threads
    )
    said_by_base = torch_logits(base, images[val])
    variant = measure(names, model, parity, logits[val], said_by_base, held.targets[val])
    if variant.status == "ok":
        (run.folder / "model.onnx").write_bytes(model.content)
        _write_predictions(run.folder / "predictions.parquet", held, logits)
    return variant


def _write_predictions(path: Path, held: HeldOutRows, logits: NDArray[np.float32]) -> None:
    """Columns id, split, target, predicted and the logits of the held-out images, by id."""
    import numpy as np
    import pandas as pd

    told = pd.DataFrame(
        {
            "id": held.ids,
            "split": np.where(held.validation, "val", "test"),
            "target": held.targets,
            "predicted": logits.argmax(1),
        }
    )
    columns = pd.DataFrame(logits, columns=[f"logit_{k}" for k in range(logits.shape[1])])
    told.join(columns).to_parquet(path, index=False)


def _publish(run: StageRun, variant: VariantResult) -> None:
    """variant.json, the journal, and one line for the person at the terminal."""
    import json
    import shutil
    from dataclasses import asdict

    shutil.copy(BASE / "model.json", run.folder)
    text = json.dumps(asdict(variant), indent=2, ensure_ascii=False)
    (run.folder / "variant.json").write_text(f"{text}\n", encoding="utf-8")
    if variant.status == "failed":
        run.log(status=variant.status, failure=str(variant.reason))
        run.say(f"no such variant of this model: {variant.reason}")
        return
    run.log(metrics=variant.metrics(), model=run.folder, status=variant.status)
    run.say(
        f"validation accuracy {variant.validation_accuracy:.4f}, agrees with the base on "
        f"{variant.agreement:.4f}; {variant.bytes:,} bytes, {variant.macs:,} MACs"
    )


def add_options(parser: ArgumentParser) -> None:
    """The argument of this stage only."""
    parser.add_argument("variant", help="one of compress.variants")


if __name__ == "__main__":
    run_stage("compress", build, __doc__, add_options)

"""What a command line asks for: a stage with a checked configuration, and where its result belongs."""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import AssayError

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config.loading import LoadedConfig
    from src.provenance.dvc_yaml import StageDefinition
    from src.provenance.lineage import Lineage, LineageGraph

Options = Callable[[argparse.ArgumentParser], None]  # adds a stage's own options to the parser


@dataclass(frozen=True)
class Job:
    """One execution of a stage to come."""

    stage: str
    variant: str | None  # of compress
    loaded: "LoadedConfig"
    graph: "LineageGraph"
    lineage: "Lineage"
    place: Path  # the one folder that becomes its result
    options: Mapping[str, Any]  # what else the command line says

    @property
    def address(self) -> str:
        """DVC's name of the stage."""
        return stage_address(self.stage, self.variant)

    def say(self, text: str) -> None:
        """One line for the person at the terminal."""
        print(f"{self.address:<20} {text}", flush=True)

    def on_wait(self, holder: dict[str, Any]) -> None:
        """Say who is at work on the same thing."""
        pid, host = holder.get("pid", "?"), holder.get("host", "?")
        self.say(f"waiting for process {pid} on {host}, which is at work on this; or: kill {pid}")

    def record(self) -> dict[str, Any]:
        """What the journal says before the work begins."""
        from src.core.processes import process_identity
        from src.provenance.git import git_state

        config = self.loaded.config
        return {
            "stage": self.stage,
            "variant": self.variant,
            "address": self.address,
            "name": f"{self.address}-{config.model.kind}-{self.lineage.id[:8]}",
            "command": self.graph.stage(self.address).command,
            "ad_hoc": self.loaded.is_ad_hoc,
            "lineage": self.lineage.id,
            "parents": self.lineage.parents,
            "subject": self.lineage.id,
            "process": process_identity(),
            "git": git_state(Path.cwd()),
            "experiment": config.data.name,
            "seed": config.seed,
            "data": _data(config.data.name),
            "params": self.graph.parameters_of(self.address, self.loaded.values),
            **{"numerics": {}, "metrics": {}, "tags": {}, "outputs": {}, "figures": [], "model": None},
        }


def stage_address(stage: str, variant: str | None) -> str:
    """DVC's name of a stage: ``train``, ``compress@onnx_fp32``."""
    return stage if variant is None else f"{stage}@{variant}"


def repository_root() -> Path:
    """The repository, also when DVC runs the stage in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def parse_arguments(stage: str, doc: str | None, options: Options | None = None) -> argparse.Namespace:
    """Parse the command line: the stage's own ``options`` and the Hydra ``overrides``."""
    parser = argparse.ArgumentParser(f"python -m src.{stage}", description=doc)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    if options is not None:
        options(parser)
    parser.add_argument(
        "overrides",
        nargs="*",
        help="Hydra overrides such as train.epochs=3: compose from conf/ and write below outputs/, "
        "so that the pipeline is not disturbed. Without any, params.yaml decides, as for dvc repro",
    )
    return parser.parse_args()


def prepare(arguments: argparse.Namespace, stage: str) -> Job:
    """Check the configuration, compute the lineage, and say what was read."""
    from src.config.loading import load, read_params
    from src.provenance.lineage import LineageGraph

    variant = getattr(arguments, "variant", None)
    loaded, graph = load(arguments.overrides), LineageGraph(Path.cwd(), read_params())
    name = stage_address(stage, variant)
    lineage = graph.of(name, loaded.values)
    place = _ad_hoc(name, lineage.id) if loaded.is_ad_hoc else Path(graph.stage(name).outputs[0])
    job = Job(stage, variant, loaded, graph, lineage, place, vars(arguments))
    if loaded.is_ad_hoc:
        _refuse_foreign_inputs(job)
        job.say(f"by hand, composed from conf/, into {place}/; the pipeline stays as it is")
    else:
        _notice_difference(job)
    return _with_found_settings(job)


def _with_found_settings(job: Job) -> Job:
    """The job with what the sweep found, if it reads that, or is made from something that does."""
    from src.config.best_settings import BEST, apply_best_settings, replacements

    stages = [job.graph.stage(name) for name in (job.address, *job.lineage.parents)]
    nested = job.stage == "cross_validate" and job.loaded.config.cross_validate.nested  # searches anew
    if nested or not any(BEST.as_posix() in stage.dependencies for stage in stages):
        return job
    reads = BEST.as_posix() in stages[0].dependencies
    if not reads and not BEST.is_file():  # only told of in MLflow
        return job
    found = replace(job, loaded=apply_best_settings(job.loaded, job.graph.values))
    for text in replacements(job.loaded.values, found.loaded.values) if reads else ():
        job.say(f"{BEST}: {text}")
    return found


def restore_hint(stage: str, variant: str | None) -> str:
    """How to get the last good result back, which DVC removed before it ran the stage; "" if it did not."""
    import yaml

    definition, lock = _definition(stage, variant), Path("dvc.lock")
    if definition is None or Path(definition.outputs[0]).exists() or not lock.is_file():
        return ""
    recorded = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    if definition.name not in recorded:
        return ""
    restore = "dvc checkout" if definition.cached else "git checkout --"
    return f"\nThe last good result is kept: {restore} {definition.outputs[0]}"


def _definition(stage: str, variant: str | None) -> "StageDefinition | None":
    """What dvc.yaml says of the stage, as far as that can be read at all."""
    from src.config.loading import read_params
    from src.provenance.dvc_yaml import read_pipeline

    try:
        return read_pipeline(Path("dvc.yaml"), read_params()).get(stage_address(stage, variant))
    except AssayError:
        return None  # the failure that is being reported says so already


def _ad_hoc(name: str, lineage: str) -> Path:
    """Of its own even for the runs of a script, many of which begin in the same second."""
    return Path("outputs") / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{lineage[:8]}"


def _refuse_foreign_inputs(job: Job) -> None:
    """A run by hand reads what the pipeline made; overrides of how that was made cannot be honoured."""
    from src.config.dotted_keys import differing_keys, is_under

    own = job.graph.stage(job.address).parameters
    upstream = {key for parent in job.lineage.parents for key in job.graph.stage(parent).parameters}
    differing = differing_keys(job.loaded.values, job.graph.values)
    foreign = [key for key in differing if is_under(key, upstream) and not is_under(key, own)]
    foreign = [key for key in foreign if not is_under(key, ["sweep"])]  # what it found gives way
    if foreign:
        raise AssayError(
            f"{', '.join(foreign)}: an earlier stage than {job.address} reads this, and its result was made "
            f"with params.yaml. Run the pipeline with it: dvc exp run -S {foreign[0]}=…"
        )


def _notice_difference(job: Job) -> None:
    """Say where params.yaml is not what conf/ composes to; every stage but the first only of its own keys."""
    from src.config.dotted_keys import differing_keys, is_under
    from src.config.loading import compose

    keys = differing_keys(job.loaded.values, compose())
    if job.lineage.parents:
        keys = [key for key in keys if is_under(key, job.graph.stage(job.address).parameters)]
    if keys:
        shown = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
        job.say(f"params.yaml differs from conf/ in {shown}")


def _data(name: str) -> dict[str, Any]:
    """The data's identity: the manifest holds the hash and the label of every image."""
    from src.core.hashing import file_hash

    data = {"name": name, "source": f"data/raw/{name}"}
    manifest, report = Path("data/ingest/manifest.parquet"), Path("data/ingest/report.json")
    if not (manifest.is_file() and report.is_file()):
        return data
    images = json.loads(report.read_text(encoding="utf-8"))["kept"]
    return {**data, "digest": file_hash(manifest), "images": images}

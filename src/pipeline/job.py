"""What a command line asks for: a stage with a checked configuration, and where its result belongs."""

import argparse
import getpass
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.config.best_settings import BEST, apply_best_settings, replacements
from src.config.command_line import add_overrides
from src.config.dotted_keys import differing_keys, is_under, lookup
from src.core.errors import AssayError
from src.core.hashing import file_hash, hash_tree
from src.core.processes import process_identity
from src.core.wording import listed
from src.pipeline.foreign_overrides import SHOWN, refuse_foreign_overrides
from src.pipeline.paths import INGEST
from src.provenance.dvc_lock import Cache, LockedStage, read_lock
from src.provenance.git import git, git_state, refusal
from src.provenance.journal import last_outputs
from src.provenance.lineage import Lineage, LineageGraph
from src.provenance.work_dir import WorkDir

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config.loading import LoadedConfig

LOCK = Path("dvc.lock")
Options = Callable[[argparse.ArgumentParser], None]  # adds a stage's own options to the parser


@dataclass(frozen=True)
class Job:
    """One execution of a stage to come."""

    stage: str
    variant: str | None  # of compress
    loaded: "LoadedConfig"  # restricted to the keys that the stage declares
    graph: LineageGraph
    lineage: Lineage
    place: Path  # the one folder that becomes its result
    options: Mapping[str, Any]  # the stage's own, from the command line

    @property
    def address(self) -> str:
        """DVC's name of the stage."""
        return stage_address(self.stage, self.variant)

    def say(self, text: str) -> None:
        """One line for the person at the terminal."""
        print(f"{self.address:<20} {text}", flush=True)

    def on_wait(self, holder: dict[str, Any]) -> None:
        """Name the process that works on the same result."""
        pid, host = holder.get("pid", "?"), holder.get("host", "?")
        self.say(f"waiting for process {pid} on {host}, which works on the same result; or: kill {pid}")

    def record(self) -> dict[str, Any]:
        """What the journal says before the work begins."""
        values = self.loaded.values
        name = lookup(values, "data.name")
        return {
            "stage": self.stage,
            "variant": self.variant,
            "address": self.address,
            "name": f"{self.address}-{lookup(values, 'model.kind')}-{self.lineage.id[:8]}",
            "command": self.graph.stage(self.address).command,
            "ad_hoc": self.loaded.is_ad_hoc,
            "lineage": self.lineage.id,
            "parents": self.lineage.parents,
            "subject": self.lineage.id,
            "process": process_identity(),
            "user": _user(),
            "git": git_state(Path.cwd()),
            "dvc_experiment": os.environ.get("DVC_EXP_NAME"),
            "experiment": name,
            "seed": values["seed"],
            "data": _data(name),
            "params": self.graph.parameters_of(self.address, values),
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
    add_overrides(
        parser,
        "Hydra overrides such as train.epochs=3: compose from conf/ and write below outputs/, so that the "
        "pipeline is not disturbed. Without any, params.yaml decides, as for dvc repro",
    )
    return parser.parse_args()


def prepare(arguments: argparse.Namespace, stage: str) -> Job:
    """Check the configuration, compute the lineage, and say what was read."""
    from src.config.composition_cache import default_composition
    from src.config.loading import refuse_debug

    job = find_job(arguments, stage)
    if stage != "train":
        refuse_debug(job.loaded.config, f"stage {stage}")
    if job.loaded.is_ad_hoc:
        job.say(f"ad-hoc run, composed from conf/, into {job.place}/; the pipeline stays as it is")
    else:
        _report_difference(job, default_composition(_cache("conf.json")))
    _warn_of_refusal(job)
    return with_best_settings(job)


def find_job(arguments: argparse.Namespace, stage: str) -> Job:
    """What the command line asks for, without what the sweep found.

    Raises:
        AssayError: The configuration is not valid, or does not fit the results of earlier stages.
    """
    from src.config.loading import load, read_params

    variant = getattr(arguments, "variant", None)
    loaded, graph = load(arguments.overrides), read_graph(read_params())
    name = stage_address(stage, variant)
    definition = graph.stage(name)
    lineage = graph.of(name, loaded.values)
    place = _ad_hoc(name, lineage.id) if loaded.is_ad_hoc else Path(definition.outputs[0])
    loaded = loaded.view(definition.parameters)
    job = Job(stage, variant, loaded, graph, lineage, place, vars(arguments))
    if loaded.is_ad_hoc:
        refuse_foreign_overrides(loaded, graph, job.address, lineage.parents)
    return job


def read_graph(values: Mapping[str, Any]) -> LineageGraph:
    """The lineages of the working folder; ``values`` are those of params.yaml."""
    return LineageGraph(
        Path.cwd(), values, read_lock(LOCK) if LOCK.is_file() else {}, _cache("dvc_yaml.json")
    )


def _cache(name: str) -> Path:
    return repository_root() / ".assay" / "cache" / name


def refuse_edited(graph: LineageGraph, parents: Mapping[str, str]) -> None:
    """Refuse results that nobody has made: an edited file would keep the lineage of the genuine one.

    Args:
        graph: Of the working folder.
        parents: The stages whose results are used, and their lineage ids.

    Raises:
        AssayError: Results are neither what dvc.lock records nor what the stage has left here; all are named.
    """
    edited = [
        (output, name)
        for name, lineage in parents.items()
        for output in graph.unrecorded(name)
        if not _made_here(name, lineage, Path(output))
    ]
    if edited:
        lines = "\n".join(
            f"  {output} of stage {name}{_origin(name, Path(output))}" for output, name in edited
        )
        again = " ".join(name for _, name in edited)
        raise AssayError(
            f"these results were changed after they were made, or come from elsewhere:\n{lines}\n"
            f"Make them again: dvc repro --force --single-item {again}"
        )


def _origin(name: str, output: Path) -> str:
    """What is known of bytes that neither DVC nor this lineage of the stage has left."""
    made_here = last_outputs(repository_root(), name) == hash_tree(output)
    return " (made here without DVC, with other code, settings or inputs than now)" if made_here else ""


def _made_here(name: str, lineage: str, output: Path) -> bool:
    """Whether the stage itself has left these bytes, without DVC (python -m src.train)."""
    published = WorkDir(repository_root(), name, lineage).published()
    return published is not None and published.outputs == hash_tree(output)


def restore_hint(stage: str, variant: str | None) -> str:
    """How to get the last good result back, which DVC removed before it ran the stage; "" if it did not."""
    name = stage_address(stage, variant)
    try:
        graph = read_graph({})
    except AssayError:
        return ""  # the failure that is being reported says so already
    definition, record = graph.stages.get(name), graph.lock.get(name)
    if definition is None or record is None or Path(definition.outputs[0]).exists():
        return ""
    output = definition.outputs[0]
    if not definition.cached:
        kept = bool(git(Path.cwd(), "ls-tree", "HEAD", output))
        return f"\nThe last good result is kept: git checkout -- {output}" if kept else ""
    if not _is_in_cache(record.outputs.get(output, "")):  # a fresh clone has nothing to restore
        return ""
    earlier = "" if _has_settings_of_today(record) else ", of other settings,"
    return f"\nThe last good result{earlier} is kept: dvc checkout {output}"


def _has_settings_of_today(record: LockedStage) -> bool:
    from src.config.loading import read_params

    try:
        today = read_params()
        return all(lookup(today, key) == value for key, value in record.parameters.items())
    except AssayError:
        return False


def _is_in_cache(md5: str) -> bool:
    """Whether DVC's cache has every file of an output."""
    cache = Cache(repository_root())
    try:
        files = cache.files(md5) if md5 else None
    except AssayError:
        return False
    return files is not None and all(cache.object(each).is_file() for each in files.values())


def with_best_settings(job: Job) -> Job:
    """The job with the settings that the sweep found, if it or one of its parents reads them."""
    stages = [job.graph.stage(name) for name in (job.address, *job.lineage.parents)]
    nested = job.stage == "cross_validate" and job.loaded.config.cross_validate.nested  # searches itself
    if nested or not any(BEST.as_posix() in stage.dependencies for stage in stages):
        return job
    reads = BEST.as_posix() in stages[0].dependencies
    if not reads and not BEST.is_file():  # needed for MLflow only
        return job
    found = replace(job, loaded=apply_best_settings(job.loaded, job.graph.values))
    for text in replacements(job.loaded.values, found.loaded.values) if reads else ():
        job.say(f"{BEST}: {text}")
    return found


def _warn_of_refusal(job: Job) -> None:
    """Say at once that the results will name no commit: the person may not want to wait hours for them."""
    reason = refusal(Path.cwd())
    if reason is not None:
        job.say(f"warning: git refuses this folder, so the results will name no commit. It says: {reason}")


def _ad_hoc(name: str, lineage: str) -> Path:
    """A folder of its own, even where a script starts many runs in the same second."""
    return Path("outputs") / name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{lineage[:8]}"


def _report_difference(job: Job, composed: Mapping[str, Any]) -> None:
    """Say where params.yaml differs from conf/; every stage but the first only for its own keys."""
    keys = differing_keys(job.loaded.values, composed)
    if job.lineage.parents:
        keys = [key for key in keys if is_under(key, job.graph.stage(job.address).parameters)]
    if keys:
        job.say(f"params.yaml differs from conf/ in {listed(keys, SHOWN)}")


def _data(name: str) -> dict[str, Any]:
    """The data's identity: the manifest has the hash and the label of every image."""
    data = {"name": name, "source": f"data/raw/{name}"}
    manifest, report = INGEST / "manifest.parquet", INGEST / "report.json"
    if not (manifest.is_file() and report.is_file()):
        return data
    images = json.loads(report.read_text(encoding="utf-8"))["kept"]
    return {**data, "digest": file_hash(manifest), "images": images}


def _user() -> str | None:
    """Who runs this; None for a number without a name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return None

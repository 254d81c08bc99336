"""One execution of a stage: its configuration, state, publication, journal and messages.

Every ``src/<stage>.py`` hands its ``build`` to :func:`execute`, which does what all stages have in common:

1. read the configuration and compute the lineage;
2. take the locks, so that no two processes work on the same thing;
3. let ``build`` write into a folder of the state, which survives a kill;
4. move the finished folder to its tracked place in one step;
5. keep the journal, of which MLflow is a view.
"""

import argparse
import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from src.errors import AssayError

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config import Loaded
    from src.provenance.journal import Attempt
    from src.provenance.lineage import Ancestry, Lineage
    from src.provenance.state import State
    from src.schema import Config
    from src.tracking.live import Tracker

# The one folder that each stage makes; a variant has models/<variant>.
PLACES = {
    "ingest": Path("data/ingest"),
    "split": Path("data/split"),
    "normalize": Path("data/normalize"),
    "train": Path("models/base"),
    "evaluate": Path("reports/evaluate"),
    "register": Path("reports/register"),
}


@dataclass(frozen=True)
class Execution:
    """What ``build`` may know and tell."""

    variant: str | None  # of compress
    root: Path  # of the repository, also from DVC's temporary workspaces
    folder: Path  # empty; becomes the stage's output
    state: Path  # survives a kill; for checkpoints
    progress: bool  # whether to draw bars
    lineage: "Lineage"
    attempt: "Attempt"
    tracker: "Tracker"

    def say(self, text: str) -> None:
        """One line for the person at the terminal."""
        _say(self.attempt.record["address"], text)

    def note(
        self,
        *,
        subject: str | None = None,
        metrics: dict[str, float] | None = None,
        figures: Sequence[Path] = (),
        model: Path | None = None,
        numerics: dict[str, Any] | None = None,
        **tags: str,
    ) -> None:
        """Tell the journal; ``subject`` is the stage whose run in MLflow the figures belong to."""
        if subject is not None:
            self.attempt.update(subject=self.lineage.parents[subject])
        if figures:
            self.attempt.add_figures(figures)
        if model is not None:
            self.attempt.add_model(model)
        self.attempt.update(metrics=metrics or {}, numerics=numerics or {}, tags=tags)

    def epoch(self, row: dict[str, float]) -> None:
        """Keep an epoch's figures, and show them in MLflow at once if it answers."""
        self.tracker.epoch(self.attempt.add_epoch(row))


Build = Callable[["Config", Execution], None]


@dataclass(frozen=True)
class Job:
    """What is to be executed, and where its result belongs."""

    stage: str
    variant: str | None
    loaded: "Loaded"
    ancestry: "Ancestry"
    lineage: "Lineage"
    place: Path

    @property
    def address(self) -> str:
        return address(self.stage, self.variant)

    def on_wait(self, holder: dict[str, Any]) -> None:
        """Say who is at work on the same thing."""
        pid, host = holder.get("pid", "?"), holder.get("host", "?")
        _say(self.address, f"waiting for process {pid} on {host}, which is at work on this; or: kill {pid}")


def execute(stage: str, build: Build, doc: str | None) -> NoReturn:
    """Run a stage as a command; never returns. What a person can mend ends with a message and code 1."""
    arguments = _arguments(stage, doc)
    variant = getattr(arguments, "variant", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _run(_prepare(stage, variant, arguments.overrides), build)
    except AssayError as error:
        print(f"\n{address(stage, variant)} failed: {error}{_last_good(stage, variant)}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def address(stage: str, variant: str | None) -> str:
    """DVC's name of a stage: ``train``, ``compress@onnx_fp32``."""
    return stage if variant is None else f"{stage}@{variant}"


def repository_root() -> Path:
    """The repository, also when DVC runs the stage in a temporary copy of it."""
    return Path(os.environ.get("DVC_ROOT") or Path.cwd()).resolve()


def _arguments(stage: str, doc: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(f"python -m src.{stage}", description=doc)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    if stage == "compress":
        parser.add_argument("variant", help="one of compress.variants")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="Hydra overrides such as train.epochs=3: compose from conf/ and write below outputs/, "
        "so that the pipeline is not disturbed. Without any, params.yaml decides, as for dvc repro",
    )
    return parser.parse_args()


def _prepare(stage: str, variant: str | None, overrides: Sequence[str]) -> Job:
    from src.config import load, read_params
    from src.provenance.lineage import Ancestry

    loaded, ancestry = load(overrides), Ancestry(Path.cwd(), read_params())
    lineage = ancestry.lineage(address(stage, variant), loaded.values)
    job = Job(stage, variant, loaded, ancestry, lineage, _place(stage, variant, loaded.by_hand))
    if loaded.by_hand:
        _refuse_foreign_inputs(job)
        _say(job.address, f"by hand, composed from conf/, into {job.place}/; the pipeline stays as it is")
    else:
        _notice_difference(job)
    return job


def _place(stage: str, variant: str | None, by_hand: bool) -> Path:
    if by_hand:
        return Path("outputs") / address(stage, variant) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return PLACES[stage] if variant is None else Path("models") / variant


def _refuse_foreign_inputs(job: Job) -> None:
    """A run by hand reads what the pipeline made; overrides of how that was made cannot be honoured."""
    from src.provenance.parameters import differing_keys, within

    own = job.ancestry.stage(job.address).parameters
    upstream = {key for parent in job.lineage.parents for key in job.ancestry.stage(parent).parameters}
    differing = differing_keys(job.loaded.values, job.ancestry.values)
    foreign = [key for key in differing if within(key, upstream) and not within(key, own)]
    if foreign:
        raise AssayError(
            f"{', '.join(foreign)}: an earlier stage than {job.address} reads this, and its result was made "
            f"with params.yaml. Run the pipeline with it: dvc exp run -S {foreign[0]}=…"
        )


def _notice_difference(job: Job) -> None:
    """Say where params.yaml is not what conf/ composes to; every stage but the first only of its own keys."""
    from src.config import compose
    from src.provenance.parameters import differing_keys, within

    keys = differing_keys(job.loaded.values, compose())
    if job.lineage.parents:
        keys = [key for key in keys if within(key, job.ancestry.stage(job.address).parameters)]
    if keys:
        shown = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
        _say(job.address, f"params.yaml differs from conf/ in {shown}")


def _run(job: Job, build: Build) -> None:
    from src.provenance.hashes import text_hash
    from src.provenance.state import State, held_lock

    state = State(repository_root(), job.address, job.lineage.id)
    workspace = state.path.parent / f"workspace-{text_hash(str(job.place.resolve()))[:16]}"
    with held_lock(workspace, job.on_wait) as for_place, held_lock(state.path, job.on_wait) as for_lineage:
        if (for_place or for_lineage) and _take_over(state, job.place):
            _say(job.address, f"the other process has finished; its result is in {job.place}/")
            return
        if _was_committed(state):
            state.restart()
        state.path.mkdir(parents=True, exist_ok=True)
        _build_and_publish(job, build, state)
        state.remove_predecessors()


def _take_over(state: "State", place: Path) -> bool:
    """Whether the process that was waited for has left its result here, or in a place to copy it from."""
    from src.provenance.hashes import tree_hashes

    mark = state.published()
    if mark is None or not mark.place.is_dir() or tree_hashes(mark.place) != mark.outputs:
        return False
    if mark.place != place.resolve():
        shutil.copytree(mark.place, place, dirs_exist_ok=True)
    return True


def _was_committed(state: "State") -> bool:
    """Whether DVC took over an earlier result of the same lineage: then this is a new execution
    (``dvc repro --force``), and not the rest of one that was killed."""
    mark, lock = state.published(), Path("dvc.lock")
    return mark is not None and lock.is_file() and lock.stat().st_mtime > mark.time


def _build_and_publish(job: Job, build: Build, state: "State") -> None:
    from src.provenance.journal import Attempt
    from src.tracking.live import Tracker

    root = repository_root()
    attempt = Attempt.open(root, _record(job))
    tracker = Tracker(root, job.lineage.id)
    tracker.start()
    with _closing(attempt, tracker):
        outputs = state.finished()
        if outputs is None:
            config, folder = job.loaded.config, state.fresh_build()
            show = config.machine.progress
            run = Execution(job.variant, root, folder, state.path, show, job.lineage, attempt, tracker)
            build(config, run)
            outputs = state.finish()
        state.publish(job.place)
        attempt.update(outputs=outputs)


@contextmanager
def _closing(attempt: "Attempt", tracker: "Tracker") -> Iterator[None]:
    """End the attempt with its true status whatever happens, and let MLflow follow."""
    status, reason = "FAILED", None
    try:
        yield
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status, reason = "KILLED", "interrupted"
        raise
    except OSError as error:
        reason = str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AssayError(_disk_full(error)) from error
        raise
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        _close(attempt, status, reason)
        tracker.finish()


def _close(attempt: "Attempt", status: str, reason: str | None) -> None:
    try:
        attempt.close(status, reason)
    except OSError as error:  # a full disk must not hide what went wrong; a dead process reads as KILLED
        print(f"The journal could not note {status}: {error}", file=sys.stderr)


def _record(job: Job) -> dict[str, Any]:
    """What is known before the work begins; see ``src.provenance.journal`` for its place."""
    from src.provenance.parameters import flatten, within
    from src.provenance.process import identity
    from src.provenance.repository import git_state

    config, stages = job.loaded.config, [job.address, *job.lineage.parents]
    read = {key for stage in stages for key in job.ancestry.stage(stage).parameters}
    return {
        "stage": job.stage,
        "variant": job.variant,
        "address": job.address,
        "name": f"{job.address}-{config.model.kind}-{job.lineage.id[:8]}",
        "command": job.ancestry.stage(job.address).command,
        "by_hand": job.loaded.by_hand,
        "lineage": job.lineage.id,
        "parents": job.lineage.parents,
        "subject": job.lineage.id,
        "process": identity(),
        "git": git_state(Path.cwd()),
        "experiment": config.data.name,
        "seed": config.seed,
        "data": _data(config),
        "params": {key: value for key, value in flatten(job.loaded.values) if within(key, read)},
        **{"numerics": {}, "metrics": {}, "tags": {}, "outputs": {}, "figures": [], "model": None},
    }


def _data(config: "Config") -> dict[str, Any]:
    """The data's identity: the manifest holds the hash and the label of every image."""
    from src.provenance.hashes import file_hash

    name = {"name": config.data.name, "source": f"data/raw/{config.data.name}"}
    manifest, report = PLACES["ingest"] / "manifest.parquet", PLACES["ingest"] / "report.json"
    if not (manifest.is_file() and report.is_file()):
        return name
    images = json.loads(report.read_text(encoding="utf-8"))["kept"]
    return {**name, "digest": file_hash(manifest), "images": images}


def _disk_full(error: OSError) -> str:
    return (
        f"the disk is full ({error.filename or 'while writing'}). What was finished is kept: make room "
        "(python -m src.track --clean shows what Assay can free; dvc gc -w frees old results), and repeat"
    )


def _last_good(stage: str, variant: str | None) -> str:
    """How to get the last good result back, which DVC removed before it ran the stage."""
    import yaml

    place, lock = _place(stage, variant, by_hand=False), Path("dvc.lock")
    if place.exists() or not lock.is_file():
        return ""
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    if address(stage, variant) not in stages:
        return ""
    restore = "git checkout --" if stage in ("evaluate", "compare") else "dvc checkout"
    return f"\nThe last good result is kept: {restore} {place}"


def _say(name: str, text: str) -> None:
    print(f"{name:<20} {text}", flush=True)

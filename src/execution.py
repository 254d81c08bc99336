"""One execution of a stage: its configuration, state, publication, journal and messages.

Every ``src/<stage>.py`` hands its ``build`` to :func:`execute`, which is what all stages have in common:

1. read the configuration and compute the lineage;
2. take the locks, so that no two processes work on the same thing;
3. let ``build`` write into a folder of the state, which survives a kill;
4. move the finished folder to its tracked place in one step;
5. keep the journal, of which MLflow is a view.
"""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from src.errors import AssayError

Build = Callable[[Any, "Execution"], None]

# stage -> the one folder it makes; a variant has models/<variant>
PLACES = {
    "ingest": Path("data/ingest"),
    "split": Path("data/split"),
    "normalize": Path("data/normalize"),
    "train": Path("models/base"),
    "evaluate": Path("reports/evaluate"),
    "register": Path("reports/register"),
}


@dataclass
class Execution:
    """What ``build`` may know and tell."""

    stage: str
    variant: str | None
    by_hand: bool
    root: Path  # of the repository, also from DVC's temporary workspaces
    folder: Path  # empty; becomes the stage's output
    state: Path  # survives a kill; for checkpoints
    progress: bool
    lineage: Any
    attempt: Any
    tracker: Any

    def say(self, text: str) -> None:
        """One line for the person at the terminal."""
        print(f"{address(self.stage, self.variant):<20} {text}", flush=True)

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


def execute(stage: str, build: Build, doc: str | None) -> NoReturn:
    """Run a stage as a command; never returns. Exit code 1 with a message for what a person can mend."""
    arguments = _arguments(stage, doc)
    variant = getattr(arguments, "variant", None)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _run(stage, variant, build, arguments.overrides)
    except AssayError as error:
        print(f"\n{address(stage, variant)} failed: {error}{_last_good(stage, variant)}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


def address(stage: str, variant: str | None) -> str:
    """DVC's name of the stage: ``train``, ``compress@onnx_fp32``."""
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


def _run(stage: str, variant: str | None, build: Build, overrides: Sequence[str]) -> None:
    from src.config import load, read_params
    from src.provenance.lineage import Ancestry
    from src.provenance.state import State, held_lock

    loaded, name = load(overrides), address(stage, variant)
    ancestry = Ancestry(Path.cwd(), read_params())
    _say_source(name, loaded, ancestry)
    lineage = ancestry.lineage(name, loaded.values)
    state = State(repository_root(), name, lineage.id)
    place = _place(stage, variant, loaded.by_hand)
    workplace = state.path.parent / f"workspace-{_short_hash(place.resolve())}"

    def on_wait(holder: dict[str, Any]) -> None:
        print(
            f"{name}: process {holder.get('pid', '?')} on {holder.get('host', 'this machine')} is at work "
            f"here; waiting for it. To stop it instead: kill {holder.get('pid', '?')}",
            flush=True,
        )

    with ExitStack() as locks:
        locks.enter_context(held_lock(workplace, on_wait))
        waited = locks.enter_context(held_lock(state.path, on_wait))
        if waited and _take_over(state, place):
            print(f"{name}: the other process has finished; its result is in {place}/", flush=True)
            return
        if _was_committed(state):
            state.restart()
        state.path.mkdir(parents=True, exist_ok=True)
        _execute(stage, variant, build, loaded, ancestry, lineage, state, place)
        state.remove_predecessors()


def _execute(
    stage: str,
    variant: str | None,
    build: Build,
    loaded: Any,
    ancestry: Any,
    lineage: Any,
    state: Any,
    place: Path,
) -> None:
    from src.provenance.journal import Attempt
    from src.tracking.live import Tracker

    root, name = repository_root(), address(stage, variant)
    attempt = Attempt.open(root, _record(stage, variant, loaded, ancestry, lineage))
    tracker = Tracker(root, lineage.id)
    tracker.start()
    with _closing(attempt, tracker):
        outputs = state.finished()
        if outputs is None:
            run = Execution(
                stage,
                variant,
                loaded.by_hand,
                root,
                state.fresh_build(),
                state.path,
                loaded.config.machine.progress,
                lineage,
                attempt,
                tracker,
            )
            build(loaded.config, run)
            outputs = state.finish()
        else:
            print(f"{name}: finished before it was interrupted; publishing that", flush=True)
        state.publish(place)
        attempt.update(outputs=outputs)
    if loaded.by_hand:
        print(f"{name}: results are in {place}/", flush=True)


@contextmanager
def _closing(attempt: Any, tracker: Any) -> Iterator[None]:
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


def _close(attempt: Any, status: str, reason: str | None) -> None:
    try:
        attempt.close(status, reason)
    except OSError as error:  # a full disk must not hide what went wrong; a dead process reads as KILLED
        print(f"The journal could not note {status}: {error}", file=sys.stderr)


def _record(stage: str, variant: str | None, loaded: Any, ancestry: Any, lineage: Any) -> dict[str, Any]:
    from src.config import flatten
    from src.provenance.process import identity
    from src.provenance.repository import git_state

    name, config = address(stage, variant), loaded.config
    sections = {key.split(".")[0] for s in [name, *lineage.parents] for key in ancestry.stage(s).parameters}
    return {
        "stage": stage,
        "variant": variant,
        "name": f"{name}-{config.model.kind}-{lineage.id[:8]}",
        "command": ancestry.stage(name).command,
        "by_hand": loaded.by_hand,
        "lineage": lineage.id,
        "parents": lineage.parents,
        "subject": lineage.id,
        "process": identity(),
        "git": git_state(Path.cwd()),
        "numerics": {},
        "experiment": config.data.name,
        "seed": config.seed,
        "data": {"name": config.data.name, "source": f"data/raw/{config.data.name}", **_digest()},
        "params": {key: value for key, value in flatten(loaded.values) if key.split(".")[0] in sections},
        "metrics": {},
        "tags": {},
        "figures": [],
        "model": None,
        "outputs": {},
    }


def _digest() -> dict[str, str]:
    """The data's identity: the manifest holds every image's hash and label."""
    from src.provenance.hashes import file_hash

    manifest = PLACES["ingest"] / "manifest.parquet"
    return {"digest": file_hash(manifest)} if manifest.is_file() else {}


def _say_source(name: str, loaded: Any, ancestry: Any) -> None:
    from src.config import compose, differing_keys

    if loaded.by_hand:
        print(f"{name}: a run by hand, composed from conf/; the pipeline's files stay as they are", flush=True)
        _refuse_foreign_inputs(name, loaded, ancestry)
        return
    keys = differing_keys(loaded.values, compose())
    if keys:
        shown = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
        print(f"{name}: params.yaml differs from conf/ in {shown} (python -m src.compose --check)", flush=True)


def _refuse_foreign_inputs(name: str, loaded: Any, ancestry: Any) -> None:
    """A run by hand reads what the pipeline made; overrides of how that was made cannot be honoured."""
    from src.config import differing_keys

    own = ancestry.stage(name).parameters
    foreign = [
        key
        for key in differing_keys(loaded.values, ancestry.values)
        if key.split(".")[0] in _upstream_sections(name, ancestry)
        and not any(key == mine or key.startswith(f"{mine}.") for mine in own)
    ]
    if foreign:
        raise AssayError(
            f"{', '.join(foreign)} belong to stages before {name}, whose results were made with params.yaml. "
            f"Run the pipeline with them: dvc exp run -S KEY=VALUE"
        )


def _upstream_sections(name: str, ancestry: Any) -> set[str]:
    parents = ancestry.lineage(name).parents
    return {key.split(".")[0] for parent in parents for key in ancestry.stage(parent).parameters}


def _place(stage: str, variant: str | None, by_hand: bool) -> Path:
    if by_hand:
        return Path("outputs") / address(stage, variant) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return PLACES[stage] if variant is None else Path("models") / variant


def _short_hash(path: Path) -> str:
    from src.provenance.hashes import text_hash

    return text_hash(str(path))[:16]


def _take_over(state: Any, place: Path) -> bool:
    """Whether the process that was waited for has left its result here, or in a place to copy it from."""
    import shutil

    from src.provenance.hashes import tree_hashes

    mark = state.published()
    if mark is None or not Path(mark["place"]).is_dir() or tree_hashes(Path(mark["place"])) != mark["outputs"]:
        return False
    if Path(mark["place"]) != place.resolve():
        shutil.copytree(mark["place"], place, dirs_exist_ok=True)
    return True


def _was_committed(state: Any) -> bool:
    """Whether DVC took over an earlier result of the same lineage: then this is a new execution
    (``dvc repro --force``), and not the rest of one that was killed."""
    mark, lock = state.published(), Path("dvc.lock")
    return mark is not None and lock.is_file() and lock.stat().st_mtime > mark["time"]


def _disk_full(error: OSError) -> str:
    return (
        f"the disk is full ({error.filename or 'while writing'}). Finished epochs are kept: make room "
        f"(python -m src.track --clean shows what Assay can free; dvc gc -w frees old results), then run it again"
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

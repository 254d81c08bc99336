"""One execution of a stage: its configuration, state, publication, journal and messages.

Every ``src/<stage>.py`` passes its ``build`` to :func:`run_stage`, which does what all stages share:

1. read the configuration and compute the lineage (``src.pipeline.job``);
2. take the locks, so that no two processes work on the same thing;
3. let ``build`` write into a folder of the state, which survives a kill;
4. move the finished folder to its tracked place in one step;
5. keep the journal, of which MLflow is a view, and leave a record for git.
"""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from src.core.errors import AssayError, ends_with_message
from src.core.hashing import hash_tree, json_hash
from src.core.interruption import how_to_continue
from src.pipeline.job import (
    Job,
    Options,
    parse_arguments,
    prepare,
    refuse_edited,
    repository_root,
    restore_hint,
    stage_address,
)
from src.pipeline.numerics import hold, restart_if_changed
from src.pipeline.records import leave_record, take_in_records
from src.provenance.journal import RunRecord, now
from src.provenance.lineage import Lineage
from src.provenance.work_dir import WorkDir, held_lock
from src.tracking.live import Tracker

if TYPE_CHECKING:  # heavy, and not needed for --help
    from src.config.schema import Config


@dataclass(frozen=True)
class StageRun:
    """What ``build`` may know and tell."""

    job: Job
    root: Path  # of the repository, also from DVC's temporary workspaces
    folder: Path  # empty; becomes the stage's output
    state: Path  # survives a kill; for checkpoints
    progress: bool  # whether to draw bars
    attempt: RunRecord
    tracker: Tracker

    @property
    def variant(self) -> str | None:
        """Which variant compress is to make."""
        return self.job.variant

    @property
    def lineage(self) -> Lineage:
        """What the result is made of."""
        return self.job.lineage

    @property
    def ad_hoc(self) -> bool:
        """Whether a person gave overrides: the runs of the pipeline are then left alone."""
        return bool(self.attempt.record["ad_hoc"])

    def say(self, text: str) -> None:
        """One line for the person at the terminal."""
        self.job.say(text)

    def log(
        self,
        *,
        subject: str | None = None,
        metrics: dict[str, float] | None = None,
        figures: Sequence[Path] = (),
        model: Path | None = None,
        numerics: dict[str, Any] | None = None,
        **tags: str,
    ) -> None:
        """Add to the journal; ``subject`` is the stage whose run in MLflow the metrics belong to.

        The metrics of an ad-hoc run stay in the journal.
        """
        if subject is not None and not self.ad_hoc:
            self.attempt.update(subject=self.lineage.parents[subject])
        if figures:
            self.attempt.add_figures(figures)
        if model is not None:
            self.attempt.add_model(model)
        self.attempt.update(metrics=metrics or {}, numerics=numerics or {}, tags=tags)

    def log_for(
        self, subject: str, metrics: dict[str, float], figures: Sequence[Path] = (), **tags: str
    ) -> None:
        """Add to the journal what this stage measured of one of several models; in an ad-hoc run, do nothing.

        Args:
            subject: The stage that made the model, such as ``train`` or ``compress@int8_static``. Its run in
                MLflow gets the metrics.
            metrics: They replace what was logged for this subject before.
            figures: Pictures, of which the journal keeps copies.
            **tags: Tags of the run.

        Raises:
            AssayError: This stage does not read the output of ``subject``.
        """
        if subject not in self.lineage.parents:
            raise AssayError(
                f"{self.job.address} cannot log for {subject}, whose output it does not read. By dvc.yaml it "
                f"reads from {', '.join(self.lineage.parents)}"
            )
        if not self.ad_hoc:
            self.attempt.attach(self.lineage.parents[subject], metrics, figures, tags)

    def epoch(self, row: dict[str, float]) -> None:
        """Keep an epoch's metrics, and show them in MLflow at once if it answers."""
        self.tracker.epoch(self.attempt.add_epoch(row))


Build = Callable[["Config", StageRun], None]


def run_stage(stage: str, build: Build, doc: str | None, options: Options | None = None) -> NoReturn:
    """Run a stage as a command; never returns.

    Args:
        stage: The name of the stage in dvc.yaml.
        build: Writes the result of the stage into ``run.folder``.
        doc: What ``--help`` shows.
        options: Adds the stage's own options to the command line; ``run.job.options`` has their values.
    """
    arguments = parse_arguments(stage, doc, options)
    variant = getattr(arguments, "variant", None)
    address = stage_address(stage, variant)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: _stop(address, number))
    with ends_with_message(address, lambda: restore_hint(stage, variant)):
        try:
            job = prepare(arguments, stage)
            hold(job)
            _run(job, build)
        except SystemExit:  # of _stop, which may have come amid an import and so must need none itself
            if hint := restore_hint(stage, variant):
                print(hint.lstrip(), file=sys.stderr)
            raise
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # all is published: Ctrl-C shall not make a failure of it
    sys.exit(0)


def _stop(address: str, number: int) -> NoReturn:
    """Leave what is being done, in the way that closes files and records."""
    signal.signal(number, signal.SIG_IGN)  # whoever presses Ctrl-C twice shall not cut this short
    print(f"\n{address} interrupted. Finished work is kept: {how_to_continue()}", file=sys.stderr)
    sys.exit(128 + number)


def _run(job: Job, build: Build) -> None:
    state = WorkDir(repository_root(), job.address, job.lineage.id)
    workspace = state.path.parent / f"workspace-{json_hash(str(job.place.resolve()))[:16]}"
    with held_lock(workspace, job.on_wait) as for_place, held_lock(state.path, job.on_wait) as for_lineage:
        if (for_place or for_lineage) and _take_over(state, job.place):
            job.say(f"the other process has finished; its result is in {job.place}/")
            return
        if _was_committed(state):
            state.restart()
        restart_if_changed(state, job)
        _build_and_publish(job, build, state)
        state.remove_predecessors(job.place)


def _take_over(state: WorkDir, place: Path) -> bool:
    """Whether the process that was waited for left its result here, or in a place to copy it from."""
    mark = state.published()
    if mark is None or not mark.place.is_dir() or hash_tree(mark.place) != mark.outputs:
        return False
    if mark.place != place.resolve():
        shutil.copytree(mark.place, place, dirs_exist_ok=True)
    return True


def _was_committed(state: WorkDir) -> bool:
    """Whether DVC has recorded an earlier result of the same lineage: then this is a new execution
    (``dvc repro --force``), and not the rest of one that was killed."""
    mark, lock = state.published(), Path("dvc.lock")
    return mark is not None and lock.is_file() and lock.stat().st_mtime > mark.time


def _build_and_publish(job: Job, build: Build, state: WorkDir) -> None:
    root = repository_root()
    refuse_edited(job.graph, job.lineage.parents)  # the result would bear the lineage of the genuine inputs
    take_in_records(job, root)
    attempt = RunRecord.open(root, job.record())
    tracker = Tracker(root, job.lineage.id)
    tracker.start()
    with _closing(attempt, tracker):
        outputs = state.finished()
        if outputs is None:
            config, folder = job.loaded.config, state.fresh_build()
            show = config.machine.progress
            build(config, StageRun(job, root, folder, state.path, show, attempt, tracker))
            outputs = state.finish()
        state.publish(job.place, tracked=not job.loaded.is_ad_hoc)
        attempt.update(outputs=outputs, ended=now())
        if not job.loaded.is_ad_hoc:
            leave_record(job, root, attempt)


@contextmanager
def _closing(attempt: RunRecord, tracker: Tracker) -> Iterator[None]:
    """End the attempt with its true status whatever happens, and let MLflow follow."""
    status, reason = "FAILED", None
    try:
        yield
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status, reason = "KILLED", "interrupted"
        raise
    except BaseException as error:
        reason = str(error) or type(error).__name__
        raise
    finally:
        _close(attempt, status, reason)
        tracker.finish()


def _close(attempt: RunRecord, status: str, reason: str | None) -> None:
    try:
        attempt.close(status, reason)
    except OSError as error:  # a full disk must not hide what went wrong; a dead process reads as KILLED
        print(f"The journal could not record {status}: {error}", file=sys.stderr)

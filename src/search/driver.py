"""A search from its configuration: what is proposed, what runs it, and what gets the results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.config.loading import LoadedConfig, load
from src.config.schema import Config
from src.core.cpus import resolve_n_jobs
from src.core.errors import AssayError
from src.search.distributed.study import attributes_of
from src.search.distributed.worker import check_same_inputs, join_study, run_shared_search
from src.search.engine.executor import PoolRunner
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial, TrialResult
from src.search.engine.study import OnProgress, run_search, search_asynchronously
from src.search.engine.trial_configs import TrialConfigs, make_plan
from src.search.engine.trial_log import SearchProgress
from src.search.engine.trial_task import TrialTask
from src.search.engine.trial_tasks import TrialRecorder, TrialTasks, read_trial_data, trial_lineage
from src.search.engine.worker_pool import WorkerPool
from src.search.report.experiment_file import write_experiment
from src.search.report.live_view import live_view
from src.search.report.optuna_storage import StudyMirror
from src.training.features import FEATURES

TrainTrial = Callable[[TrialTask], TrialResult]


@dataclass(frozen=True)
class Search:
    """A search with the tasks of its trials."""

    plan: SearchPlan
    tasks: TrialTasks

    @property
    def name(self) -> str:
        """What people call the search."""
        config = self.tasks.candidates.loaded.config
        return config.sweep.study or f"{config.model.kind}-{config.sweep.method}"

    @property
    def lineage(self) -> str:
        """What the search is made of."""
        return str(self.tasks.record["lineage"])

    @classmethod
    def prepare(
        cls, loaded: LoadedConfig, ingest: Path, split: Path, state: Path, root: Path, record: dict[str, Any]
    ) -> "Search":
        """
        Args:
            loaded: The configuration.
            ingest: Folder with the images.
            split: Folder with the splits.
            state: Folder that survives a kill.
            root: Of the repository.
            record: The search's own in the journal.

        Raises:
            AssayError: What the configuration asks for cannot be searched, or not in the pipeline.
        """
        _refuse_timing(loaded)
        candidates = TrialConfigs(loaded)
        data = read_trial_data(loaded.config, ingest, split, root / FEATURES)
        plan = make_plan(candidates, loaded.config.seed)
        return cls(plan, TrialTasks(candidates, *data, state, root, record))

    def run(
        self,
        say: Callable[[str], None],
        show_child: Callable[[str], None],
        draw: bool,
        train: TrainTrial | None = None,
    ) -> list[Trial]:
        """Run all trials; finished ones survive a kill.

        Args:
            say: Prints a line.
            show_child: Shows the trial with this lineage to whoever follows the search.
            draw: Whether to draw a live view.
            train: What a worker does with a trial, by default train it.

        Returns:
            All trials, by number.
        """
        recorder = TrialRecorder(self.tasks, show_child)
        with live_view(self.plan, draw, say) as show:
            return self._run(_all_of([show, recorder, *self._mirror(say)]), say, train)

    def join(
        self, study: "StudyElsewhere", say: Callable[[str], None], show_child: Callable[[str], None]
    ) -> list[Trial]:
        """Work on a study that was created elsewhere, until it ends.

        Raises:
            AssayError: Code, data or parameters here are not those of the study.
        """
        check_same_inputs(study.name, study.lineage, self.lineage)
        own, threads = study.own, self.tasks.candidates.loaded.config.sweep.threads
        recorder = TrialRecorder(self.tasks, show_child, adopts=False)
        n_jobs = resolve_n_jobs(own.sweep.n_jobs, threads)
        with live_view(self.plan, own.machine.progress, say) as show:
            return join_study(study.name, own.sweep.storage, self.tasks, n_jobs, _all_of([show, recorder]))

    def lineage_of(self, number: int) -> str:
        """The lineage of the trial with this number."""
        return trial_lineage(self.lineage, number)

    def adopt(self, best: Trial) -> Path:
        """Write the best trial as an experiment of conf/ with the name of the search; returns its path."""
        return write_experiment(self.name, self.tasks.candidates.loaded.overrides, best.settings)

    def _mirror(self, say: Callable[[str], None]) -> list[OnProgress]:
        """Copies an embedded search into the file that Optuna's tools read; a shared one has its database."""
        if self.tasks.candidates.loaded.config.sweep.storage != "embedded":
            return []
        name = f"{self.name}-{self.lineage[:8]}"
        return [StudyMirror(self.tasks.root, name, self.plan, self.lineage_of, say)]

    def _run(
        self, on_progress: OnProgress, say: Callable[[str], None], train: TrainTrial | None
    ) -> list[Trial]:
        loaded, state = self.tasks.candidates.loaded, self.tasks.state
        sweep = loaded.config.sweep
        n_jobs = resolve_n_jobs(sweep.n_jobs, sweep.threads)
        if sweep.storage != "embedded":
            named = replace(self.plan, name=self.name)
            return run_shared_search(named, sweep.storage, self.tasks, n_jobs, on_progress, say)
        with WorkerPool(n_jobs, sweep.retries) as pool:
            runner = PoolRunner(pool, self.tasks, forgiving=loaded.is_ad_hoc, run=train)
            if sweep.asynchronous:
                return search_asynchronously(self.plan, runner, n_jobs, state / "asynchronous", on_progress)
            return run_search(self.plan, runner, state / "trials", on_progress)


@dataclass(frozen=True)
class StudyElsewhere:
    """A study in a database that another machine created."""

    name: str
    own: Config  # what this machine decides for itself: the database, the workers
    lineage: str
    overrides: list[str]  # that it was created with

    @classmethod
    def find(cls, name: str, overrides: Sequence[str]) -> "StudyElsewhere":
        """The study with this name in the database that the overrides name.

        Raises:
            AssayError: There is none.
        """
        own = load(overrides).config
        attributes = attributes_of(name, own.sweep.storage)
        return cls(name, own, attributes["lineage"], attributes["overrides"])


def _refuse_timing(loaded: LoadedConfig) -> None:
    """The results of the pipeline depend on the inputs alone."""
    sweep = loaded.config.sweep
    free = {"sweep.asynchronous=true": sweep.asynchronous, "sweep.storage": sweep.storage != "embedded"}
    asked = [key for key, value in free.items() if value]
    if asked and not loaded.is_ad_hoc:
        raise AssayError(
            f"{' and '.join(asked)} makes the result depend on timing, which the pipeline does not allow: "
            "search outside of it (python -m src.sweep sweep.trials=40 …) and adopt the result with --adopt"
        )


def _all_of(followers: Sequence[OnProgress]) -> OnProgress:
    def on_progress(progress: SearchProgress) -> None:
        for follow in followers:
            follow(progress)

    return on_progress

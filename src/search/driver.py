"""A search from its configuration: which proposals, run by whom, and who hears of the results."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from src.config.loading import LoadedConfig
from src.config.schema import Config
from src.core.cpus import resolve_n_jobs
from src.core.errors import AssayError
from src.search.distributed.worker import join_study, run_shared_search
from src.search.engine.executor import PoolRunner
from src.search.engine.plan import SearchPlan
from src.search.engine.records import Trial, TrialResult
from src.search.engine.study import OnProgress, run_search, search_asynchronously
from src.search.engine.trial_configs import TrialConfigs, make_plan
from src.search.engine.trial_log import SearchProgress
from src.search.engine.trial_task import TrialTask
from src.search.engine.trial_tasks import TrialRecorder, TrialTasks, read_trial_data, trial_lineage
from src.search.engine.worker_pool import WorkerPool
from src.search.report.live_view import live_view
from src.search.report.optuna_storage import StudyMirror

TrainTrial = Callable[[TrialTask], TrialResult]


@dataclass(frozen=True)
class Search:
    """A search with the tasks of its trials."""

    plan: SearchPlan
    tasks: TrialTasks

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
        data = read_trial_data(loaded.config, ingest, split)
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
        self, study: str, own: Config, say: Callable[[str], None], show_child: Callable[[str], None]
    ) -> list[Trial]:
        """Work on a study that was created elsewhere, until it ends; ``own`` is this machine's part."""
        sweep = own.sweep
        recorder = TrialRecorder(self.tasks, show_child, adopts=False)
        n_jobs = resolve_n_jobs(sweep.n_jobs, self.tasks.candidates.loaded.config.sweep.threads)
        with live_view(self.plan, own.machine.progress, say) as show:
            return join_study(study, sweep.storage, self.tasks, n_jobs, _all_of([show, recorder]))

    def _mirror(self, say: Callable[[str], None]) -> list[OnProgress]:
        """Copies an embedded search into the file that Optuna's tools read; a shared one has its database."""
        config, lineage = self.tasks.candidates.loaded.config, self.tasks.record["lineage"]
        if config.sweep.storage != "embedded":
            return []
        name = f"{study_name(config)}-{lineage[:8]}"
        return [StudyMirror(self.tasks.root, name, self.plan, partial(trial_lineage, lineage), say)]

    def _run(
        self, on_progress: OnProgress, say: Callable[[str], None], train: TrainTrial | None
    ) -> list[Trial]:
        loaded, state = self.tasks.candidates.loaded, self.tasks.state
        sweep = loaded.config.sweep
        n_jobs = resolve_n_jobs(sweep.n_jobs, sweep.threads)
        if sweep.storage != "embedded":
            named = replace(self.plan, name=study_name(loaded.config))
            return run_shared_search(named, sweep.storage, self.tasks, n_jobs, on_progress, say)
        with WorkerPool(n_jobs, sweep.retries) as pool:
            runner = PoolRunner(pool, self.tasks, forgiving=loaded.is_ad_hoc, run=train)
            if sweep.asynchronous:
                return search_asynchronously(self.plan, runner, n_jobs, state / "asynchronous", on_progress)
            return run_search(self.plan, runner, state / "trials", on_progress)


def study_name(config: Config) -> str:
    """What people call the search."""
    return config.sweep.study or f"{config.model.kind}-{config.sweep.method}"


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

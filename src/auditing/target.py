"""What is audited: one folder with all that belongs together, and what MLflow says of it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from yaml import YAMLError

from src.core.errors import AssayError
from src.core.yaml12 import load_yaml
from src.provenance.dvc_lock import Cache, LockedStage, read_lock
from src.provenance.dvc_remote import REPRO, fetch_older_command, pull_command
from src.provenance.dvc_yaml import StageDefinition, read_pipeline
from src.provenance.lineage import LineageGraph
from src.registry.versions import RunFacts, VersionFacts

BASE = "train"


@dataclass(frozen=True)
class AuditTarget:
    """``folder`` holds params.yaml, dvc.yaml, dvc.lock, the code, and the outputs that could be had.

    For the workspace it is the workspace itself; for all else it was put together from the record, with
    outputs from DVC's cache, and what the workspace holds by now plays no part.
    """

    title: str
    root: Path  # of the repository: git's history, DVC's cache, the journal
    folder: Path
    stage: str  # address of the stage that made the model
    is_workspace: bool = False
    commit: str | None = None  # that is said to hold the code
    version: VersionFacts | None = None
    run: RunFacts | None = None
    base: RunFacts | None = None
    record: Path | None = None  # the version's record as MLflow keeps it
    model: Path | None = None  # the version's model files as MLflow keeps them
    provenance: Path | None = None  # the version's statement and signature as MLflow keeps them
    public_key: Path | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)  # what the record does not have -> why it matters
    remedy: str = ""  # the command that brings what it lacks; "": none does

    @cached_property
    def params(self) -> dict[str, Any]:
        """params.yaml."""
        try:
            found: Any = load_yaml((self.folder / "params.yaml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, YAMLError) as error:
            raise AssayError(f"params.yaml of {self.title} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise AssayError(f"params.yaml of {self.title} has no sections")
        return found

    @cached_property
    def lock(self) -> dict[str, LockedStage]:
        """dvc.lock: the stages that params.yaml names; others may linger in it."""
        return {
            name: stage for name, stage in read_lock(self.folder / "dvc.lock").items() if name in self.stages
        }

    @cached_property
    def raw(self) -> dict[str, str]:
        """{path: MD5} of what no stage makes: the raw images, and weights to start from."""
        return {path: md5 for stage in self.lock.values() for path, md5 in stage.raw.items()}

    @cached_property
    def stages(self) -> dict[str, StageDefinition]:
        """dvc.yaml, with params.yaml filled in."""
        return read_pipeline(self.folder)

    @cached_property
    def graph(self) -> LineageGraph:
        """Computes lineages from the files, whatever dvc.lock records."""
        return LineageGraph(self.folder, self.params)

    @cached_property
    def lineages(self) -> dict[str, str]:
        """{stage: lineage} of those behind the model whose inputs are here."""
        found = {}
        for name in self.behind():
            with suppress(AssayError):  # an input is missing, which the checks of data and code report
                found[name] = self.graph.of(name).id
        return found

    @cached_property
    def cache(self) -> Cache:
        return Cache(self.root)

    @property
    def variant(self) -> str | None:
        """Of compress; None for the base."""
        return self.stage.partition("@")[2] or None

    @property
    def model_folder(self) -> Path:
        """Where the stage writes its model."""
        return self.folder / "models" / (self.variant or "base")

    def first_absent(self, *paths: str) -> str | None:
        """That one of these results is not here, in words; None if all are."""
        missing = next((path for path in paths if not (self.folder / path).exists()), None)
        return missing and f"{missing} is {self.absence(missing)}"

    def absence(self, path: str) -> str:
        """Why a result is missing, and the command that brings it."""
        makers = (n for n, s in self.stages.items() if any(overlap(path, out) for out in s.outputs))
        maker = next(makers, None)
        if maker is None:  # a pipeline of an older version
            return "not here"
        if maker not in self.lock:
            return f"not made yet ({REPRO})"
        return f"not here ({self._how_to_bring(maker)})"

    def _how_to_bring(self, stage: str) -> str:
        """Today's results can be pulled or made; older ones only by a rebuild, if no remote has them."""
        if self.is_workspace or self._is_current(stage):
            return pull_command(self.root) or REPRO
        fetch = fetch_older_command(self.root)
        return f"{fetch}, or --rebuild" if fetch else "--rebuild makes it again"

    def _is_current(self, stage: str) -> bool:
        """Whether the dvc.lock of the repository records the same outputs."""
        with suppress(AssayError):
            today = read_lock(self.root / "dvc.lock").get(stage)
            return today is not None and today.outputs == self.lock[stage].outputs
        return False

    def behind(self) -> list[str]:
        """The stage and all that it is made from, in the order of the pipeline; with what reports on it.

        All stages but the observations, where no single model is asked for.
        """
        if self.version is None and self.variant is None:
            return [name for name in self.lock if not self.stages[name].observation]
        wanted, todo = set(), [self.stage, "evaluate", "compare"]
        while todo:
            name = todo.pop()
            if name in wanted or name not in self.lock:
                continue
            wanted.add(name)
            todo += [maker for maker in self.makers(name) if not _sibling(maker, self.stage)]
        return [name for name in self.lock if name in wanted]

    def makers(self, name: str) -> list[str]:
        """The stages whose outputs a stage has read."""
        read = self.lock[name].dependencies
        return [
            other
            for other, stage in self.lock.items()
            if any(overlap(path, output) for path in read for output in stage.outputs)
        ]


def overlap(path: str, output: str) -> bool:
    """Whether a dependency is an output, lies in it, or is a folder around it."""
    return path == output or path.startswith(f"{output}/") or output.startswith(f"{path}/")


def _sibling(maker: str, stage: str) -> bool:
    """Whether it makes another variant, whose model this one has nothing to do with."""
    return maker.startswith("compress@") and maker != stage

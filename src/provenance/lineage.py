"""What a result is made from, as one hash: the command, its parameters and its inputs.

The hash says nothing of git, time, host or folder, so two clones that compute the same thing agree on it.
Inputs count by the MD5 that DVC gives them, which ``dvc.lock`` also has: the lineage of an earlier stage can
be read there, and the data that only the earlier stage reads may be absent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from src.config.dotted_keys import flatten, is_under, lookup
from src.core.errors import AssayError
from src.core.hashing import json_hash
from src.provenance.dvc_lock import LockedStage, md5_of
from src.provenance.dvc_remote import REPRO, pull_command
from src.provenance.dvc_yaml import StageDefinition, read_pipeline

AD_HOC = ("debug",)  # sections that params.yaml never has, and no stage declares


@dataclass(frozen=True)
class Lineage:
    """``parents`` maps each stage whose outputs are read to its own lineage id."""

    id: str
    parents: dict[str, str]


@dataclass
class LineageGraph:
    """Computes lineages in one working folder; each input is hashed once.

    Attributes:
        folder: Where dvc.yaml, params.yaml and the inputs are.
        values: The content of params.yaml.
        lock: What dvc.lock records. Without it every lineage is computed from files.
        cache: A file that keeps the resolved dvc.yaml for the next process.
    """

    folder: Path
    values: Mapping[str, Any]
    lock: Mapping[str, LockedStage] = field(default_factory=dict)
    cache: Path | None = None
    hashes: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages = read_pipeline(self.folder, self.cache)

    def stage(self, name: str) -> StageDefinition:
        """The definition of a stage by its address."""
        if name not in self.stages:
            raise AssayError(f"dvc.yaml has no stage {name}. It has: {', '.join(self.stages)}")
        return self.stages[name]

    def of(self, name: str, values: Mapping[str, Any] | None = None) -> Lineage:
        """The lineage that a stage has if it runs now; ``values`` replace params.yaml in an ad-hoc run.

        Raises:
            AssayError: An input is missing.
        """
        stage, inputs = self.stage(name), self.inputs_of(name)
        parents = {parent: self.of_result(parent) for parent in self._parents(stage)}
        parameters = {key: lookup(values or self.values, key) for key in stage.parameters}
        parameters |= {key: value for key, value in (values or {}).items() if key in AD_HOC}
        return Lineage(_identify(stage.command, parameters, inputs), parents)

    def of_result(self, name: str) -> str:
        """The lineage id of a stage's result: from dvc.lock, if the result here is the recorded one.

        Raises:
            AssayError: The result is another one, and what it was made from is missing.
        """
        if name not in self.known:
            self.known[name] = self._recorded(name) or self._from_files(name)
        return self.known[name]

    def unrecorded(self, name: str) -> list[str]:
        """The outputs of a stage that dvc.lock records with other bytes than are here."""
        record = self.lock.get(name)
        outputs = {} if record is None else record.outputs
        return [path for path, md5 in outputs.items() if self._differs(path, md5)]

    def inputs_of(self, name: str) -> dict[str, str]:
        """{path: MD5} of what a stage reads, as it was when it was first looked at."""
        return {path: self._md5(path) for path in self._inputs(self.stage(name).dependencies)}

    def parameters_of(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of ``values`` that a stage or one of its parents reads, by dotted key."""
        stages = [self.stage(name), *map(self.stage, self._parents(self.stage(name)))]
        read = {*AD_HOC, *(key for stage in stages for key in stage.parameters)}
        return {key: value for key, value in flatten(values) if is_under(key, read)}

    def _recorded(self, name: str) -> str | None:
        """The lineage id by dvc.lock; None where that does not describe the result that is here."""
        record = self.lock.get(name)
        if record is None or self.unrecorded(name):
            return None
        read = self.stage(name).parameters  # DVC also records what fills in its templates
        parameters = {key: value for key, value in record.parameters.items() if key in read}
        inputs: dict[str, str] = {}
        for path in record.dependencies:
            below = self._outputs_below(path)
            if any(output not in self._locked_outputs for output in below):
                return None
            found = {output: self._locked_outputs[output] for output in below}
            inputs |= found or {path: record.dependencies[path]}
        return _identify(record.command, parameters, inputs)

    def _from_files(self, name: str) -> str:
        try:
            return self.of(name).id
        except AssayError as error:
            if name not in self.lock:
                raise
            output = self.stage(name).outputs[0]
            raise AssayError(
                f"{output} is not what dvc.lock records for stage {name}, and it cannot be traced from its "
                f"inputs: {error}\nRestore the recorded result: dvc checkout {output}"
            ) from error

    def _differs(self, path: str, md5: str) -> bool:
        """Whether other bytes are here than dvc.lock records; what is absent does not differ."""
        return (self.folder / path).exists() and self._md5(path) != md5

    @cached_property
    def _locked_outputs(self) -> dict[str, str]:
        return {path: md5 for record in self.lock.values() for path, md5 in record.outputs.items()}

    @cached_property
    def _made_by(self) -> dict[str, str]:
        """{output: address of the stage that makes it}."""
        return {output: stage.name for stage in self.stages.values() for output in stage.outputs}

    def _inputs(self, dependencies: Iterator[str] | tuple[str, ...]) -> list[str]:
        """The dependencies in order. A folder that stages write into stands for their outputs: what else is
        there, such as a variant that params.yaml no longer names, is not an input."""
        paths: set[str] = set()
        for path in dependencies:
            paths |= self._outputs_below(path) or {path}
        return sorted(paths)

    def _outputs_below(self, path: str) -> set[str]:
        return {output for output in self._made_by if output.startswith(f"{path}/")}

    def _parents(self, stage: StageDefinition) -> list[str]:
        inputs = self._inputs(stage.dependencies)
        return sorted(
            {
                maker
                for output, maker in self._made_by.items()
                if any(path == output or path.startswith(f"{output}/") for path in inputs)
            }
        )

    def _md5(self, path: str) -> str:
        if path not in self.hashes:
            if not (self.folder / path).exists():
                raise AssayError(f"{path} is missing. {self._how_to_restore(path)}")
            self.hashes[path] = md5_of(self.folder / path)
        return self.hashes[path]

    def _how_to_restore(self, path: str) -> str:
        for output, maker in self._made_by.items():
            if path == output or path.startswith(f"{output}/"):
                pull = pull_command(self.folder, output) if maker in self.lock else None
                fetch = f", or fetch it from DVC's remote: {pull}" if pull else ""
                return f"Stage {maker} makes it: {REPRO} {maker}{fetch}"
        if path.startswith("data/raw/"):
            name = path.removeprefix("data/raw/").split("/")[0]
            return (
                f"Fetch a known data set: python -m src.fetch {name}. For your own images: put them there, "
                f"then dvc add data/raw/{name}"
            )
        return f"It belongs to the repository: git checkout {path}"


def _identify(command: str, parameters: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The one hash of a command, its parameters and the MD5 of each of its inputs."""
    content = {"command": command, "parameters": parameters, "dependencies": sorted(inputs.items())}
    return json_hash(content)

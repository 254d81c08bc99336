"""What a result is made of, as one hash: the command, its parameters and its inputs.

The hash says nothing of git, time, host or folder, so two clones that compute the same thing agree on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.config.dotted_keys import flatten, is_under
from src.core.errors import AssayError
from src.core.hashing import content_hash, json_hash
from src.provenance.dvc_yaml import StageDefinition, lookup, read_pipeline


@dataclass(frozen=True)
class Lineage:
    """``parents`` maps each stage whose outputs are read to its own lineage id."""

    id: str
    parents: dict[str, str]


@dataclass
class LineageGraph:
    """Computes lineages in one working folder; each input is hashed once, each stage looked at once."""

    folder: Path
    values: Mapping[str, Any]  # params.yaml
    hashes: dict[str, str] = field(default_factory=dict)
    known: dict[str, Lineage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stages = read_pipeline(self.folder / "dvc.yaml", self.values)

    def stage(self, name: str) -> StageDefinition:
        """The definition of a stage by its address."""
        if name not in self.stages:
            raise AssayError(f"dvc.yaml has no stage {name}. It has: {', '.join(self.stages)}")
        return self.stages[name]

    def of(self, name: str, values: Mapping[str, Any] | None = None) -> Lineage:
        """The lineage of a stage; ``values`` stand in for ``params.yaml`` in a run by hand."""
        if values is None and name in self.known:
            return self.known[name]
        stage = self.stage(name)
        parents = {parent: self.of(parent).id for parent in self._parents(stage)}
        content = {
            "command": stage.command,
            "parameters": {key: lookup(values or self.values, key) for key in stage.parameters},
            "dependencies": [[path, self._hash(path)] for path in self._inputs(stage)],
        }
        found = Lineage(json_hash(content), parents)
        if values is None:
            self.known[name] = found
        return found

    def parameters_of(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of ``values`` that a stage reads, or one that it is made from, by dotted key."""
        stages = [name, *self.of(name).parents]
        read = {key for stage in stages for key in self.stage(stage).parameters}
        return {key: value for key, value in flatten(values) if is_under(key, read)}

    def _inputs(self, stage: StageDefinition) -> list[str]:
        """The dependencies in order. A folder below which stages write stands for what they write: what
        else lies there, such as a variant that params.yaml no longer names, is nobody's input."""
        paths: set[str] = set()
        for path in stage.dependencies:
            paths |= {output for output in self._made() if output.startswith(f"{path}/")} or {path}
        return sorted(paths)

    def _parents(self, stage: StageDefinition) -> list[str]:
        made, inputs = self._made(), self._inputs(stage)
        return sorted(
            {
                made[output]
                for output in made
                for path in inputs
                if path == output or path.startswith(f"{output}/")
            }
        )

    def _made(self) -> dict[str, str]:
        """{output: address of the stage that makes it}."""
        return {output: other.name for other in self.stages.values() for output in other.outputs}

    def _hash(self, path: str) -> str:
        if path not in self.hashes:
            if not (self.folder / path).exists():
                raise AssayError(f"{path} is missing. {self._mend(path)}")
            self.hashes[path] = content_hash(self.folder / path)
        return self.hashes[path]

    def _mend(self, path: str) -> str:
        maker = [s.name for s in self.stages.values() if any(path.startswith(out) for out in s.outputs)]
        if maker:
            return f"Stage {maker[0]} makes it: dvc repro {maker[0]}"
        if path.startswith("data/raw/"):
            name = path.removeprefix("data/raw/").split("/")[0]
            return (
                f"A known data set is brought by python -m src.fetch {name}; for your own images: put them "
                f"there, then dvc add data/raw/{name}"
            )
        return "It belongs to the repository: git checkout it"

"""What ``dvc.yaml`` says of each stage: command, parameters, dependencies and outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.core.errors import AssayError


@dataclass(frozen=True)
class StageDefinition:
    """A stage with its templates filled in; ``name`` is DVC's address, such as ``compress@onnx_fp32``."""

    name: str
    command: str
    parameters: tuple[str, ...]
    dependencies: tuple[str, ...]
    outputs: tuple[str, ...]
    observation: bool
    cached: bool


def read_pipeline(path: Path, values: Mapping[str, Any]) -> dict[str, StageDefinition]:
    """All stages of ``dvc.yaml`` by address; ``values`` (params.yaml) fill the ``foreach`` templates."""
    if not path.is_file():
        raise AssayError(f"{path.name} is missing: run this in the root of the repository")
    stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
    definitions: dict[str, StageDefinition] = {}
    for name, body in stages.items():
        if "foreach" not in body:
            definitions[name] = _definition(name, body, values, key=None)
            continue
        for key in lookup(values, body["foreach"].removeprefix("${").removesuffix("}")):
            definitions[f"{name}@{key}"] = _definition(f"{name}@{key}", body["do"], values, key)
    return definitions


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key of nested mappings."""
    value: Any = values
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise AssayError(f"params.yaml has no {key}, which dvc.yaml asks for: python -m src.compose")
        value = value[part]
    return value


def _definition(
    name: str, body: Mapping[str, Any], values: Mapping[str, Any], key: str | None
) -> StageDefinition:
    def filled(entries: list[Any]) -> tuple[str, ...]:
        return tuple(_fill(next(iter(e)) if isinstance(e, dict) else e, values, key) for e in entries)

    options = [next(iter(out.values())) for out in body.get("outs", []) if isinstance(out, dict)]
    return StageDefinition(
        name=name,
        command=_fill(body["cmd"], values, key),
        parameters=filled(body.get("params", [])),
        dependencies=filled(body.get("deps", [])),
        outputs=filled(body.get("outs", [])),
        observation=bool(body.get("meta", {}).get("observation", False)),
        cached=all(option.get("cache", True) for option in options),
    )


def _fill(text: str, values: Mapping[str, Any], key: str | None) -> str:
    """Fill ``${key}``, ``${item}`` and ``${dotted.key}`` templates."""
    while "${" in text:
        head, _, tail = text.partition("${")
        name, _, rest = tail.partition("}")
        text = f"{head}{key if name in ('key', 'item') else lookup(values, name)}{rest}"
    return text

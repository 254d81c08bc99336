"""The stages of ``dvc.yaml`` as DVC itself resolves them: command, parameters, dependencies and outputs.

DVC's own resolver fills in ``foreach``, ``matrix``, ``vars`` and every ``${...}``. Importing it takes a third
of a second, so the result is cached under the hashes of all files that it was made from, the version of DVC
and this code.
"""

import configparser
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from src.core.errors import AssayError
from src.core.files import keep_json
from src.core.hashing import file_hash
from src.core.yaml12 import load_yaml

PIPELINE = "dvc.yaml"
PARAMS = "params.yaml"
CONFIGS = (".dvc/config", ".dvc/config.local")


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


def read_pipeline(folder: Path, cache: Path | None = None) -> dict[str, StageDefinition]:
    """All stages of ``dvc.yaml`` by address.

    Args:
        folder: Where dvc.yaml and params.yaml are. It needs no DVC repository.
        cache: A file that keeps the result. Several processes may share it.

    Raises:
        AssayError: dvc.yaml is missing, or DVC cannot resolve it.
    """
    if not (folder / "dvc.yaml").is_file():
        raise AssayError("dvc.yaml is missing: run this in the root of the repository")
    cached = _read_cache(folder, cache) if cache else None
    if cached is not None:
        return cached
    content = _content(folder)
    before = _hashes(folder, sorted({"dvc.yaml", PARAMS, *CONFIGS, *_files_of_vars(content, ".")}))
    stages = _resolve(folder, content)
    if cache and _hashes(folder, before) == before:  # nobody has edited them meanwhile
        _write_cache(cache, before, stages)
    return stages


def _resolve(folder: Path, content: dict[str, Any]) -> dict[str, StageDefinition]:
    """Let DVC resolve the stages, without asking for a DVC repository around them."""
    from types import SimpleNamespace

    from dvc.exceptions import DvcException
    from dvc.parsing import DataResolver
    from dvc_objects.fs.local import LocalFileSystem

    fs: Any = LocalFileSystem
    repository = SimpleNamespace(fs=fs(), config={"parsing": _parsing_options(folder)})
    try:
        resolved = DataResolver(repository, str(folder.resolve()), content).resolve()["stages"]
        return {name: _definition(name, body) for name, body in resolved.items()}
    except DvcException as error:
        raise AssayError(f"dvc.yaml cannot be resolved: {error}. Fix it, or params.yaml") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # DVC expects a checked dvc.yaml
        raise AssayError(f"dvc.yaml is not valid ({error!r}). DVC says what is wrong: dvc status") from error


def _content(folder: Path) -> dict[str, Any]:
    from yaml import YAMLError

    try:
        content = load_yaml((folder / "dvc.yaml").read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise AssayError(f"dvc.yaml cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise AssayError("dvc.yaml has no stages. Restore it: git checkout dvc.yaml")
    return content


def _parsing_options(folder: Path) -> dict[str, str]:
    """How DVC writes booleans and lists into commands (``[parsing]`` of its configuration)."""
    config = configparser.ConfigParser()
    config.read([folder / name for name in CONFIGS], encoding="utf-8")
    return dict(config["parsing"]) if config.has_section("parsing") else {}


def _definition(name: str, body: Mapping[str, Any]) -> StageDefinition:
    command, entries = body["cmd"], [*body.get("outs", []), *body.get("metrics", []), *body.get("plots", [])]
    options = [next(iter(entry.values())) for entry in entries if isinstance(entry, dict)]
    base = body.get("wdir", ".")
    return StageDefinition(
        name=name,
        command=command if isinstance(command, str) else " && ".join(command),
        parameters=tuple(_parameters(name, body.get("params", []))),
        dependencies=_paths(body.get("deps", []), base),
        outputs=_paths(entries, base),
        observation=bool((body.get("meta") or {}).get("observation", False)),
        cached=all((option or {}).get("cache", True) for option in options),
    )


def _paths(entries: Iterable[Any], base: str) -> tuple[str, ...]:
    """Paths from the root; an entry with options is a mapping of its path to them."""
    names = (next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries)
    return tuple(posixpath.normpath(posixpath.join(base, name)) for name in names)


def _parameters(stage: str, entries: Iterable[Any]) -> Iterator[str]:
    """Keys of params.yaml, the only file that stages read settings from."""
    for entry in entries:
        for file, keys in ({PARAMS: [entry]} if isinstance(entry, str) else entry).items():
            if file != PARAMS or not keys:
                raise AssayError(
                    f"stage {stage} in dvc.yaml takes parameters from {file}, but stages read single keys of "
                    f"{PARAMS} only: name the keys, or list {file} under deps"
                )
            yield from keys


def _read_cache(folder: Path, cache: Path) -> dict[str, StageDefinition] | None:
    """The cached stages; None if a file has changed since, or the cache is damaged."""
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
        if content["made_by"] != _made_by() or PIPELINE not in content["files"]:
            return None
        if content["files"] != _hashes(folder, content["files"]):
            return None
        return {name: StageDefinition(**_tuples(stage)) for name, stage in content["stages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_cache(cache: Path, files: Mapping[str, str | None], stages: Mapping[str, StageDefinition]) -> None:
    content = {name: asdict(stage) for name, stage in stages.items()}
    keep_json(cache, {"made_by": _made_by(), "files": files, "stages": content})


def _made_by() -> list[str]:
    """What decides the result beside the files."""
    return [version("dvc"), file_hash(Path(__file__))]


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str | None]:
    return {name: file_hash(folder / name) if (folder / name).is_file() else None for name in names}


def _files_of_vars(body: Any, base: str) -> Iterator[str]:
    """Every file that a ``vars`` section reads, at the top or in a stage."""
    if not isinstance(body, dict):
        return
    base = posixpath.join(base, str(body.get("wdir", ".")))
    for entry in body.get("vars") or []:
        if isinstance(entry, str):
            yield posixpath.normpath(posixpath.join(base, entry.partition(":")[0]))
    for below in body.values():
        yield from _files_of_vars(below, base)


def _tuples(stage: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where a definition has tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in stage.items()}

"""The composition of ``conf/`` without overrides, kept: Hydra takes half a second to make it."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from src.config.loading import CONF, compose
from src.core.files import keep_json
from src.core.hashing import hash_tree

ELSEWHERE = (b"${oc.", b"searchpath")


def default_composition(cache: Path) -> dict[str, Any]:
    """:func:`compose` without overrides, from ``cache`` unless ``conf/`` or Hydra has changed since.

    Args:
        cache: A JSON file. Several processes may share it.

    Raises:
        AssayError: ``conf/`` cannot be composed.
    """
    made_from = _made_from()
    kept = _read(cache, made_from)
    if kept is not None:
        return kept
    values = compose()
    if _depends_on_files_alone() and _made_from() == made_from and json.loads(json.dumps(values)) == values:
        keep_json(cache, {"made_from": made_from, "values": values})
    return values


def _made_from() -> dict[str, str]:
    return {"hydra-core": version("hydra-core"), **hash_tree(CONF)}


def _depends_on_files_alone() -> bool:
    """Whether the hashes of the files in conf/ say all: no linked folder, variable or search path."""
    paths = list(CONF.rglob("*"))
    if any(path.is_symlink() and path.is_dir() for path in paths):
        return False
    return not any(word in path.read_bytes() for path in paths if path.is_file() for word in ELSEWHERE)


def _read(cache: Path, made_from: dict[str, str]) -> dict[str, Any] | None:
    """None if there is none, if it was made from other files, or if it is damaged."""
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
        values: dict[str, Any] = content["values"]
        return values if content["made_from"] == made_from and isinstance(values, dict) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None

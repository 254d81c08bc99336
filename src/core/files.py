"""Files that are written whole or not at all."""

import json
import os
import shutil
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write so that a kill leaves the old file or the new one, never half of one."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    beside.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(beside, path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def replace_folder(source: Path, place: Path) -> None:
    """Rename ``source`` to ``place``; a folder that was there goes only after its successor has come."""
    place.parent.mkdir(parents=True, exist_ok=True)
    source = _on_the_same_disk(source, place)
    old = place.with_name(f".{place.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    os.replace(source, place)
    shutil.rmtree(old, ignore_errors=True)


def _on_the_same_disk(source: Path, place: Path) -> Path:
    """A rename cannot cross file systems: then a copy beside ``place`` takes the place of ``source``."""
    if source.stat().st_dev == place.parent.stat().st_dev:
        return source
    beside = place.with_name(f".{place.name}.incoming")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(source, beside)
    shutil.rmtree(source)
    return beside

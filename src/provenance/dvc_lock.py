"""What DVC has recorded: ``dvc.lock``, and the cache of the files that it names.

DVC 3 names a file by the MD5 of its bytes, and a folder by the MD5 of a JSON listing of its files, with
``.dir`` behind it (https://dvc.org/doc/user-guide/project-structure/internal-files).
"""

import configparser
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from src.core.errors import AssayError
from src.core.hashing import iter_files
from src.core.yaml12 import load_yaml


@dataclass(frozen=True)
class LockedStage:
    """What a stage read and wrote when it last ran: {path: MD5}."""

    command: str
    dependencies: Mapping[str, str]
    parameters: Mapping[str, Any]  # dotted key -> value
    outputs: Mapping[str, str]

    @property
    def raw(self) -> dict[str, str]:
        """The dependencies that no stage makes: raw images, and weights to start from."""
        return {
            path: md5
            for path, md5 in self.dependencies.items()
            if path.startswith(("data/raw/", "data/weights"))
        }


def read_lock(path: Path) -> dict[str, LockedStage]:
    """The stages of a ``dvc.lock`` by their addresses.

    Raises:
        AssayError: The file is missing or damaged.
    """
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
        return {name: _locked(stage) for name, stage in content["stages"].items()}
    except FileNotFoundError as error:
        raise AssayError(f"{path} is missing: no stage has run here. Run the pipeline: dvc repro") from error
    except (YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise AssayError(f"{path} is damaged ({error}). Restore it: git checkout dvc.lock") from error


class Cache:
    """DVC's cache of the repository ``root``."""

    def __init__(self, root: Path) -> None:
        self.folder = _cache_folder(root) / "files" / "md5"

    def object(self, md5: str) -> Path:
        """Where the bytes of this name are, if they are here."""
        return self.folder / md5[:2] / md5[2:]

    def files(self, md5: str) -> dict[str, str] | None:
        """{path below the output: MD5} of a folder, {"": MD5} of a file; None if the listing is not here.

        Raises:
            AssayError: The listing is damaged.
        """
        if not md5.endswith(".dir"):
            return {"": md5}
        path = self.object(md5)
        if not path.is_file():
            return None
        try:
            return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}
        except (ValueError, KeyError, TypeError) as error:
            raise AssayError(f"{path}, a listing in DVC's cache, is damaged: {error}") from error


def md5_of(path: Path) -> str:
    """The name that DVC gives to a file or folder."""
    return listing_md5(folder_md5s(path)) if path.is_dir() else file_md5(path)


def file_md5(path: Path) -> str:
    """Hexadecimal MD5 of a file's bytes: DVC's name for it, and no protection against an attacker."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def folder_md5s(folder: Path) -> dict[str, str]:
    """{path below the folder, with slashes: MD5} of every file that DVC counts."""
    return {path.relative_to(folder).as_posix(): file_md5(path) for path in iter_files(folder)}


def listing_md5(files: Mapping[str, str]) -> str:
    """The name of a folder with these files."""
    entries = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
    text = json.dumps(entries, sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _locked(stage: Mapping[str, Any]) -> LockedStage:
    parameters: dict[str, Any] = {}
    for values in (stage.get("params") or {}).values():
        parameters |= values
    return LockedStage(
        command=stage["cmd"] if isinstance(stage["cmd"], str) else " && ".join(stage["cmd"]),
        dependencies={entry["path"]: entry["md5"] for entry in stage.get("deps", []) if "md5" in entry},
        parameters=parameters,
        outputs={entry["path"]: entry["md5"] for entry in stage.get("outs", []) if "md5" in entry},
    )


def dvc_option(root: Path, section: str, option: str) -> str | None:
    """What .dvc/config.local or else .dvc/config says; None if neither does."""
    for name in ("config.local", "config"):
        config = configparser.ConfigParser()
        config.read(root / ".dvc" / name, encoding="utf-8")
        if config.has_option(section, option):
            return config.get(section, option)
    return None


def _cache_folder(root: Path) -> Path:
    """``cache.dir``, which is relative to .dvc; else DVC's default."""
    return (root / ".dvc" / (dvc_option(root, "cache", "dir") or "cache")).resolve()

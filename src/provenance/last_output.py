"""What a stage read and wrote when DVC last recorded it, from DVC's cache."""

from collections.abc import Sequence
from pathlib import Path

from src.core.errors import AssayError
from src.provenance.dvc_lock import Cache, read_lock


def last_files(root: Path, stage: str, wanted: Sequence[tuple[str, str]]) -> list[Path] | None:
    """The files of the last recorded execution of a stage; None if one of them is not in the cache.

    Args:
        root: of the repository.
        stage: its name in ``dvc.lock``.
        wanted: (folder that the stage reads or writes, name of a file in it).
    """
    try:
        locked, cache = read_lock(root / "dvc.lock")[stage], Cache(root)
        md5s = {**locked.dependencies, **locked.outputs}
        listings = [(cache.files(md5s[folder]) or {}, name) for folder, name in wanted]
        files = [cache.object(files[name]) for files, name in listings]
    except (AssayError, KeyError):  # it never ran, or its results are gone
        return None
    return files if all(file.is_file() for file in files) else None

"""A DVC remote in the configuration of a folder, which nobody has to reach."""

from pathlib import Path


def configure_remote(root: Path, name: str = "team", default: bool = True) -> None:
    """What ``dvc remote add`` writes, with ``--default`` or without."""
    (root / ".dvc").mkdir(exist_ok=True)
    core = f"[core]\n    remote = {name}\n" if default else ""
    (root / ".dvc" / "config").write_text(f"{core}['remote \"{name}\"']\n    url = /nowhere\n")

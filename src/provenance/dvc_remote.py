"""Whether DVC's remote may have what is missing here, or the pipeline has to make it."""

from pathlib import Path

REPRO = "dvc repro"
FETCH_OLDER = "dvc fetch --all-commits"  # results that an earlier commit names


def pull_command(root: Path, *paths: str) -> str | None:
    """The ``dvc pull`` that fetches these paths (none: all); None where no remote is configured.

    DVC is asked, because a remote may also be configured for the user or the whole machine. It needs the name
    of a remote where none is the default.
    """
    if not (root / ".dvc").is_dir():
        return None
    from dvc.config import Config

    config = Config(str(root / ".dvc"))
    remotes = list(config["remote"])
    if not remotes:
        return None
    name = () if config["core"].get("remote") else ("--remote", remotes[0])
    return " ".join(("dvc pull", *name, *paths))

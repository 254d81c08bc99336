"""Whether DVC's remote may have what is missing here, or the pipeline has to make it."""

import shlex
from pathlib import Path

REPRO = "dvc repro"


def pull_command(root: Path, *paths: str) -> str | None:
    """The ``dvc pull`` that fetches these paths (none: all); None where no remote is configured."""
    name = _remote(root)
    return None if name is None else shlex.join(("dvc", "pull", *name, *paths))


def fetch_older_command(root: Path) -> str | None:
    """The same for results that an earlier commit names."""
    name = _remote(root)
    return None if name is None else shlex.join(("dvc", "fetch", *name, "--all-commits"))


def _remote(root: Path) -> tuple[str, ...] | None:
    """What DVC needs to be told of the remote: its name where none is the default; None where there is none.

    DVC is asked, because a remote may also be configured for the user or the whole machine. A configuration
    that it cannot read has none.
    """
    if not (root / ".dvc").is_dir():
        return None
    from dvc.config import Config, ConfigError

    try:
        config = Config(str(root / ".dvc"))
    except (ConfigError, UnicodeDecodeError):
        return None
    remotes = list(config["remote"])
    if not remotes:
        return None
    return () if config["core"].get("remote") in remotes else ("--remote", remotes[0])

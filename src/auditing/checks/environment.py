"""Is this machine like the one that made it? What differs explains a rebuild, and is no fault."""

import json
from importlib import metadata

from src.auditing.target import AuditTarget
from src.auditing.verdict import CheckLog
from src.core.cpus import resolve_threads
from src.core.wording import listed
from src.models.numerics import choose_device, numerics

QUESTION = "Would this machine compute the same bytes?"
SHOWN = 8


def check(subject: AuditTarget, see: CheckLog) -> None:
    """Installed packages against the record, then the numerics fingerprint."""
    _packages(subject, see)
    _numerics(subject, see)


def _packages(subject: AuditTarget, see: CheckLog) -> None:
    wanted = pinned(subject)
    if not wanted:
        see.note("the record has no requirements.lock")
        return
    here = {name: _installed(name) for name in wanted}
    other = {name: version for name, version in here.items() if version != wanted[name]}
    see.agree(f"{len(wanted) - len(other)} of {len(wanted)} packages have the recorded version")
    shown = [f"{name} {version or 'missing'} (recorded {wanted[name]})" for name, version in other.items()]
    if shown:
        see.note(f"other packages: {listed(shown, SHOWN)}")


def pinned(subject: AuditTarget) -> dict[str, str]:
    """{package: version} of the recorded requirements.lock."""
    path = subject.folder / "requirements.lock"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = [line.split("#")[0].split(";")[0].strip().lower().split("==") for line in lines]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def recorded_numerics(subject: AuditTarget) -> dict[str, str]:
    """The fingerprint of the machine that made the model; empty if nobody kept it."""
    runs = [run for run in (subject.run, subject.base) if run is not None]
    tags = [json.loads(run.tags.get("numerics", "{}")) for run in reversed(runs)]
    return {key: str(value) for numerics in tags for key, value in numerics.items()}


def numerics_here(threads: int, precision: str) -> dict[str, str]:
    """The fingerprint of this machine for so many threads."""
    return {key: str(value) for key, value in numerics(choose_device("auto"), threads, precision).items()}


def threads_here(subject: AuditTarget, wanted: int | None = None) -> int:
    """The number of threads of a training here; ``wanted``: what ``auto`` stands for, else all cores."""
    configured = subject.params["train"]["threads"]
    return wanted if wanted and configured == "auto" else resolve_threads(configured)


def different_numerics(recorded: dict[str, str], threads: int) -> list[str]:
    """In what this machine differs, in words."""
    here = numerics_here(threads, recorded.get("precision", "fp32"))
    return [
        f"{key}: {here.get(key)} here, {value} recorded"
        for key, value in sorted(recorded.items())
        if here.get(key) != value
    ]


def _numerics(subject: AuditTarget, see: CheckLog) -> None:
    recorded = recorded_numerics(subject)
    if not recorded:
        see.note("nobody kept the numerics fingerprint of the machine that made it")
        return
    other = different_numerics(recorded, threads_here(subject))
    if other:
        see.note(f"other numerics: {'; '.join(other)}. A rebuild sets the number of threads itself")
    else:
        see.agree("numerics: " + ", ".join(f"{key} {value}" for key, value in sorted(recorded.items())))


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name).split("+")[0]
    except metadata.PackageNotFoundError:
        return None

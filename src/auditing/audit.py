"""One audit from its target to its verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from src.auditing.checks import (
    artifacts,
    code,
    data,
    environment,
    lineage,
    metrics,
    parameters,
    records,
    signature,
)
from src.auditing.rebuild import RebuildResult, rebuild, recorded_threads
from src.auditing.target import AuditTarget
from src.auditing.verdict import Check, CheckLog, Verdict, conclude
from src.core.errors import AssayError

CHECKS = {
    "Lineage": lineage,
    "Records": records,
    "Code": code,
    "Parameters": parameters,
    "Data": data,
    "Artifacts": artifacts,
    "Metrics": metrics,
    "Environment": environment,
    "Provenance": signature,
}
REBUILD = "Rebuild"


@dataclass(frozen=True)
class Audit:
    """What was found out about one subject."""

    subject: AuditTarget
    checks: tuple[Check, ...]
    verdict: Verdict
    trust: str  # what it rests on
    rebuilt: RebuildResult | None
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True)
class RebuildOptions:
    """Whether and how to make it again."""

    rebuild: bool = False
    folder: Path | None = None
    stages: Sequence[str] = ()
    threads: int | None = None  # None: as recorded


def run_audit(
    subject: AuditTarget, wish: RebuildOptions, show: bool, advance: Callable[[str], None]
) -> Audit:
    """Ask every question; ``advance`` is told the name of each check before it begins."""
    checks = []
    for name, part in CHECKS.items():
        advance(name)
        checks.append(Check(name, part.QUESTION, _look(part.check, subject, name)))
    good, rebuilt = Verdict.INTACT, None
    if wish.rebuild:
        advance(REBUILD)
        check, rebuilt = _rebuild(subject, wish, show)
        checks.append(check)
        good = Verdict.IDENTICAL if rebuilt and rebuilt.identical else Verdict.EQUIVALENT
    return Audit(subject, tuple(checks), conclude(checks, good), _trust(checks), rebuilt)


def _look(question: Callable[[AuditTarget, CheckLog], None], subject: AuditTarget, name: str) -> CheckLog:
    """The evidence of one check. A record without files has nothing to look at but its lineage."""
    see = CheckLog()
    if subject.lacks and name != "Lineage":
        see.skipped = f"no {next(iter(subject.lacks))} to check{_remedy(subject)}"
        return see
    try:
        question(subject, see)
    except Exception as error:  # what was tampered with can make any library raise anything
        reason = str(error) if isinstance(error, AssayError) else f"{type(error).__name__}: {error}"
        see.find("the record", "complete and readable", reason, Verdict.INCOMPLETE)
    return see


def _remedy(subject: AuditTarget) -> str:
    return f" yet (run {subject.remedy})" if subject.remedy else ""


def _rebuild(subject: AuditTarget, wish: RebuildOptions, show: bool) -> tuple[Check, RebuildResult | None]:
    see = CheckLog()
    question = "Does it come out the same when it is made again?"
    if subject.lacks:
        see.skipped = f"no {next(iter(subject.lacks))} to rebuild it from{_remedy(subject)}"
        return Check(REBUILD, question, see), None
    numerics = environment.recorded_numerics(subject)
    threads = wish.threads or recorded_threads(numerics)
    try:
        rebuilt = rebuild(subject, wish.folder, wish.stages, threads, show)
    except AssayError as error:
        see.find("the record", "enough to make it again", str(error), Verdict.INCOMPLETE)
        return Check(REBUILD, question, see), None
    used = environment.threads_here(subject, threads)
    _judge(rebuilt, environment.different_numerics(numerics, used), see)
    return Check(REBUILD, question, see), rebuilt


def _judge(rebuilt: RebuildResult, reasons: Sequence[str], see: CheckLog) -> None:
    """Whether what differs is explained by other numerics (``reasons``) and stays within the tolerance."""
    if rebuilt.failure is not None:
        see.find("dvc repro", "every stage made again", rebuilt.failure, Verdict.INCOMPLETE)
        return
    same = [stage.name for stage in rebuilt.stages if not stage.differences]
    if same:
        see.agree(
            f"{len(same)} of {len(rebuilt.stages)} stages made the recorded bytes again: {', '.join(same)}"
        )
    if rebuilt.identical:
        return
    see.note(f"what came out lies in {rebuilt.folder}")
    explained = bool(reasons) and rebuilt.within
    see.note(f"other numerics: {'; '.join(reasons)}" if reasons else "the numerics are the recorded ones")
    for stage in rebuilt.stages:
        for difference in stage.differences:
            if explained:
                see.note(f"{stage.name}: {difference.path}: {difference.text}")
            else:
                see.find(difference.path, f"as {stage.name} wrote it", difference.text, Verdict.DIFFERENT)


def _trust(checks: Sequence[Check]) -> str:
    """What would have to be forged for all of this to be a lie."""
    by_name = {check.name: check for check in checks}
    signed = [text for text in by_name["Provenance"].evidence.agreed if text.startswith("signed by")]
    if signed:
        return f"a signature: {signed[0]}"
    committed = [text for text in by_name["Code"].evidence.agreed if text.startswith("commit ")]
    if committed:
        return (
            f"git for the code ({committed[0].partition(' holds')[0]}); for the rest, on records that agree"
        )
    return "records that agree with each other, and nothing else: no signature, and no commit with the code"

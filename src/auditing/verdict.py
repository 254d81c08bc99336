"""What an audit finds, check by check, and what that makes of the whole."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """The outcome of an audit; ``EXIT_CODE`` has what the command ends with."""

    IDENTICAL = "IDENTICAL"  # remade from its record, every tracked file equal byte for byte
    EQUIVALENT = (
        "EQUIVALENT"  # remade; the numbers are within the tolerance, and other numerics explain the bytes
    )
    INTACT = "INTACT"  # not remade; the record is complete, and all that it names is unchanged
    DIFFERENT = "DIFFERENT"  # remade, and not equal; or a workspace that has moved on from its results
    TAMPERED = "TAMPERED"  # something recorded was changed afterwards
    INCOMPLETE = "INCOMPLETE"  # something that it takes to check or to rebuild it is missing here


EXIT_CODE = {
    Verdict.IDENTICAL: 0,
    Verdict.EQUIVALENT: 0,
    Verdict.INTACT: 0,
    Verdict.DIFFERENT: 1,
    Verdict.TAMPERED: 2,
    Verdict.INCOMPLETE: 3,
}
WORST_FIRST = (Verdict.TAMPERED, Verdict.INCOMPLETE, Verdict.DIFFERENT, Verdict.EQUIVALENT)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was recorded."""

    what: str
    expected: str
    found: str
    verdict: Verdict  # what it makes of the whole


@dataclass
class CheckLog:
    """What one check has looked at. Checks write into it; nothing reads it before they are done."""

    agreed: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # worth knowing; they change no verdict
    skipped: str | None = None  # why there was nothing to look at

    def agree(self, text: str) -> None:
        """Something is as it was recorded."""
        self.agreed.append(text)

    def find(self, what: str, expected: object, found: object, verdict: Verdict) -> None:
        """Something is not."""
        self.findings.append(Finding(what, str(expected), str(found), verdict))

    def equal(self, what: str, expected: object, found: object, verdict: Verdict) -> bool:
        """Whether two say the same; either way it is noted."""
        if expected == found:
            self.agree(f"{what}: {_short(expected)}")
        else:
            self.find(what, _short(expected), _short(found), verdict)
        return expected == found

    def note(self, text: str) -> None:
        """Something that a reader should know."""
        self.notes.append(text)


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    question: str
    evidence: CheckLog

    @property
    def status(self) -> str:
        """PASS, FAIL or SKIPPED."""
        if self.evidence.findings:
            return "FAIL"
        return "SKIPPED" if self.evidence.skipped else "PASS"


def conclude(checks: Iterable[Check], good: Verdict) -> Verdict:
    """The worst that any finding makes of the whole; ``good`` if there is none."""
    found = {finding.verdict for check in checks for finding in check.evidence.findings}
    return next((verdict for verdict in WORST_FIRST if verdict in found), good)


def _short(value: object) -> str:
    """Hashes by their first sixteen digits, and numbers by six: as many as anybody compares by eye."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    hexadecimal = len(text) in (40, 64) and set(text) <= set("0123456789abcdef")
    return text[:16] if hexadecimal else text

"""An audit as JSON (``docs/audit.schema.json``), as a table for the terminal, and as tags of a version."""

import json
import platform
from typing import Any

from src.auditing.audit import Audit
from src.auditing.verdict import EXIT_CODE, Check, Verdict

SCHEMA = "assay-audit-1"
MEANING = {
    Verdict.IDENTICAL: "made again from its record, every tracked file equal byte for byte",
    Verdict.EQUIVALENT: "made again, numbers within the stated tolerance; other numerics explain the bytes",
    Verdict.INTACT: "the record is complete, and everything that it names is unchanged",
    Verdict.DIFFERENT: "not what was recorded",
    Verdict.TAMPERED: "something recorded was changed afterwards",
    Verdict.INCOMPLETE: "something that it takes to check or to rebuild it is missing here",
}
WIDTH = 12


def to_json(audit: Audit) -> str:
    """The whole audit."""
    return json.dumps(to_dict(audit), indent=2, ensure_ascii=False) + "\n"


def to_dict(audit: Audit) -> dict[str, Any]:
    """See ``docs/audit.schema.json``."""
    return {
        "schema": SCHEMA,
        "target": audit.subject.title,
        "stage": audit.subject.stage,
        "time": audit.time,
        "machine": machine(),
        "verdict": audit.verdict.value,
        "exit_code": EXIT_CODE[audit.verdict],
        "meaning": MEANING[audit.verdict],
        "trust": audit.trust,
        "checks": [_check(check) for check in audit.checks],
        "rebuild": _rebuilt(audit),
    }


def to_lines(audit: Audit) -> list[str]:
    """For the terminal: a line a check with its evidence below it, then the verdict."""
    lines = [f"Audit of {audit.subject.title}", ""]
    for check in audit.checks:
        lines.append(f"{check.status:<8} {check.name:<{WIDTH}} {check.question}")
        lines += [f"{'':8} {text}" for text in _below(check)]
    return [*lines, "", f"Trust    rests on {audit.trust}", f"{audit.verdict}: {MEANING[audit.verdict]}"]


def to_tags(audit: Audit) -> dict[str, str]:
    """Of the registered version."""
    return {"audit.verdict": audit.verdict.value, "audit.date": audit.time, "audit.machine": machine()}


def machine() -> str:
    """This machine in a few words, without its name."""
    return f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"


def summary_line(audit: Audit) -> str:
    """One line for ``--all``."""
    failed = [check.name.lower() for check in audit.checks if check.status == "FAIL"]
    return f"{audit.verdict:<10} {audit.subject.title}" + (
        f"   failed: {', '.join(failed)}" if failed else ""
    )


def _below(check: Check) -> list[str]:
    evidence = check.evidence
    lines = [f"- {text}" for text in evidence.agreed]
    lines += [f"! {f.what}: expected {f.expected}, found {f.found} [{f.verdict}]" for f in evidence.findings]
    lines += [f"* {text}" for text in evidence.notes]
    return [*lines, *([f"  {evidence.skipped}"] if evidence.skipped else [])]


def _check(check: Check) -> dict[str, Any]:
    evidence = check.evidence
    return {
        "name": check.name,
        "question": check.question,
        "status": check.status,
        "evidence": evidence.agreed,
        "findings": [
            {"what": f.what, "expected": f.expected, "found": f.found, "verdict": f.verdict.value}
            for f in evidence.findings
        ],
        "notes": evidence.notes,
        "skipped": evidence.skipped,
    }


def _rebuilt(audit: Audit) -> dict[str, Any] | None:
    if audit.rebuilt is None:
        return None
    return {
        "seconds": round(audit.rebuilt.seconds, 1),
        "threads": audit.rebuilt.threads,
        "failure": audit.rebuilt.failure,
        "stages": [
            {
                "name": stage.name,
                "identical": not stage.differences,
                "differences": [
                    {"path": d.path, "text": d.text, "within_tolerance": d.within} for d in stage.differences
                ],
            }
            for stage in audit.rebuilt.stages
        ],
    }

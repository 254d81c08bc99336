"""The audit as one HTML file that needs nothing else: for people who do not read terminals."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, select_autoescape

from src.auditing.audit import Audit
from src.auditing.report import MEANING, SCHEMA, to_dict

TEMPLATE = "html_report.html"
BOX, GAP, HEIGHT = 124, 22, 64  # of the picture, in pixels
LONGEST = 18  # letters in a box


@dataclass(frozen=True)
class Link:
    """One box of the chain of custody."""

    title: str
    text: str
    status: str  # PASS, FAIL or SKIPPED: of the check that speaks of it
    x: int


def write_page(path: Path, audit: Audit) -> None:
    """Write the page."""
    here = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=here, autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
    )
    links = lineage_chain(audit)
    page = environment.get_template(TEMPLATE).render(
        audit=to_dict(audit),
        links=links,
        box=BOX,
        gap=GAP,
        height=HEIGHT,
        width=len(links) * (BOX + GAP) - GAP,
        meanings={verdict.value: meaning for verdict, meaning in MEANING.items()},
        schema=SCHEMA,
    )
    path.write_text(page, encoding="utf-8")


def lineage_chain(audit: Audit) -> list[Link]:
    """From the raw data to the name that people use, each with the check that speaks of it."""
    subject, statuses = audit.subject, {check.name: check.status for check in audit.checks}
    boxes = [("Raw data", _first(subject.raw) if not subject.lacks else "", "Data")]
    boxes += [("Code", _commit(audit), "Code"), ("Settings", "params.yaml", "Parameters")]
    boxes += [
        ("Stages", f"{_number_of_stages(audit)} in dvc.lock", "Lineage"),
        ("Model", subject.stage, "Artifacts"),
    ]
    if subject.run is not None:
        boxes.append(("Run", subject.run.id, "Metrics"))
    if subject.version is not None:
        boxes.append(("Version", f"{subject.version.name} {subject.version.version}", "Provenance"))
        boxes += [("Alias", alias, "Lineage") for alias in subject.version.aliases]
    return [
        Link(title, _cut(text), statuses.get(check, "SKIPPED"), place * (BOX + GAP))
        for place, (title, text, check) in enumerate(boxes)
    ]


def _number_of_stages(audit: Audit) -> int:
    return 0 if audit.subject.lacks else len(audit.subject.behind())


def _commit(audit: Audit) -> str:
    code: Any = next(check for check in audit.checks if check.name == "Code").evidence
    if code.skipped:
        return ""
    found = [text.split()[1] for text in code.agreed if text.startswith("commit ")]
    return f"commit {found[0]}" if found else "never committed"


def _first(names: Any) -> str:
    return str(next(iter(names), ""))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

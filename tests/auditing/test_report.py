"""The report in all its forms, of an audit that the test puts together."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from src.auditing.audit import Audit
from src.auditing.file_comparison import Difference
from src.auditing.html_report import write_page
from src.auditing.rebuild import RebuildResult, StageResult
from src.auditing.report import summary_line, to_dict, to_lines, to_tags
from src.auditing.target import AuditTarget
from src.auditing.verdict import EXIT_CODE, Check, CheckLog, Verdict, conclude

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/audit.schema.json").read_text())


def made(verdict=Verdict.TAMPERED, rebuilt=None):
    good, bad, none = CheckLog(), CheckLog(), CheckLog()
    good.agree("three things agree")
    good.note("<script>alert(1)</script>")
    bad.find("model.onnx", "abc", "abd", Verdict.TAMPERED)
    none.skipped = "nothing is here"
    checks = (
        Check("Code", "Is it?", good),
        Check("Artifacts", "The same?", bad),
        Check("Metrics", "Do they?", none),
    )
    subject = AuditTarget("a title", Path(), Path(), "train", lacks={"record": "none was kept"})
    return Audit(subject, checks, verdict, "records that agree", rebuilt)


REBUILT = RebuildResult(
    Path("/somewhere"),
    12.34,
    2,
    (StageResult("split", ()), StageResult("train", (Difference("models/base/x", "3 layers", True),))),
    None,
)


@pytest.mark.parametrize("rebuilt", [None, REBUILT], ids=["not made again", "made again"])
def test_the_report_keeps_to_its_schema(rebuilt):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(to_dict(made(rebuilt=rebuilt)), SCHEMA)


def test_every_verdict_has_its_exit_code():
    expected = {"IDENTICAL": 0, "EQUIVALENT": 0, "INTACT": 0, "DIFFERENT": 1, "TAMPERED": 2, "INCOMPLETE": 3}
    assert {verdict.value: code for verdict, code in EXIT_CODE.items()} == expected


def test_the_worst_finding_decides():
    def check(*verdicts):
        see = CheckLog()
        for verdict in verdicts:
            see.find("a", "b", "c", verdict)
        return Check("A", "?", see)

    assert conclude([check(), check()], Verdict.INTACT) is Verdict.INTACT
    assert conclude([check(Verdict.DIFFERENT)], Verdict.INTACT) is Verdict.DIFFERENT
    assert (
        conclude([check(Verdict.DIFFERENT), check(Verdict.INCOMPLETE)], Verdict.INTACT) is Verdict.INCOMPLETE
    )
    assert conclude([check(Verdict.INCOMPLETE), check(Verdict.TAMPERED)], Verdict.INTACT) is Verdict.TAMPERED


def test_the_terminal_shows_evidence_findings_and_the_verdict_last():
    lines = to_lines(made())
    assert lines[0] == "Audit of a title"
    assert any(line.startswith("FAIL     Artifacts") for line in lines)
    assert any("! model.onnx: expected abc, found abd [TAMPERED]" in line for line in lines)
    assert lines[-1] == "TAMPERED: something recorded was changed afterwards"
    assert summary_line(made()) == "TAMPERED   a title   failed: artifacts"
    assert to_tags(made())["audit.verdict"] == "TAMPERED"


def test_the_page_stands_alone_and_is_safe(tmp_path):
    write_page(tmp_path / "page.html", made(rebuilt=REBUILT))
    page = (tmp_path / "page.html").read_text()
    assert "<strong>TAMPERED</strong>" in page and "models/base/x: 3 layers (within the tolerance)" in page
    assert not re.search(r"(src|href)=|url\(|@import", page), "it loads nothing"
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert page.count("<rect") == 5

"""The decisions on registered models: an append-only journal that a kill leaves readable."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from src.registry.decisions import (
    Challenge,
    Registration,
    Ruling,
    add_decisions,
    append_decisions,
    as_fields,
    decisions,
    from_fields,
    ruling_on,
)

REGISTRATION = Registration(
    "cats", "onnx_fp32", "lineage", "sha", "cats", "r/1", "e/1", "p/1", time="2026-01-01"
)
CHALLENGE = Challenge("cats", "lineage", "sha", "the best", "auto", {"margin": 0.02}, time="2026-01-02")
RULING = Ruling("cats", "lineage", "sha", True, "non-inferior", "rule", True, "2026-01-02", time="2026-01-04")


def journal(root: Path) -> Path:
    return root / ".assay/journal/registry.jsonl"


def test_nothing_is_decided_at_first(tmp_path: Path) -> None:
    assert decisions(tmp_path) == []


def test_decisions_are_read_as_they_were_made_oldest_first(tmp_path: Path) -> None:
    append_decisions(tmp_path, RULING, CHALLENGE)
    append_decisions(tmp_path, REGISTRATION)
    assert decisions(tmp_path) == [REGISTRATION, CHALLENGE, RULING]
    assert len(journal(tmp_path).read_text().splitlines()) == 3


def test_each_model_has_its_own(tmp_path: Path) -> None:
    other = replace(CHALLENGE, name="dogs")
    append_decisions(tmp_path, CHALLENGE, other)
    assert decisions(tmp_path, "dogs") == [other]
    assert decisions(tmp_path, "birds") == []


def test_those_of_others_are_added_once(tmp_path: Path) -> None:
    append_decisions(tmp_path, REGISTRATION)
    for _ in range(2):
        add_decisions(tmp_path, [CHALLENGE, REGISTRATION])
    assert decisions(tmp_path) == [REGISTRATION, CHALLENGE]
    assert len(journal(tmp_path).read_text().splitlines()) == 2


def test_a_line_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    append_decisions(tmp_path, REGISTRATION)
    with journal(tmp_path).open("a") as file:
        file.write('{"kind": "rul')
    assert decisions(tmp_path) == [REGISTRATION]


def test_fields_of_older_versions_are_left_out_but_not_of_what_comes_from_elsewhere(tmp_path: Path) -> None:
    append_decisions(tmp_path, RULING)
    old = {**as_fields(CHALLENGE), "slack": 1}
    with journal(tmp_path).open("a") as file:
        file.write(json.dumps(old) + "\n")
    assert decisions(tmp_path) == [CHALLENGE, RULING]
    with pytest.raises(TypeError, match="slack"):
        from_fields(old)
    with pytest.raises(KeyError):
        from_fields({**as_fields(CHALLENGE), "kind": "guess"})


@pytest.mark.parametrize("decision", [REGISTRATION, CHALLENGE, RULING])
def test_fields_say_their_kind(decision: Registration | Challenge | Ruling) -> None:
    assert as_fields(decision)["kind"] == type(decision).__name__.lower()
    assert from_fields(json.loads(json.dumps(as_fields(decision)))) == decision


def test_a_challenge_is_answered_by_the_ruling_in_its_own_kind_of_registry(tmp_path: Path) -> None:
    later = replace(RULING, challenge="2026-01-03")
    by_person = replace(RULING, challenge=None, by="person")
    foreign = replace(RULING, name="dogs", embedded=False)
    append_decisions(tmp_path, CHALLENGE, by_person, later, foreign)
    assert ruling_on(tmp_path, CHALLENGE, embedded=True) is None
    append_decisions(tmp_path, RULING)
    assert ruling_on(tmp_path, CHALLENGE, embedded=True) == RULING
    assert ruling_on(tmp_path, CHALLENGE, embedded=False) is None
    assert ruling_on(tmp_path, replace(CHALLENGE, time="2026-01-03"), embedded=True) == later


def test_a_ruling_holds_since_its_challenge_and_a_version_is_known_by_lineage_and_file() -> None:
    assert RULING.since == "2026-01-02"
    assert replace(RULING, challenge=None).since == "2026-01-04"
    assert REGISTRATION.identity == ("lineage", "sha")
    assert REGISTRATION.archived == ("r/1", "e/1", "p/1")


def test_decisions_made_one_after_the_other_have_times_in_that_order() -> None:
    times = [Challenge("cats", None, None, "", "never").time for _ in range(50)]
    assert times == sorted(times)
    assert {len(time) for time in times} == {len("2026-01-01T00:00:00.000000+00:00")}

"""The files of a search: each trial that has ended, and each proposal that is about to run."""

import json

import pytest

from src.core.errors import AssayError
from src.search.engine.records import (
    Proposal,
    Trial,
    TrialResult,
    forget_proposal,
    read_proposals,
    read_trial,
    read_trials,
    settings_key,
    trial_path,
    write_proposal,
    write_trial,
)

DONE = Trial(
    7,
    {"x": 0.1, "widths": [8, 16]},
    TrialResult(
        "pruned", {"val/accuracy": 0.5}, {1: 0.4, 12: 0.5}, 12, {"rung": 1.0}, "pruned after epoch 12"
    ),
    reused=3,
)


def test_equal_settings_have_one_key_in_any_order():
    assert settings_key({"b": [1, 2], "a": None}) == settings_key({"a": None, "b": [1, 2]})
    assert settings_key({"a": [1, 2]}) != settings_key({"a": [2, 1]})


def test_a_trial_is_read_as_it_was_written(tmp_path):
    write_trial(tmp_path, DONE)
    assert [path.name for path in tmp_path.iterdir()] == ["00007.json"]
    assert read_trial(trial_path(tmp_path, 7)) == DONE
    assert TrialResult("failed") == TrialResult("failed", {}, {}, 0, {}, None)


def test_trials_are_known_by_number_and_other_files_are_left_alone(tmp_path):
    for number in (12, 3, 100_000):
        write_trial(tmp_path, Trial(number, {}, TrialResult("complete")))
    write_proposal(tmp_path, Proposal(4, {}))
    for name in ("00005.json.77.tmp", "5x.json", "plan.json"):
        (tmp_path / name).write_text("half")
    found = read_trials(tmp_path)
    assert sorted(found) == [3, 12, 100_000]
    assert all(trial.number == number for number, trial in found.items())


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"number": 1}',
        '{"number": 1, "settings": {}, "outcome": {"state": "complete"}}',
        "7",
    ],
)
def test_a_damaged_trial_is_named(tmp_path, content):
    trial_path(tmp_path, 1).write_text(content)
    with pytest.raises(AssayError, match=r"00001\.json is damaged.*Delete it to run the trial again"):
        read_trials(tmp_path)


def test_a_trial_with_fields_of_another_version_is_damaged(tmp_path):
    write_trial(tmp_path, DONE)
    path = trial_path(tmp_path, 7)
    content = json.loads(path.read_text())
    for changed in ({**content, "new": 1}, {**content, "outcome": {**content["outcome"], "new": 1}}):
        path.write_text(json.dumps(changed))
        with pytest.raises(AssayError, match="is damaged"):
            read_trial(path)


def test_proposals_wait_until_their_trial_has_ended(tmp_path):
    first, second, third = (Proposal(number, {"x": number / 10}) for number in (0, 2, 11))
    for proposal in (third, first, second):
        write_proposal(tmp_path, proposal)
    assert read_proposals(tmp_path, ()) == [first, second, third]
    assert read_proposals(tmp_path, {2, 5}) == [first, third]
    for number in (0, 5):
        forget_proposal(tmp_path, number)  # also one that was never written
    assert read_proposals(tmp_path, ()) == [second, third]
    assert read_trials(tmp_path) == {}


@pytest.mark.parametrize("content", ["{", "[1]", '{"number": 1}', '{"number": 1, "settings": {}, "new": 1}'])
def test_a_damaged_proposal_is_named(tmp_path, content):
    (tmp_path / "00001.begun.json").write_text(content)
    with pytest.raises(AssayError, match=r"00001\.begun\.json is damaged.*another proposal in its place"):
        read_proposals(tmp_path, ())
    assert read_proposals(tmp_path, {1}) == []

"""What a sweep found takes the place of what params.yaml says, and the command line has the last word."""

import pytest
import yaml

from src.config.best_settings import apply_best_settings, read_best_settings, replacements
from src.config.dotted_keys import set_dotted
from src.config.loading import compose, load
from src.core.errors import AssayError
from tests.support.workspaces import ROOT

FOUND = {"train.optimizer.lr": 0.0023, "model.dropout": 0.15, "train.batch_size": 32}


@pytest.fixture(autouse=True)
def _found(tmp_path, monkeypatch):
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/best.yaml").write_text(yaml.safe_dump(FOUND))


def found(*overrides):
    return apply_best_settings(load(overrides or ("seed=0",)), compose()).config


def test_found_settings_take_the_place_of_the_parameters():
    config = found()
    assert (config.train.optimizer.lr, config.model.dropout, config.train.batch_size) == (0.0023, 0.15, 32)
    assert config.train.epochs == compose()["train"]["epochs"]


def test_the_command_line_has_the_last_word():
    assert found("train.optimizer.lr=0.004").train.optimizer.lr == 0.004, "also where it says the default"
    assert found("train.optimizer.lr=0.004").train.batch_size == 32
    assert found("model=lenet").model.dropout == 0.0, "a group has all of its fields"
    assert found("experiment=tiny", "sweep=none").train.batch_size == 64


def test_an_ad_hoc_run_without_search_takes_nothing_over():
    assert found("sweep=none").train.optimizer.lr == 0.004


def test_each_replacement_is_said_with_both_values():
    before = compose()
    after = set_dotted(before, FOUND)
    assert list(replacements(before, after)) == [
        "model.dropout=0.15 (0 in params.yaml)",
        "train.batch_size=32 (64 in params.yaml)",
        "train.optimizer.lr=0.0023 (0.004 in params.yaml)",
    ]


def test_settings_of_another_configuration_are_refused(tmp_path):
    (tmp_path / "sweep/best.yaml").write_text("model.width: 3\n")
    with pytest.raises(AssayError, match=r"no such field: model\.width"):
        found()


@pytest.mark.parametrize("content", ["- 1\n", "a: [\n", None])
def test_a_damaged_file_is_named_with_the_fix(tmp_path, content):
    path = tmp_path / "sweep/best.yaml"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(AssayError, match=r"(?s)sweep/best\.yaml .*dvc repro sweep"):
        read_best_settings()


def test_assigning_changes_a_copy():
    values = {"a": {"b": [1]}, "c": 2}
    assert set_dotted(values, {"a.b": [2], "c": 3}) == {"a": {"b": [2]}, "c": 3}
    assert values == {"a": {"b": [1]}, "c": 2}
    with pytest.raises(AssayError, match=r"a\.x, a\.b\.c"):
        set_dotted(values, {"a.x": 1, "a.b.c": 1, "c": 1})

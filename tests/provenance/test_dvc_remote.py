"""``dvc pull`` is advised where it can work, with the name of the remote that it needs."""

from pathlib import Path

import pytest

from src.provenance.dvc_remote import fetch_older_command, pull_command
from tests.support.remotes import configure_remote


@pytest.fixture(autouse=True)
def _no_remote_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "user"))


def test_without_dvc_or_a_remote_nothing_can_be_pulled(tmp_path: Path) -> None:
    assert pull_command(tmp_path) is None
    (tmp_path / ".dvc").mkdir()
    assert pull_command(tmp_path) is None
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    assert pull_command(tmp_path, "models") is None


def test_the_default_remote_needs_no_name(tmp_path: Path) -> None:
    configure_remote(tmp_path)
    assert pull_command(tmp_path) == "dvc pull"
    assert pull_command(tmp_path, "data/ingest", "models/base") == "dvc pull data/ingest models/base"


def test_another_remote_is_named(tmp_path: Path) -> None:
    configure_remote(tmp_path, "shelf", default=False)
    assert pull_command(tmp_path, "models") == "dvc pull --remote shelf models"


def test_a_remote_of_the_user_counts(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "user").mkdir()
    (tmp_path / "user/config").write_text(
        "[core]\n    remote = own\n['remote \"own\"']\n    url = /nowhere\n"
    )
    assert pull_command(tmp_path) == "dvc pull"


@pytest.mark.parametrize(
    "text", ["broken {", "[core]\n    nonsense = 1\n", "['remote \"a\"']\n    url = nothing://x\n"]
)
def test_a_configuration_that_dvc_cannot_read_has_no_remote(tmp_path: Path, text: str) -> None:
    configure_remote(tmp_path)
    (tmp_path / ".dvc/config.local").write_text(text)
    assert pull_command(tmp_path) is fetch_older_command(tmp_path) is None


def test_names_are_quoted_for_the_shell(tmp_path: Path) -> None:
    configure_remote(tmp_path, "my store", default=False)
    assert pull_command(tmp_path, "a b") == "dvc pull --remote 'my store' 'a b'"
    assert fetch_older_command(tmp_path) == "dvc fetch --remote 'my store' --all-commits"


def test_a_default_that_does_not_exist_is_none(tmp_path: Path) -> None:
    configure_remote(tmp_path, "shelf", default=False)
    (tmp_path / ".dvc/config.local").write_text("[core]\n    remote = gone\n")
    assert pull_command(tmp_path) == "dvc pull --remote shelf"

"""``dvc pull`` is advised where it can work, with the name of the remote that it needs."""

from pathlib import Path

import pytest

from src.provenance.dvc_remote import pull_command
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

"""Clones that the tests start from."""

import shutil
from pathlib import Path

import pytest

from tests.workspaces import Workspace, clone_working_tree


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A fresh clone in which nothing has been run."""
    return clone_working_tree(tmp_path / "clone")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A clone in which ``dvc repro`` of ``experiment=tiny`` has ended well. Look, but change nothing."""
    workspace = clone_working_tree(tmp_path_factory.mktemp("finished") / "first clone")
    workspace.run("python", "-m", "src.compose", "experiment=tiny")
    workspace.summary = workspace.run("dvc", "repro").stdout
    return workspace


@pytest.fixture
def copy(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished pipeline, cache and all, to go on from."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    return Workspace(tmp_path / "copy")

"""Pretrained weights are found in data/weights and in an installed package."""

import sys

import pytest
import torch

from src.core.errors import AssayError
from src.core.hashing import file_hash
from src.pretrained import download
from src.proposal.available_weights import find_available, is_available


@pytest.fixture(autouse=True)
def nothing_at_hand(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in list(download.PACKAGES):  # which may be installed here
        monkeypatch.delitem(download.PACKAGES, name)


def test_without_any_there_are_none(tmp_path):
    assert find_available(tmp_path) is None
    assert is_available("resnet18", tmp_path) == ""


def test_a_file_that_is_named_after_a_model_counts_and_others_do_not(tmp_path):
    torch.save({}, tmp_path / "mine.pth")
    assert find_available(tmp_path) is None
    torch.save({}, tmp_path / "resnet18.pth")
    found = find_available(tmp_path)
    assert found is not None
    assert (found.model, found.path) == ("resnet18", tmp_path / "resnet18.pth")
    assert is_available("resnet18", tmp_path) == str(tmp_path)


def test_a_package_counts_and_a_damaged_one_is_refused(tmp_path, monkeypatch):
    package = tmp_path / "site/weights_in_a_package"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models/a.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(package.parent))
    digest = file_hash(package / "models/a.pth")
    monkeypatch.setitem(download.PACKAGES, "resnet18", (package.name, digest))
    found = find_available(tmp_path)
    assert found is not None
    assert (found.model, found.path) == ("resnet18", package / "models/a.pth")
    assert "the installed package weights_in_a_package" in is_available("resnet18", tmp_path)
    (package / "models/a.pth").write_bytes(b"others")
    with pytest.raises(AssayError, match="has the wrong checksum: install the package again"):
        find_available(tmp_path)
    assert package.name not in sys.modules  # nothing of it was run

"""The command in a clone: real files, a real server, real DVC."""

import gzip
import sys
from pathlib import Path

import pytest

from src.core.hashing import hash_tree
from src.data.ingestion.known_datasets import FASHION_MNIST
from tests.data.test_download import serving
from tests.support.workspaces import Workspace

PACKAGE = Path(FASHION_MNIST.folders[0])
needs_package = pytest.mark.skipif(
    not PACKAGE.is_dir(), reason="needs Debian's package dataset-fashion-mnist"
)


def _fetch(workspace: Workspace, *arguments: str, check: bool = True):
    return workspace.run(sys.executable, "-m", "src.fetch", *arguments, check=check)


@pytest.mark.slow
@needs_package
def test_fashion_mnist_from_a_server_with_the_headers_of_the_public_mirror(workspace: Workspace) -> None:
    files = {}
    for name in FASHION_MNIST.files:
        plain = name.removesuffix(".gz").encode()
        header = b"\x1f\x8b\x08\x08\x13\xe8\xa7Y\x00\x03" + plain + b"\0"  # a name, and a time in 2017
        files[name] = header + (PACKAGE / name).read_bytes()[10:]
    with serving(files) as address:
        done = _fetch(workspace, "fashion_mnist", "--from", "/nowhere", "--mirror", address)
    folder = workspace / "data/raw/fashion_mnist"
    hashes = hash_tree(folder)
    assert {name: hashes[name] for name in FASHION_MNIST.files} == FASHION_MNIST.files
    assert (folder / "classes.txt").read_text().splitlines()[9] == "Ankle boot"
    assert (workspace / "data/raw/fashion_mnist.dvc").is_file()
    assert "dvc exp run -S experiment=fashion_mnist" in done.stdout
    assert workspace.run("git", "status", "--short", "data/raw").stdout.split() == [
        "A",
        "data/raw/fashion_mnist.dvc",
    ]
    again = _fetch(workspace, "fashion_mnist", "--mirror", "http://127.0.0.1:9/nobody")
    assert "was complete already, checksums right" in again.stdout
    assert hash_tree(folder) == hashes


def test_a_wrong_checksum_is_refused_and_nothing_is_left(workspace: Workspace) -> None:
    files = {name: gzip.compress(b"something else") for name in FASHION_MNIST.files}
    with serving(files) as address:
        done = _fetch(workspace, "fashion_mnist", "--mirror", address, check=False)
    assert done.returncode == 1
    assert "train-images-idx3-ubyte.gz from http://127.0.0.1" in done.stderr
    assert "wrong checksum" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in (workspace / "data/raw").iterdir()} == {".gitignore", "digits"}


@pytest.mark.slow
def test_digits_are_made_again_byte_by_byte(workspace: Workspace) -> None:
    committed = hash_tree(workspace / "data/raw/digits")
    for path in (workspace / "data/raw/digits").iterdir():
        path.unlink()
    _fetch(workspace, "digits")
    assert hash_tree(workspace / "data/raw/digits") == committed
    assert len(committed) == 3


def test_unknown_names_are_refused_with_the_known_ones(workspace: Workspace) -> None:
    done = _fetch(workspace, "imagenet", check=False)
    assert done.returncode == 1
    assert "imagenet is neither a data set (digits, fashion_mnist) nor a model of timm" in done.stderr

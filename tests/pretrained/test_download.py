"""Weights from a server that answers as the Hugging Face hub does, and from a file on this machine."""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import timm
from safetensors.torch import save

from tests.support.workspaces import Workspace

NAME, REPOSITORY = "test_resnet", "timm/test_resnet.r160_in1k"


@contextmanager
def hub(content: bytes, digest: str | None = None) -> Iterator[str]:
    """A hub that has ``content`` as the only file, with the SHA-256 ``digest`` as its entity tag."""
    tag = digest or hashlib.sha256(content).hexdigest()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            self._answer(content)

        def _answer(self, body: bytes) -> None:
            if self.path != f"/{REPOSITORY}/resolve/main/model.safetensors":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{tag}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def weights() -> bytes:
    network = timm.create_model(NAME, pretrained=False)
    return save({name: value.contiguous() for name, value in network.state_dict().items()})


def fetch(workspace: Workspace, *arguments: str, hub: str = "http://127.0.0.1:9", check: bool = True):
    return workspace.run(sys.executable, "-m", "src.fetch", *arguments, check=check, HF_ENDPOINT=hub)


@pytest.mark.slow
def test_weights_come_from_the_hub_and_are_tracked(workspace: Workspace, weights: bytes) -> None:
    with hub(weights) as address:
        done = fetch(workspace, NAME, hub=address)
    folder = workspace / "data/weights"
    assert (folder / f"{NAME}.safetensors").read_bytes() == weights
    note = json.loads((folder / f"{NAME}.json").read_text())
    assert note["sha256"] == hashlib.sha256(weights).hexdigest()
    assert note["source"] == f"hf://{REPOSITORY}"
    assert note["model"] == NAME
    said = timm.get_pretrained_cfg(NAME)
    assert note["normalization"] == {"shift": list(said.mean), "scale": list(said.std)}
    assert (folder / f"{NAME}.safetensors.dvc").is_file()
    assert f"model.name={NAME} model.weights=imagenet" in done.stdout
    assert not [path.name for path in folder.iterdir() if path.name.startswith(f".{NAME}")]


@pytest.mark.slow
def test_weights_with_the_wrong_checksum_are_refused_and_nothing_is_left(
    workspace: Workspace, weights: bytes
) -> None:
    before = sorted((workspace / "data/weights").iterdir())
    with hub(weights, digest="0" * 64) as address:
        done = fetch(workspace, NAME, hub=address, check=False)
    assert done.returncode == 1
    assert "wrong checksum" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted((workspace / "data/weights").iterdir()) == before


@pytest.mark.prove
def test_without_a_network_the_message_says_where_to_put_the_file(workspace: Workspace) -> None:
    done = fetch(workspace, NAME, check=False)
    assert done.returncode == 1
    assert f"model.safetensors of {REPOSITORY}" in done.stderr
    assert f"python -m src.fetch {NAME} --from FILE" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.prove
def test_a_file_of_a_person_is_copied(workspace: Workspace, weights: bytes, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_bytes(weights)
    fetch(workspace, NAME, "--from", str(tmp_path / "mine.safetensors"))
    assert (workspace / f"data/weights/{NAME}.safetensors").read_bytes() == weights
    missing = fetch(workspace, NAME, "--from", str(tmp_path), check=False)
    assert f"{NAME}.safetensors or {NAME}.pth" in missing.stderr


@pytest.mark.slow
def test_names_that_nobody_knows_get_near_ones(workspace: Workspace) -> None:
    done = fetch(workspace, "resnet81", check=False)
    assert done.returncode == 1
    assert "resnet18" in done.stderr

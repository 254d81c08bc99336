"""Bringing files from folders and from a real HTTP server, which may fail in every way."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from src.core.errors import AssayError
from src.data.download import GZIP_HEADER, download
from tests.support.workspaces import ROOT

CONTENT = os.urandom(700_000)
PACKED = GZIP_HEADER + gzip.compress(CONTENT, mtime=0)[10:]
FILES = {"one.gz": hashlib.sha256(PACKED).hexdigest(), "two.bin": hashlib.sha256(CONTENT).hexdigest()}
GOOD = {"one.gz": PACKED, "two.bin": CONTENT}


@contextmanager
def serving(
    files: dict[str, bytes], stop_after: int | None = None, hang: str = "", asked: list[str] | None = None
) -> Iterator[str]:
    """A server of ``files``; with ``stop_after`` it breaks off each answer after so many bytes.

    It never finishes the answer for the file ``hang``, and appends each name it is asked for to ``asked``.
    """

    closing = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/base/")
            content = files.get(name)
            if asked is not None:
                asked.append(name)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: 300_000 if name == hang else stop_after])
            if name == hang:
                closing.wait()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/base"
        closing.set()
        server.shutdown()


def _download(folder: Path, *places: str | Path) -> list[str]:
    """Returns what was said."""
    said: list[str] = []
    download(folder, FILES, [str(place) for place in places], folder.parents[1] / "cache", said.append)
    return said


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _arrived(folder: Path) -> bool:
    return {path.name: path.read_bytes() for path in folder.iterdir()} == GOOD


def test_files_from_a_folder_and_from_a_server(tmp_path: Path) -> None:
    _download(tmp_path / "raw/a", _write(tmp_path / "source", GOOD))
    with serving(GOOD) as address:
        _download(tmp_path / "raw/b", address)
    assert _arrived(tmp_path / "raw/a")
    assert _arrived(tmp_path / "raw/b")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["a", "b"]
    assert not (tmp_path / "cache").exists()


def test_names_and_times_in_gzip_headers_do_not_matter(tmp_path: Path) -> None:
    named = b"\x1f\x8b\x08\x08\x13\xe8\xa7Y\x00\x03one\0" + PACKED[10:]
    _download(tmp_path / "raw/a", _write(tmp_path / "source", {**GOOD, "one.gz": named}))
    assert _arrived(tmp_path / "raw/a")


@pytest.mark.slow
def test_the_next_place_is_tried_when_one_lacks_the_files(tmp_path: Path) -> None:
    with serving({}) as empty, serving(GOOD, stop_after=100_000) as broken, serving(GOOD) as good:
        said = _download(
            tmp_path / "raw/a", tmp_path / "nowhere", "http://127.0.0.1:9/x", empty, broken, good
        )
    assert _arrived(tmp_path / "raw/a")
    assert "has no one.gz" in said[0]
    assert (
        "http://127.0.0.1:9/x: Failed to establish a new connection: [Errno 111] Connection refused"
        in said[1]
    )
    assert "404" in said[2]
    assert "IncompleteRead(100000 bytes read" in said[3]
    assert len(said) == 6  # the good place served both files, and no other was asked again


def test_a_server_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with (
        serving(GOOD, stop_after=300_000) as address,
        pytest.raises(AssayError, match=r"no place has one\.gz") as caught,
    ):
        _download(tmp_path / "raw/a", address)
    assert "IncompleteRead(300000 bytes read" in str(caught.value)
    assert "--from DIR" in str(caught.value)
    assert not (tmp_path / "raw").exists()


@pytest.mark.slow
@pytest.mark.parametrize("place", [5, 15, 350_000, -3])
def test_a_flipped_byte_is_refused_and_nothing_is_left(tmp_path: Path, place: int) -> None:
    flipped = bytearray(CONTENT)
    flipped[place] ^= 1
    bad = {**GOOD, "two.bin": bytes(flipped)}
    with serving(bad) as address, pytest.raises(AssayError, match=r"two\.bin from .* has the wrong checksum"):
        _download(tmp_path / "raw/a", address, _write(tmp_path / "good", GOOD))
    assert not (tmp_path / "raw").exists()


def test_a_flipped_byte_in_a_gzip_stream_is_refused(tmp_path: Path) -> None:
    flipped = bytearray(PACKED)
    flipped[len(PACKED) // 2] ^= 0x80
    source = _write(tmp_path / "source", {**GOOD, "one.gz": bytes(flipped)})
    with pytest.raises(AssayError, match="wrong checksum"):
        _download(tmp_path / "raw/a", source)
    assert not (tmp_path / "raw").exists()


KILLED = """
import json, sys
from pathlib import Path
from src.data.download import download

download(Path(sys.argv[1]), json.loads(sys.argv[2]), [sys.argv[3]], Path(sys.argv[4]), print)
"""


def test_a_killed_download_continues_with_the_file_that_was_cut_short(tmp_path: Path) -> None:
    folder, cache = tmp_path / "raw/a", tmp_path / "cache"
    with serving(GOOD, hang="two.bin") as address:
        command = [sys.executable, "-c", KILLED, str(folder), json.dumps(FILES), address, str(cache)]
        process = subprocess.Popen(command, cwd=ROOT)
        wait_until((cache / "one.gz").is_file)
        wait_until(lambda: any(path.stat().st_size for path in cache.glob("tmp*")))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not folder.exists()
    asked: list[str] = []
    with serving(GOOD, asked=asked) as address:
        _download(folder, address)
    assert asked == ["two.bin"]
    assert _arrived(folder)
    assert not cache.exists()


def test_a_damaged_file_is_downloaded_again(tmp_path: Path) -> None:
    _download(tmp_path / "raw/a", _write(tmp_path / "source", GOOD))
    (tmp_path / "raw/a/two.bin").write_bytes(CONTENT[:-1])
    asked: list[str] = []
    with serving(GOOD, asked=asked) as address:
        _download(tmp_path / "raw/a", address)
        _download(tmp_path / "raw/a", address)
    assert asked == ["two.bin"]
    assert _arrived(tmp_path / "raw/a")


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)

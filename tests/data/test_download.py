"""Bringing files from folders and from a real HTTP server, which may fail in every way."""

import gzip
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from src.core.errors import AssayError
from src.data.download import GZIP_HEADER, download, missing_files

CONTENT = os.urandom(700_000)
PACKED = GZIP_HEADER + gzip.compress(CONTENT, mtime=0)[10:]
FILES = {"one.gz": hashlib.sha256(PACKED).hexdigest(), "two.bin": hashlib.sha256(CONTENT).hexdigest()}
GOOD = {"one.gz": PACKED, "two.bin": CONTENT}


@contextmanager
def serving(files: dict[str, bytes], stop_after: int | None = None) -> Iterator[str]:
    """A server of ``files``; with ``stop_after`` it breaks off each answer after so many bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path.removeprefix("/base/"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:stop_after])

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/base"
        server.shutdown()


def _bring(folder: Path, *places: str | Path) -> list[str]:
    said: list[str] = []

    def bar(_: str, __: int | None) -> nullcontext:
        return nullcontext(lambda n: None)

    download(folder, FILES, [str(place) for place in places], said.append, bar)
    return said


def _write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _nothing_left(tmp_path: Path) -> bool:
    return list((tmp_path / "raw").iterdir()) == []


def _arrived(folder: Path) -> bool:
    return {path.name: path.read_bytes() for path in folder.iterdir()} == GOOD


def test_files_from_a_folder_and_from_a_server(tmp_path: Path) -> None:
    _bring(tmp_path / "raw/a", _write(tmp_path / "source", GOOD))
    with serving(GOOD) as address:
        _bring(tmp_path / "raw/b", address)
    assert _arrived(tmp_path / "raw/a")
    assert _arrived(tmp_path / "raw/b")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["a", "b"]
    assert missing_files(tmp_path / "raw/a", FILES) == []


def test_names_and_times_in_gzip_headers_do_not_matter(tmp_path: Path) -> None:
    named = b"\x1f\x8b\x08\x08\x13\xe8\xa7Y\x00\x03one\0" + PACKED[10:]
    _bring(tmp_path / "raw/a", _write(tmp_path / "source", {**GOOD, "one.gz": named}))
    assert _arrived(tmp_path / "raw/a")


def test_the_next_place_is_tried_when_one_lacks_the_files(tmp_path: Path) -> None:
    with serving({}) as empty, serving(GOOD, stop_after=100_000) as broken, serving(GOOD) as good:
        said = _bring(tmp_path / "raw/a", tmp_path / "nowhere", "http://127.0.0.1:9/x", empty, broken, good)
    assert _arrived(tmp_path / "raw/a")
    assert "has no one.gz" in said[0]
    assert "refused" in said[1]
    assert "404" in said[2]
    assert f"broke off after 100000 of {len(PACKED)} bytes" in said[3]
    assert len(said) == 6  # the good place served both files, and no other was asked again


def test_a_server_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with (
        serving(GOOD, stop_after=300_000) as address,
        pytest.raises(AssayError, match=r"no place has one\.gz") as caught,
    ):
        _bring(tmp_path / "raw/a", address)
    assert "broke off after 300000" in str(caught.value)
    assert "--from DIR" in str(caught.value)
    assert _nothing_left(tmp_path)


@pytest.mark.parametrize("place", [5, 15, 350_000, -3])
def test_a_flipped_byte_is_refused_and_nothing_is_left(tmp_path: Path, place: int) -> None:
    flipped = bytearray(CONTENT)
    flipped[place] ^= 1
    bad = {**GOOD, "two.bin": bytes(flipped)}
    with serving(bad) as address, pytest.raises(AssayError, match=r"two\.bin from .* has the wrong checksum"):
        _bring(tmp_path / "raw/a", address, _write(tmp_path / "good", GOOD))
    assert _nothing_left(tmp_path)


def test_a_flipped_byte_in_a_gzip_stream_is_refused(tmp_path: Path) -> None:
    flipped = bytearray(PACKED)
    flipped[len(PACKED) // 2] ^= 0x80
    source = _write(tmp_path / "source", {**GOOD, "one.gz": bytes(flipped)})
    with pytest.raises(AssayError, match="wrong checksum"):
        _bring(tmp_path / "raw/a", source)
    assert _nothing_left(tmp_path)


def test_what_a_killed_fetch_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "raw/.a.part").mkdir(parents=True)
    (tmp_path / "raw/.a.part/half").write_bytes(b"half")
    _bring(tmp_path / "raw/a", _write(tmp_path / "source", GOOD))
    assert _arrived(tmp_path / "raw/a")
    assert not (tmp_path / "raw/.a.part").exists()


def test_a_damaged_file_counts_as_missing(tmp_path: Path) -> None:
    _bring(tmp_path / "raw/a", _write(tmp_path / "source", GOOD))
    (tmp_path / "raw/a/two.bin").write_bytes(CONTENT[:-1])
    assert missing_files(tmp_path / "raw/a", FILES) == ["two.bin"]

"""Decoding in parallel: the same bytes with any number of processes, and none left behind."""

import hashlib
import io
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from src.core.errors import AssayError
from src.data.dataset.arrays import create_array, open_array, pixel_hash
from src.data.ingestion.cleaning import find_unusable
from src.data.ingestion.decoding_pool import DecodedImage, decode_files
from src.data.ingestion.listing import ImageEntry
from src.serving.decoding import ImageFormat, decode
from tests.support.pictures import encoded, noise, write_folder

FORM = ImageFormat(10, 12, 3, "pad", 10**6)


def _decode(folder: Path, paths: list[Path], workers: int) -> tuple[bytes, list[DecodedImage], int]:
    array, done = folder / f"{workers}.npy", []
    create_array(array, (len(paths), 3, 10, 12))
    names = [path.relative_to(folder).as_posix() for path in paths]
    outcomes = decode_files(folder, names, FORM, array, workers, done.append)
    return array.read_bytes(), outcomes, sum(done)


def test_the_result_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    paths = write_folder(tmp_path / "images", {"a": 70, "b": 61})
    paths[5].write_bytes(b"")
    paths[100].write_bytes(paths[100].read_bytes()[:60])
    one, three = _decode(tmp_path, paths, 1), _decode(tmp_path, paths, 3)
    assert one == three
    assert one[2] == 131
    assert [row for row, outcome in enumerate(one[1]) if outcome.reason] == [5, 100]


def test_rows_and_outcomes_are_in_the_order_of_the_paths(tmp_path: Path) -> None:
    paths = write_folder(tmp_path / "images", {"a": 80})[::-1]
    _, outcomes, _ = _decode(tmp_path, paths, 2)
    array = open_array(tmp_path / "2.npy")
    for row, path in enumerate(paths):
        content = path.read_bytes()
        expected = decode(io.BytesIO(content), FORM)
        np.testing.assert_array_equal(array[row], expected.pixels)
        size, original = (expected.width, expected.height), hashlib.sha256(content).hexdigest()
        assert outcomes[row] == DecodedImage(pixel_hash(expected.pixels), *size, original=original)


def test_a_file_that_vanished_is_an_error_and_not_a_corrupt_image(tmp_path: Path) -> None:
    paths = write_folder(tmp_path / "images", {"a": 80})
    paths[70].unlink()
    with pytest.raises(FileNotFoundError, match="0070"):
        _decode(tmp_path, paths, 2)


def test_what_only_looks_like_an_image_counts_as_corrupt(tmp_path: Path) -> None:
    paths = write_folder(tmp_path / "images", {"a": 2})
    (tmp_path / "images/a/broken.png").symlink_to("nowhere.png")
    (tmp_path / "images/a/moving.gif").write_bytes(encoded(noise(0), "gif"))
    others = [tmp_path / "images/a" / name for name in ("broken.png", "moving.gif")]
    outcomes = _decode(tmp_path, [*paths, *others], 1)[1]
    assert [outcome.reason is None for outcome in outcomes] == [True, True, False, False]
    assert outcomes[2].reason == "it cannot be opened: a link to a file that does not exist"
    assert "not a readable image in one of the formats PNG, JPEG, WEBP, BMP" in str(outcomes[3].reason)
    items = [ImageEntry(path.name, "a") for path in (*paths, *others)]
    with pytest.raises(AssayError, match=r"2 of 4 images cannot be used"):
        find_unusable(items, outcomes, on_corrupt="fail", on_conflict="fail")


SCRIPT = """
import sys
from pathlib import Path
from src.data.dataset.arrays import create_array
from src.data.ingestion.decoding_pool import decode_files
from src.serving.decoding import ImageFormat
if __name__ == "__main__":
    names = [Path(sys.argv[1]).name] * 1_000_000
    create_array(Path(sys.argv[2]), (len(names), 3, 10, 12))
    folder, image_format = Path(sys.argv[1]).parent, ImageFormat(10, 12, 3, "pad", 10**6)
    decode_files(folder, names, image_format, Path(sys.argv[2]), 2, lambda n: print(n, flush=True))
"""


def test_killing_the_parent_ends_its_workers(tmp_path: Path) -> None:
    (image,) = write_folder(tmp_path / "images", {"a": 1})
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(image), str(tmp_path / "a.npy")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(Path(__file__).parents[2])}
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()  # decoding has begun
        workers = psutil.Process(parent.pid).children(recursive=True)
        assert len(workers) >= 2
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_alive(worker) for worker in workers):
        time.sleep(0.05)
    assert not [worker for worker in workers if _alive(worker)]


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

"""Compares the speed of ``ingest`` with decoding alone, and measures its memory.

    python -m benchmarks.ingest              about 2 minutes and 0.1 GB of temporary disk on 2 cores
    python -m benchmarks.ingest --quick      2,000 images only, 30 s

Makes 2,000 JPEGs of 500 × 375 pixels (smooth shapes and noise, 40 kB each), links each ten times for 20,000,
and times, one after the other, each in a new process and with the same number of workers:

- decode: Pillow's ``Image.open(path).load()`` of every file and nothing else,
- coarse: the same at the reduced size at which ingest lets JPEG be decoded,
- ingest: listing, decoding, upright turning, resizing to 64 × 64, hashing, array, manifest.

Expected: decode / ingest at 0.8 or more. The peak memory of a worker is the same for 2,000 and 20,000 images;
that of the main process, which keeps the list, grows by about 1 kB for each image.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from src.core.cpus import available_cpus

SIZE = (500, 375)  # width, height
FORM_SIDE = 64
DISTINCT = 2000
CLASSES = 10
WORKERS = available_cpus()
CHUNK = 32
ROUNDS = 3


def make_images(folder: Path, count: int) -> None:
    """``count`` files in ten class folders; beyond ``DISTINCT`` they repeat, within the class."""
    for row in range(CLASSES):
        (folder / str(row)).mkdir(parents=True)
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        list(
            pool.map(_make_image, [folder] * min(count, DISTINCT), range(min(count, DISTINCT)), chunksize=50)
        )
    for row in range(DISTINCT, count):
        os.link(_path(folder, row % DISTINCT), _path(folder, row))


def measure(kind: str, folder: Path) -> dict[str, float]:
    """Seconds and peak memory (MB: this process, its largest worker) of one way, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--once", kind, str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def main() -> None:
    """Make the images, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--once", nargs=2, metavar=("KIND", "DIR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.once:
        print(json.dumps(_once(arguments.once[0], Path(arguments.once[1]))))
        return
    print(f"{WORKERS} workers, JPEG {SIZE[0]}×{SIZE[1]} to {FORM_SIDE}×{FORM_SIDE}, median of {ROUNDS}")
    for count in (2000,) if arguments.quick else (2000, 20000):
        with tempfile.TemporaryDirectory() as scratch:
            make_images(Path(scratch) / "images", count)
            _report(count, Path(scratch) / "images")


def _report(count: int, folder: Path) -> None:
    kinds = ("decode", "coarse", "ingest")
    runs = [{kind: measure(kind, folder) for kind in kinds} for _ in range(ROUNDS)]
    seconds = {kind: statistics.median(run[kind]["seconds"] for run in runs) for kind in kinds}
    memory = [max(run["ingest"][key] for run in runs) for key in ("own_mb", "worker_mb")]
    print(
        f"{count:>6} images: decode {seconds['decode']:.2f} s, coarse {seconds['coarse']:.2f} s, "
        f"ingest {seconds['ingest']:.2f} s ({count / seconds['ingest']:.0f} images/s); "
        f"decode / ingest {seconds['decode'] / seconds['ingest']:.2f}, "
        f"coarse / ingest {seconds['coarse'] / seconds['ingest']:.2f}; "
        f"peak memory of ingest {memory[0]:.0f} MB, of a worker {memory[1]:.0f} MB"
    )


def _once(kind: str, folder: Path) -> dict[str, float]:
    started = time.perf_counter()
    if kind == "ingest":
        _ingest(folder)
    else:
        _decode_all(sorted(folder.rglob("*.jpg")), coarse=kind == "coarse")
    seconds = time.perf_counter() - started
    own, worker = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {"seconds": seconds, "own_mb": own, "worker_mb": worker}


def _ingest(folder: Path) -> None:
    from src.data.ingestion.ingest import CleaningPolicy, ingest
    from src.data.ingestion.sources import read_listing
    from src.serving.decoding import ImageFormat

    form = ImageFormat(FORM_SIDE, FORM_SIDE, 3, "pad", 10**8)
    with tempfile.TemporaryDirectory() as out:
        ingest(
            folder,
            read_listing(folder, "image_folder"),
            form,
            CleaningPolicy("fail", "fail"),
            Path(out),
            workers=WORKERS,
            advance=lambda _: None,
        )


def _decode_all(paths: list[Path], coarse: bool) -> None:
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        list(pool.map(_decode, paths, [coarse] * len(paths), chunksize=CHUNK))


def _decode(path: Path, coarse: bool) -> None:
    with Image.open(path) as image:
        if coarse:
            image.draft(None, (FORM_SIDE, FORM_SIDE * SIZE[1] // SIZE[0]))
        image.load()


def _make_image(folder: Path, row: int) -> None:
    generator = np.random.default_rng(row)
    coarse = generator.integers(0, 256, (SIZE[1] // 20, SIZE[0] // 20, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC), dtype=np.int16)
    noise = generator.integers(-6, 7, smooth.shape, dtype=np.int16)
    Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(_path(folder, row), quality=88)


def _path(folder: Path, row: int) -> Path:
    return folder / str(row % CLASSES) / f"{row:06d}.jpg"


if __name__ == "__main__":
    main()

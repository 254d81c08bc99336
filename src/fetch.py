"""Download a known data set to data/raw/NAME and add it to DVC.

    python -m src.fetch fashion_mnist            30 MB; a second from a folder, longer from the mirror
    python -m src.fetch fashion_mnist --from DIR
    python -m src.fetch digits                   makes the committed files again from scikit-learn

Tries --from DIR, then the folder of Debian's package dataset-fashion-mnist, then the public mirrors.
Every file's SHA-256 is checked, and nothing half-written is left behind. Files that are there already
are checked and kept.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from src.core.errors import AssayError
from src.data.ingestion.known_datasets import DIGITS, KNOWN_DATASETS, KnownDataset

RAW = Path("data/raw")


def main() -> int:
    """Run the command; returns its exit code."""
    arguments = _arguments()
    try:
        if not Path("conf").is_dir():
            raise AssayError("there is no conf/ here: run this in the root of the repository")
        dataset = KNOWN_DATASETS[arguments.name]
        if dataset is DIGITS:
            _make_digits(RAW / dataset.name)
        else:
            _fetch(dataset, _places(dataset, arguments))
    except AssayError as error:
        print(f"\nfetch failed: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m src.fetch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("name", choices=sorted(KNOWN_DATASETS), help="of the data set")
    parser.add_argument("--from", dest="folder", metavar="DIR", help="a folder with the files, tried first")
    parser.add_argument(
        "--mirror", metavar="URL", help="a base address, instead of the package and the mirrors"
    )
    return parser.parse_args()


def _places(dataset: KnownDataset, arguments: argparse.Namespace) -> list[str]:
    """Where to look, in this order."""
    first = [arguments.folder] if arguments.folder else []
    if arguments.mirror:
        return [*first, arguments.mirror]
    return [*first, *dataset.folders, *dataset.mirrors]


def _fetch(dataset: KnownDataset, places: list[str]) -> None:
    from src.data.download import download, missing_files

    folder = RAW / dataset.name
    missing = missing_files(folder, dataset.files)
    if missing:
        download(folder, {name: dataset.files[name] for name in missing}, places, _say, _bar)
    _write_classes(folder, dataset)
    _dvc_add(folder)
    state = "is complete" if missing else "was complete already"
    _say(f"{folder} {state}, checksums right, under DVC. Next: dvc exp run -S experiment={dataset.name}")


def _make_digits(folder: Path) -> None:
    """8×8 digits with 17 levels of grey, spread over 0…255."""
    import numpy as np
    from sklearn.datasets import load_digits

    from src.data.download import parts_folder
    from src.data.ingestion.idx_format import to_bytes

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    with parts_folder(folder) as parts:
        (parts / "images-idx3-ubyte.gz").write_bytes(to_bytes(images))
        (parts / "labels-idx1-ubyte.gz").write_bytes(to_bytes(digits.target.astype(np.uint8)))
        _write_classes(parts, DIGITS)
    _say(f"{folder} is made from scikit-learn; git holds it, so git status shows if anything changed")


def _write_classes(folder: Path, dataset: KnownDataset) -> None:
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in dataset.classes), encoding="utf-8")


def _dvc_add(folder: Path) -> None:
    command = [sys.executable, "-m", "dvc", "add", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise AssayError(
            f"the files are in {folder}, every checksum right, but DVC could not take them over:\n"
            f"{result.stderr.strip() or result.stdout.strip()}\nMend that, then: dvc add {folder}"
        )


def _bar(name: str, size: int | None) -> AbstractContextManager[Callable[[int], None]]:
    from src.core.progress import progress_bar

    return progress_bar(name, size)


def _say(text: str) -> None:
    print(f"{'fetch':<20} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

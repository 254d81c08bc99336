"""Classify images with a registered model.

    python -m src.predict PATHS… [--model models:/NAME@ALIAS] [--out FILE.csv]

PATHS are image files, or folders that are searched with all below them. Prints, or writes to FILE.csv,
the columns path,label,probability. A file that cannot be read is named with the reason and left out;
the exit code is 1 only if nothing could be read at all. Starts in about 4 s, then runs at the speed of
decoding. Without --model: the champion of the registered model that params.yaml names.
"""

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from src.core.errors import AssayError
from src.core.files import replaced
from src.core.progress import progress_bar

if TYPE_CHECKING:
    pass

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
BATCH = 256  # files in memory at once
HEADER = ("path", "label", "probability")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m src.predict", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("paths", nargs="+", type=Path, help="image files, or folders")
    parser.add_argument("--model", help="models:/NAME@ALIAS, models:/NAME/VERSION or runs:/…")
    parser.add_argument("--out", type=Path, help="CSV file to write instead of the terminal")
    arguments = parser.parse_args()
    try:
        classified, found = predict(arguments.paths, arguments.model, arguments.out)
    except AssayError as error:
        sys.exit(f"predict failed: {error}")
    print(f"{classified} of {found} files classified", file=sys.stderr)
    sys.exit(0 if classified else 1)


def predict(paths: Sequence[Path], model: str | None, out: Path | None) -> tuple[int, int]:
    """Classify what is at ``paths``; returns the numbers of files classified and found.

    Raises:
        AssayError: a path is missing, no image is below, or the model cannot be loaded.
    """
    files = find_files(paths)
    root = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    classifier = _load(root, model or _default_model())
    classified = 0
    with _table(out) as rows, progress_bar("Classifying", total=len(files)) as advance:
        for at in range(0, len(files), BATCH):
            batch = files[at : at + BATCH]
            classified += _classify(classifier, batch, rows)
            advance(len(batch))
    return classified, len(files)


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The named files, and the images in the named folders, in order of name; each once.

    Raises:
        AssayError: a path does not exist, or there is no image.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise AssayError(
            f"{', '.join(missing)}: no such file or folder. Name image files or folders with some"
        )
    found = [file for path in paths for file in (_images(path) if path.is_dir() else [path])]
    if not found:
        raise AssayError(
            f"{', '.join(map(str, paths))}: no image in there. Looked for {', '.join(sorted(SUFFIXES))}"
        )
    return list(dict.fromkeys(found))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _default_model() -> str:
    from src.config.loading import load

    return f"models:/{load().config.register_.name}@champion"


def _load(root: Path, model: str) -> Any:
    from src.registry.loading import load_model

    return load_model(root, model)


def _classify(classifier: Any, files: list[Path], rows: Any) -> int:
    """Write a row for each readable file, and a message for each other; returns the number of rows."""
    import pandas as pd

    read = [(file, content) for file in files if (content := _read(file)) is not None]
    if not read:
        return 0
    answers: pd.DataFrame = classifier.predict(pd.DataFrame({"image": [content for _, content in read]}))
    done = 0
    for (file, _), label, probability, error in zip(
        read, answers["label"], answers["probability"], answers["error"], strict=True
    ):
        if error is not None:
            _report(file, error)
            continue
        rows.writerow((file, label, f"{probability:.10g}"))
        done += 1
    return done


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError as error:
        _report(file, error.strerror or str(error))
        return None


def _report(file: Path, reason: str) -> None:
    print(f"{file}: not read: {reason}", file=sys.stderr)


@contextmanager
def _table(out: Path | None) -> Iterator[Any]:
    """A CSV writer on the terminal, or on a file that appears when it is complete."""
    if out is None:
        yield _writer(sys.stdout)
        return
    with replaced(out) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        yield _writer(file)


def _writer(file: TextIO) -> Any:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    return writer


if __name__ == "__main__":
    main()

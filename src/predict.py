"""Classify images with a registered model.

    python -m src.predict PATHS… [--model models:/NAME@ALIAS] [--out FILE.csv]

PATHS are image files, or folders that are searched recursively. The output has the columns
path,label,probability; bytes of a path that are not UTF-8 are escaped. A model with a decision rule adds the
column answer: a class, nothing where the rule gives no answer, or a JSON list for a set of classes. A file
that cannot be read is reported with the reason and left out; the exit code is 1 only if no file could be
classified. The last lines name the rule, if there is one, and the version that has answered, also whether
it was imported from the records of others. Starts in about 4 s, then runs as fast as images can be decoded.
Without --model: the champion of the registered model that params.yaml names.
"""

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from src.core.errors import AssayError, ends_with_message
from src.core.files import printable, replaced
from src.core.progress import progress_bar
from src.core.wording import counted
from src.data.ingestion.listing import ENDINGS, is_hidden, looks_like_image

BATCH = 256  # files in memory at a time
HEADER = ("path", "label", "probability")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m src.predict", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("paths", nargs="+", type=Path, help="image files or folders")
    parser.add_argument("--model", help="models:/NAME@ALIAS, models:/NAME/VERSION or any other URI of MLflow")
    parser.add_argument("--out", type=Path, help="CSV file to write; default: print to the terminal")
    arguments = parser.parse_args()
    with ends_with_message("predict"):
        classified, found, version = predict(arguments.paths, arguments.model, arguments.out)
    print(f"{classified} of {counted(found, 'file')} classified by {version}", file=sys.stderr)
    sys.exit(0 if classified else 1)


def predict(paths: Sequence[Path], model: str | None, out: Path | None) -> tuple[int, int, str]:
    """Classify the images at ``paths``.

    Args:
        paths: files and folders.
        model: MLflow's URI of the model; None: the champion.
        out: CSV file to write; None: print to the terminal.

    Returns:
        The numbers of files that were classified and that were found, and the model's version in words.

    Raises:
        AssayError: a path is missing, there is no image, ``out`` is a folder, or the model cannot be loaded.
    """
    if out is not None and out.is_dir():
        raise AssayError(f"--out {out} is a folder: name a file, such as {out / 'labels.csv'}")
    files = find_files(paths)
    classifier, version = _load(model)
    rule = getattr(classifier.unwrap_python_model(), "rule", None)  # code of before 0.3 has no rules
    classified, header = 0, HEADER if rule is None else (*HEADER, "answer")
    with _table(out, header) as rows, progress_bar("Classifying", total=len(files)) as advance:
        for start in range(0, len(files), BATCH):
            batch = files[start : start + BATCH]
            classified += _classify(classifier, batch, rows)
            advance(len(batch))
    if rule is not None:
        from src.serving.decision import describe  # NumPy

        print(f"answer: {describe(rule)}", file=sys.stderr)
    return classified, len(files), version


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The named files and the images in the named folders, sorted within each folder, each once.

    Raises:
        AssayError: a path does not exist, or there is no image.
    """
    missing = [printable(path) for path in paths if not path.exists()]
    if missing:
        raise AssayError(
            f"{', '.join(missing)}: no such file or folder. Name image files or folders of images"
        )
    found = [file for path in paths for file in (_images(path) if path.is_dir() else [path])]
    if not found:
        raise AssayError(f"{', '.join(map(str, paths))}: no images found. Searched for {', '.join(ENDINGS)}")
    return list(dict.fromkeys(found))


def _images(folder: Path) -> list[Path]:
    """Every file that looks like one, as ingest sees it: in no hidden folder."""
    return sorted(
        path
        for path in folder.rglob("*")
        if looks_like_image(path.name)
        and path.is_file()
        and not any(map(is_hidden, path.relative_to(folder).parts))
    )


def _load(model: str | None) -> tuple[Any, str]:
    """The model, and the URI of its version, because an alias may move while it answers; with its origin."""
    from src.config.loading import load
    from src.registry.loading import describe_version, load_model, pin_version

    root = Path(os.environ.get("DVC_ROOT") or Path.cwd())
    version = pin_version(root, model or f"models:/{load().config.register_.name}@champion")
    return load_model(root, version), describe_version(root, version)


def _classify(classifier: Any, files: list[Path], rows: Any) -> int:
    """Write a row for each image and report each file that is not one; returns the number of rows."""
    import pandas as pd

    read = [(file, content) for file in files if (content := _read(file)) is not None]
    if not read:
        return 0
    table: pd.DataFrame = classifier.predict(pd.DataFrame({"image": [content for _, content in read]}))
    written = 0
    answers = [[_text(answer)] for answer in table["answer"]] if "answer" in table else [[]] * len(table)
    for (file, _), label, probability, answer, error in zip(
        read, table["label"], table["probability"], answers, table["error"], strict=True
    ):
        if error is not None:
            _report(file, error)
            continue
        rows.writerow((printable(file), label, f"{probability:.10g}", *answer))
        written += 1
    return written


def _text(answer: str | list[str] | None) -> str | None:
    return json.dumps(answer, ensure_ascii=False) if isinstance(answer, list) else answer


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError as error:
        _report(file, error.strerror or str(error))
        return None


def _report(file: Path, reason: str) -> None:
    print(f"{printable(file)}: not classified: {reason}", file=sys.stderr)


@contextmanager
def _table(out: Path | None, header: Sequence[str]) -> Iterator[Any]:
    """Yield a CSV writer for the terminal, or for a file that appears once it is complete."""
    if out is None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # not all can show é
        yield _writer(sys.stdout, header)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with replaced(out) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        yield _writer(file, header)


def _writer(file: TextIO, header: Sequence[str]) -> Any:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    return writer


if __name__ == "__main__":
    main()

"""A ``labels.csv`` with the columns path,label[,split,group]; paths are relative to its folder.

All other columns are kept, for `evaluate.subgroups`.
"""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

from src.core.errors import AssayError
from src.core.files import printable
from src.core.hashing import IGNORED
from src.core.wording import counted
from src.data.ingestion.listing import SPLITS, ImageEntry, Listing, normalized_name, shortened, split_of

REQUIRED = ("path", "label")
OPTIONAL = ("split", "group")
NOT_KEPT = (*REQUIRED, "split", "")  # as the manifest has them; "": a comma at the end of the line


def list_csv(folder: Path, subject: str | None = None) -> Listing:
    """List a data set with this layout. Raises ``AssayError`` with all faults of the table.

    Args:
        folder: of the data set.
        subject: the column that says which subject an image shows; ignored if the table has no such column.
    """
    table = folder / "labels.csv"
    rows = _read_csv(table)
    header = _header(rows)
    _check_header(table, header)
    items: list[ImageEntry] = []
    faults: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for line, row in rows:
        item = _csv_item(folder, line, row, header, subject, faults)
        if item is not None and seen.setdefault((item.source, item.label), line) == line:
            items.append(item)
        elif item is not None:
            earlier = seen[item.source, item.label]
            faults.append(f"line {line}, column path: {item.source} is also in line {earlier}")
    _refuse_faults(table, faults)
    if not items:
        raise AssayError(f"{table} lists no images. Add a line for each image: path,label")
    classes, columns = sorted({item.label for item in items}), _kept(header)
    return Listing(classes, items, _unlisted(folder, items), columns=columns)


def column_names(folder: Path) -> list[str]:
    """The header of ``labels.csv``."""
    return _header(_read_csv(folder / "labels.csv"))


def _header(rows: Iterator[tuple[int, list[str]]]) -> list[str]:
    return [normalized_name(name.strip()) for name in next(rows, (0, []))[1]]


def _kept(header: list[str]) -> list[str]:
    return [name for name in header if name not in NOT_KEPT]


def _read_csv(table: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of each line that is not empty, the header first."""
    if not table.is_file():
        raise AssayError(
            f"{table} is missing. It needs a header path,label[,split,group] and a line for each image"
        )
    try:
        text = table.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        yield from ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise AssayError(f"{table}, line {line}: not UTF-8. Save the file as UTF-8") from error
    except csv.Error as error:
        raise AssayError(
            f"{table}, line {reader.line_num}: {error}. Save it as CSV with commas and double quotes"
        ) from error


def _check_header(table: Path, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise AssayError(
            f"{table}, line 1: column {', '.join(missing)} is missing; found {', '.join(header) or 'none'}. "
            f"The header must be path,label[,split,group]"
        )
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise AssayError(f"{table}, line 1: column {', '.join(twice)} appears twice. Keep one")


def _csv_item(
    folder: Path, line: int, row: list[str], header: list[str], subject: str | None, faults: list[str]
) -> ImageEntry | None:
    """The image of a line; None if a cell is wrong, with a message in ``faults`` for each."""
    if len(row) != len(header):
        faults.append(
            f"line {line}: {counted(len(row), 'cell')}, but the header has {counted(len(header), 'column')}"
        )
        return None
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True)}
    wrong = [(column, reason) for column, reason in _cell_faults(folder, cells) if reason]
    faults += [f"line {line}, column {column}: {reason}" for column, reason in wrong]
    if wrong:
        return None
    path = os.path.normpath(cells["path"]).replace(os.sep, "/")
    label, group, shown = (normalized_name(cells.get(name or "", "")) for name in ("label", "group", subject))
    kept = tuple(normalized_name(cells[name]) for name in _kept(header))
    return ImageEntry(path, label, split_of(cells.get("split", "")), group or None, shown or None, kept)


def _cell_faults(folder: Path, cells: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield "path", _path_fault(folder, cells["path"])
    yield "label", "" if cells["label"] else "empty"
    split = cells.get("split", "")
    yield (
        "split",
        "" if not split or split_of(split) else f"{split} is neither empty nor one of {', '.join(SPLITS)}",
    )


def _path_fault(folder: Path, path: str) -> str:
    if not path:
        return "empty"
    if Path(path).is_absolute() or os.path.normpath(path).startswith(".."):
        return f"{path} is outside {folder}, the folder that DVC tracks"
    return "" if (folder / path).is_file() else f"{path} is not in {folder}"


def _refuse_faults(table: Path, faults: list[str]) -> None:
    if not faults:
        return
    raise AssayError(f"{table} has {counted(len(faults), 'fault')}. Fix these lines:\n{shortened(faults)}")


def _unlisted(folder: Path, items: list[ImageEntry]) -> list[str]:
    listed = {item.source for item in items} | {"labels.csv"}
    files = (path for path in folder.rglob("*") if path.is_file() and not IGNORED & set(path.parts))
    names = (path.relative_to(folder).as_posix() for path in files)
    return sorted(printable(name) for name in names if name not in listed)

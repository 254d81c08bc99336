"""How a folder of images is laid out, found by looking at it."""

from pathlib import Path

from src.core.errors import AssayError
from src.data.ingestion.idx_source import IMAGES, PREFIXES
from src.data.ingestion.listing import entries, is_hidden, looks_like_image, split_of
from src.data.ingestion.sources import Source

LAYOUTS = """\
  FOLDER/CLASS/IMAGE.png                         a folder for each class
  FOLDER/{{train,val,test}}/CLASS/IMAGE.png        the same, with given splits
  FOLDER/labels.csv                              columns path,label[,split,group]
  FOLDER/{images}.gz              idx files, beside their labels"""


def find_source(folder: Path) -> Source:
    """``csv``, ``idx`` or ``image_folder``: what ``data.source`` must be for this folder.

    Raises:
        AssayError: it is not a folder, or has none of the layouts.
    """
    if not folder.is_dir():
        what = "is a file: unpack it, and name the folder" if folder.exists() else "is missing"
        raise AssayError(f"{folder} {what}")
    found = [entry for entry in entries(folder) if not is_hidden(entry.name)]
    names = {entry.name for entry in found}
    if "labels.csv" in names:
        return "csv"
    if any(f"{prefix}{IMAGES}{ending}" in names for prefix in PREFIXES for ending in ("", ".gz")):
        return "idx"
    folders = [Path(entry.path) for entry in found if entry.is_dir()]
    if not folders:
        raise AssayError(_loose(folder, sum(looks_like_image(name) for name in names)))
    if len(folders) == 1 and not split_of(folders[0].name) and _holds_folders(folders[0]):
        raise AssayError(
            f"{folder} holds nothing but the folder {folders[0].name}, which holds folders itself: name that "
            f"one, {folders[0]}"
        )
    return "image_folder"


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() and not is_hidden(entry.name) for entry in entries(folder))


def _loose(folder: Path, images: int) -> str:
    held = f"{images:,} images, but no folders that say their classes" if images else "no images"
    return f"{folder} has {held}. The layouts are:\n{LAYOUTS.format(images=IMAGES)}"

"""What a folder of images holds: layout, classes, formats, sizes, colors, copies."""

import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from src.core.errors import AssayError
from src.data.dataset.arrays import create_array, open_array
from src.data.dataset.index import DatasetIndex
from src.data.ingestion import idx_format
from src.data.ingestion.cleaning import find_conflicts
from src.data.ingestion.decoding_pool import DecodedImage, decode_files
from src.data.ingestion.ingest import fit_block
from src.data.ingestion.listing import Listing
from src.data.ingestion.sources import Source, read_listing
from src.data.splitting.leakage import near_pairs
from src.proposal.layout import find_source
from src.proposal.subject_guess import SubjectGuess, guess_subject
from src.serving.decoding import ImageFormat

SIDES = (32, 48, 64, 96, 128)  # pixels, of square images; above that the time decides, see proposal.py
SMALL = 64  # pixels: up to here images of one size keep it
SAMPLE = 4000  # images that are decoded, at most
SAMPLE_BYTES = 256 * 2**20  # of their pixels
MAX_PIXELS = 100_000_000  # as in conf/data/image_folder.yaml
GRAY_LEVELS = 8  # by which the channels of a gray image may differ: JPEG rounds them
VAL = 0.15  # share of validation images, as in conf/split/default.yaml
COLORED = 0.02  # share of the images that must have color for RGB to be worth it

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Inspection:
    """What was found; ``rows`` are the rows of the listing whose images were decoded and can be used.

    Attributes:
        images: (M, 3, height, width) of those rows.
        original_sizes: (M, 2) width and height, pixels, upright.
        colored: (M,) whether an image has color.
        formats: of all files that were decoded, such as PNG: their number.
        transparent: images with transparent parts.
        unreadable: file and reason, of images that were tried.
        conflicts: files with equal pixels in two classes, one line for each group.
        near: (P, 2) places in ``rows`` of near copies.
        formats_by_class: class -> its formats.
    """

    folder: Path
    source: Source
    listing: Listing
    rows: NDArray[np.int64]
    images: Images
    original_sizes: NDArray[np.int64]
    colored: NDArray[np.bool_]
    formats: Counter[str]
    formats_by_class: dict[str, set[str]]
    transparent: int
    unreadable: list[str]
    conflicts: list[str]
    conflicting: frozenset[int]  # places in rows
    near: NDArray[np.int64]
    digests: NDArray[np.str_]
    originals: list[str]
    subject: SubjectGuess | None

    @property
    def complete(self) -> bool:
        """Whether all images were looked at, not a sample."""
        return len(self.rows) + len(self.unreadable) == len(self.listing.items)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of ``images``."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def channels(self) -> Literal[1, 3]:
        """1 if hardly any image has color."""
        return 3 if self.colored.mean() > COLORED else 1

    @property
    def counts(self) -> Counter[str]:
        """Images of each class, in the order of the classes."""
        found = Counter(item.label for item in self.listing.items)
        return Counter({name: found[name] for name in self.listing.classes})

    @property
    def validation_images(self) -> int:
        """Those that are given, or about as many as will be drawn."""
        given = sum(item.given_split == "val" for item in self.listing.items)
        return given or int(VAL * len(self.listing.items))

    @property
    def duplicates(self) -> int:
        """Images that repeat an earlier one."""
        return len(self.digests) - len(set(self.digests.tolist()))

    def index(self) -> DatasetIndex:
        """The images without those that contradict each other, as stage ``split`` will see them."""
        kept = [place for place in range(len(self.rows)) if place not in self.conflicting]
        items = [self.listing.items[self.rows[place]] for place in kept]
        target = {name: number for number, name in enumerate(self.listing.classes)}
        return DatasetIndex(
            classes=self.listing.classes,
            ids=np.arange(len(kept)),
            sources=[item.source for item in items],
            targets=np.array([target[item.label] for item in items], np.int64),
            digests=self.digests[kept],
            given_splits=[item.given_split for item in items],
            group_names=[item.group for item in items],
            subjects=[item.subject for item in items],
            originals=[self.originals[place] for place in kept],
        )


def inspect(folder: Path, workers: int, advance: Callable[[int], None]) -> Inspection:
    """List the folder, decode its images (a sample of them, if they are many) and compare them.

    Args:
        folder: anywhere; nothing is written to it.
        workers: processes that decode.
        advance: gets the number of images that were decoded.

    Raises:
        AssayError: it cannot be used for training; everything of one kind is listed.
    """
    source = find_source(folder)
    listing = read_listing(folder, source)
    subject = guess_subject(folder, listing, source)
    if subject is not None and subject.obvious:
        listing = read_listing(folder, source, subject.subject)
    headers = _headers(folder, listing)
    height, width = _fitting_size([size for _, size, _ in headers.values()])
    chosen = _sample(len(listing.items), height * width * 3)
    image_format = ImageFormat(height, width, 3, "pad", MAX_PIXELS, "edge")
    images, outcomes = _decode(folder, listing, chosen, image_format, workers, advance)
    good = [place for place, outcome in enumerate(outcomes) if outcome.reason is None]
    if not good:
        raise AssayError(f"none of the images in {folder} can be read, such as {_reason(listing, outcomes)}")
    items, kept = [listing.items[row] for row in chosen], [outcomes[place] for place in good]
    groups = find_conflicts([each.digest for each in kept], [items[place].label for place in good])
    looked = [row for row in chosen if row in headers]
    return Inspection(
        folder=folder,
        source=source,
        listing=listing,
        rows=np.array([chosen[place] for place in good], np.int64),
        images=images[good],
        original_sizes=np.array([(each.width, each.height) for each in kept], np.int64),
        colored=_has_color(images[good]),
        formats=Counter(headers[row][0] for row in looked),
        formats_by_class=_by_class(listing, {row: headers[row][0] for row in looked}),
        transparent=sum(headers[row][2] for row in looked),
        unreadable=[
            f"{items[place].source}: {each.reason}" for place, each in enumerate(outcomes) if each.reason
        ],
        conflicts=[
            " = ".join(f"{items[good[row]].source} ({items[good[row]].label})" for row in group)
            for group in groups
        ],
        conflicting=frozenset(row for group in groups for row in group),
        near=near_pairs(images[good], 0.995),
        digests=np.array([each.digest for each in kept]),
        originals=[each.original or "" for each in kept],
        subject=subject,
    )


def _headers(folder: Path, listing: Listing) -> dict[int, tuple[str, tuple[int, int], bool]]:
    """Row -> (format, (width, height), whether parts are transparent), of a sample; no pixel is decoded."""
    if listing.arrays:
        _, height, width = idx_format.read_shape(listing.arrays[0], 3)
        return dict.fromkeys(_sample(len(listing.items), 1), ("idx", (width, height), False))
    found = {}
    with warnings.catch_warnings(action="ignore"):  # about odd metadata, which do not affect the pixels
        for row in _sample(len(listing.items), 1):
            try:
                with Image.open(folder / listing.items[row].source) as image:
                    found[row] = image.format or "", image.size, image.has_transparency_data
            except Exception:  # parsers raise nearly every kind of error; decoding will say why
                continue
    if not found:
        raise AssayError(f"none of the images in {folder} can be read, such as {listing.items[0].source}")
    return found


def _sample(count: int, image_bytes: int) -> list[int]:
    """All rows, or as many as are quickly decoded, evenly spread."""
    most = max(1, min(SAMPLE, SAMPLE_BYTES // image_bytes))
    return list(range(count)) if count <= most else np.linspace(0, count - 1, most).astype(int).tolist()


def _fitting_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Height and width: those of small images of one size, else the largest square that most images fill."""
    if len(set(sizes)) == 1 and max(sizes[0]) <= SMALL:
        return sizes[0][1], sizes[0][0]
    median = float(np.median([max(size) for size in sizes]))
    side = max((side for side in SIDES if side <= median), default=SIDES[0])
    return side, side


def _decode(
    folder: Path,
    listing: Listing,
    chosen: list[int],
    image_format: ImageFormat,
    workers: int,
    advance: Callable[[int], None],
) -> tuple[Images, list[DecodedImage]]:
    if listing.arrays:
        return _read_arrays(listing, chosen, image_format)
    with tempfile.TemporaryDirectory() as place:
        array = Path(place) / "images.npy"
        shape = (len(chosen), image_format.channels, image_format.height, image_format.width)
        create_array(array, shape)
        names = [listing.items[row].source for row in chosen]
        outcomes = decode_files(folder, names, image_format, array, workers, advance)
        return np.array(open_array(array)), outcomes


def _read_arrays(
    listing: Listing, chosen: list[int], image_format: ImageFormat
) -> tuple[Images, list[DecodedImage]]:
    """The chosen images of the idx files, which lie one file after the other."""
    images, outcomes, first, wanted = list[Images](), list[DecodedImage](), 0, np.array(chosen)
    for source in listing.arrays:
        for block in idx_format.read_images(source, MAX_PIXELS):
            places = wanted[(wanted >= first) & (wanted < first + len(block))] - first
            first += len(block)
            fitted, found = fit_block(block[places], image_format)
            images.append(fitted)
            outcomes += found
    return np.concatenate(images), outcomes


def _has_color(images: Images) -> NDArray[np.bool_]:
    """Whether channels differ somewhere, (M,)."""
    least, most = images.min(axis=1), images.max(axis=1)
    colored: NDArray[np.bool_] = ((most - least) > GRAY_LEVELS).any(axis=(1, 2))
    return colored


def _by_class(listing: Listing, formats: dict[int, str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row, name in formats.items():
        found.setdefault(listing.items[row].label, set()).add(name)
    return found


def _reason(listing: Listing, outcomes: Sequence[DecodedImage]) -> str:
    return f"{listing.items[0].source}: {outcomes[0].reason}"

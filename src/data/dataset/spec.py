"""What artifacts must agree on before they are joined: order of the classes, image format, normalization.

A prediction is a number, and means what its model's list of classes has at that place. Counts and shapes
cannot tell that a class was renamed or that the images were decoded again, so every artifact carries a
`DataSpec`, and code that joins two of them calls `require_match`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.core.errors import AssayError
from src.core.files import read_json
from src.core.hashing import file_hash
from src.data.dataset.arrays import open_array

if TYPE_CHECKING:
    import pyarrow

KEY = b"assay.data"  # of the metadata of a parquet file
PREDICTIONS = "predictions.parquet"
SHOWN = 80  # characters of a value in a message


@dataclass(frozen=True)
class DataSpec:
    """What an artifact says about its data; None or an absent key: it does not say.

    Attributes:
        classes: Their names, in the order of the targets.
        input: channels, height, width, and how the images were fitted to that, such as resize_mode.
        normalization: shift and scale, one value for each channel.
        images: SHA-256 of the manifest: which image is in which row.
        split: SHA-256 of splits.parquet: which row is in which split.
    """

    classes: list[str] | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    normalization: Mapping[str, list[float]] | None = None
    images: str | None = None
    split: str | None = None


def describe_data(ingest: Path) -> DataSpec:
    """The spec of what stage ``ingest`` wrote into this folder.

    Raises:
        AssayError: The images cannot be read.
    """
    report, images = read_json(ingest / "report.json"), ingest / "images.npy"
    shape = open_array(images).shape[1:] if images.is_file() else ()
    form = report.get("input", {}) | dict(zip(("channels", "height", "width"), shape, strict=False))
    return DataSpec(report["classes"], form, images=file_hash(ingest / "manifest.parquet"))


def describe_split(ingest: Path, split: Path) -> DataSpec:
    """The same, with what stage ``split`` made of it."""
    return replace(describe_data(ingest), split=file_hash(split / "splits.parquet"))


def describe_model(folder: Path) -> DataSpec:
    """What ``model.json`` asks of data. (The model's limit of pixels changes no result.)

    Raises:
        AssayError: The file is missing or damaged.
    """
    path = folder / "model.json"
    try:
        content = read_json(path)
        form = {name: value for name, value in content["input"].items() if name != "max_pixels"}
        _ = [form[name] for name in ("channels", "height", "width", "resize_mode")]  # KeyError
        return DataSpec(
            content["classes"], form, content.get("normalization"), **content.get("trained_on", {})
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AssayError(
            f"{path} cannot be read ({type(error).__name__}: {error}): restore it with `dvc checkout`, or "
            "make it again with `dvc repro`"
        ) from error


def describe_predictions(model: Path, data: DataSpec) -> DataSpec:
    """What a model's predictions for ``data`` say about both."""
    return replace(data, normalization=describe_model(model).normalization)


def differences(one: DataSpec, other: DataSpec) -> Iterator[tuple[str, Any, Any]]:
    """(what, value of one, value of the other) of everything that both state differently."""
    for name in ("classes", "normalization", "images", "split"):
        mine, others = getattr(one, name), getattr(other, name)
        if mine is not None and others is not None and mine != others:
            yield name, mine, others
    for name in one.input:
        if name in other.input and one.input[name] != other.input[name]:
            yield name, one.input[name], other.input[name]


def require_match(first: tuple[Path, DataSpec], *others: tuple[Path, DataSpec]) -> None:
    """Compare the spec of each artifact with that of the first; all are given with their path.

    Raises:
        AssayError: They differ; everything that does is listed.
    """
    place, spec = first
    faults = [
        f"  {name}: {place} has {_short(mine)}, {path} has {_short(theirs)}"
        for path, other in others
        for name, mine, theirs in differences(spec, other)
    ]
    if faults:
        raise AssayError(
            "these results do not belong together:\n"
            + "\n".join(faults)
            + "\nMake what is outdated again: dvc repro"
        )


def require_same_data(
    base: Path, ingest: Path, split: Path, variants: Iterable[Path], data: DataSpec | None = None
) -> DataSpec:
    """Compare the data that are here with a base model and with the predictions of its variants.

    Args:
        base: folder of the base model, or of a variant.
        ingest: folder of that stage.
        split: folder of that stage.
        variants: their folders; one without predictions has failed.
        data: what `describe_split` says of the data; None: not known yet.

    Returns:
        What `describe_split` says of the data.

    Raises:
        AssayError: They are of other data; everything that differs is listed.
    """
    data = data or describe_split(ingest, split)
    require_match((ingest, data), (base, describe_model(base)))
    tables = [folder / PREDICTIONS for folder in variants if (folder / PREDICTIONS).is_file()]
    require_match((base, describe_predictions(base, data)), *((path, read_spec(path)) for path in tables))
    return data


def with_spec(table: "pyarrow.Table", spec: DataSpec) -> "pyarrow.Table":
    """The table with the spec in its metadata, which `read_spec` finds in the file."""
    text = json.dumps(asdict(spec), ensure_ascii=False, sort_keys=True)
    return table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: text.encode()})


def read_spec(table: Path) -> DataSpec:
    """The spec in the metadata of a parquet file; an empty one if it has none.

    Raises:
        AssayError: The file is missing or damaged.
    """
    from pyarrow import parquet

    try:
        text = (parquet.read_schema(table).metadata or {}).get(KEY)
        return DataSpec() if text is None else DataSpec(**json.loads(text))
    except (OSError, ValueError, TypeError) as error:  # pyarrow's errors are ValueErrors
        raise AssayError(f"{table} cannot be read ({error}). Make it again: dvc repro") from error


def _short(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"

"""Download a known data set to data/raw, or pretrained weights to data/weights, and add them to DVC.

    python -m src.fetch fashion_mnist            30 MB; a second from a folder, longer from a mirror
    python -m src.fetch fashion_mnist --from DIR
    python -m src.fetch digits                   recreates the committed files from scikit-learn
    python -m src.fetch resnet18                 weights of any timm model, for model.weights=imagenet
    python -m src.fetch resnet18 --from FILE     the same from a file that you have
    python -m src.fetch models:/NAME@champion    the weights behind a registered model

Tries --from DIR, then the folder of Debian's package dataset-fashion-mnist, then the public mirrors.
Every SHA-256 is verified; files that are already there are verified and kept. A download that was stopped
continues with the next file when the command runs again. Weights come from the Hugging Face hub.
"""

import argparse
from pathlib import Path

from src.core.errors import AssayError, ends_with_message
from src.core.files import replaced
from src.data.download import download
from src.data.ingestion.known_datasets import DIGITS, KNOWN_DATASETS, KnownDataset
from src.pipeline.paths import RAW, WEIGHTS
from src.provenance.dvc_add import dvc_add

CACHE = Path(".assay/downloads")


def main() -> None:
    """Run the command."""
    arguments = _arguments()
    with ends_with_message("fetch"):
        if not Path("conf").is_dir():
            raise AssayError("conf/ is missing: run this in the root of the repository")
        dataset = KNOWN_DATASETS.get(arguments.name)
        if dataset is None:
            _fetch_weights(arguments.name, arguments.folder)
        elif dataset is DIGITS:
            _write_digits(RAW / dataset.name)
        else:
            _fetch(dataset, _places(dataset, arguments))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m src.fetch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "name", help=f"{', '.join(sorted(KNOWN_DATASETS))}, a model of timm, or models:/NAME@ALIAS"
    )
    parser.add_argument("--from", dest="folder", metavar="PATH", help="a folder with the files, or the file")
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

    folder = RAW / dataset.name
    downloaded = download(folder, dataset.files, places, CACHE / dataset.name, _say)
    _write_classes(folder, dataset)
    dvc_add(folder)
    state = "is complete" if downloaded else "was complete already"
    _say(f"{folder} {state}, checksums right, tracked by DVC. Next: dvc exp run -S experiment={dataset.name}")


def _fetch_weights(name: str, source: str | None) -> None:
    if name.startswith("models:/"):
        from src.registry.base_weights import fetch_base_weights  # MLflow takes seconds

        path = fetch_base_weights(Path.cwd(), name, WEIGHTS)
        setting = f"model.weights={path.name}"
    else:
        from src.pretrained.download import fetch_imagenet_weights  # timm takes a second

        path = fetch_imagenet_weights(name, WEIGHTS, Path(source) if source else None)
        setting = f"model=timm model.name={name} model.weights=imagenet"
        for part in (path, path.with_suffix(".json")):
            dvc_add(part)
    _say(f"{path} is complete, tracked by DVC. Next: {setting}")


def _write_digits(folder: Path) -> None:
    """8×8 digits with 17 levels of gray, spread over 0…255."""
    import numpy as np
    from sklearn.datasets import load_digits

    from src.data.ingestion.idx_format import to_bytes

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)  # (1797, 8, 8)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "images-idx3-ubyte.gz", to_bytes(images))
    _write(folder / "labels-idx1-ubyte.gz", to_bytes(digits.target.astype(np.uint8)))
    _write_classes(folder, DIGITS)
    _say(f"{folder} was written from scikit-learn; git tracks it, so git status shows any change")


def _write_classes(folder: Path, dataset: KnownDataset) -> None:
    _write(folder / "classes.txt", "".join(f"{name}\n" for name in dataset.classes).encode())


def _write(path: Path, content: bytes) -> None:
    with replaced(path) as beside:
        beside.write_bytes(content)


def _say(text: str) -> None:
    print(f"{'fetch':<20} {text}", flush=True)


if __name__ == "__main__":
    main()

"""The data sets that ``python -m src.fetch`` can download."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownDataset:
    """``files`` maps each file name in ``data/raw/NAME`` to its SHA-256."""

    name: str
    files: dict[str, str]
    classes: tuple[str, ...]  # in the order of the labels
    folders: tuple[str, ...]  # where a package of the operating system puts the files
    mirrors: tuple[str, ...]  # base addresses


DIGITS = KnownDataset(
    name="digits",
    files={},
    classes=tuple("0123456789"),
    folders=(),  # scikit-learn has them
    mirrors=(),
)

FASHION_MNIST = KnownDataset(
    name="fashion_mnist",
    files={
        "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
        "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
        "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
    },
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    folders=("/usr/share/datasets/fashion-mnist",),  # Debian: apt install dataset-fashion-mnist
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        # Plain http only; the checksums protect the content.
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    ),
)

KNOWN_DATASETS = {dataset.name: dataset for dataset in (DIGITS, FASHION_MNIST)}

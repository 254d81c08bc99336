"""The data sets that ``python -m src.fetch`` can bring."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownDataset:
    """``files`` maps each name to the SHA-256 of its bytes, gzip headers without name and time."""

    name: str
    files: dict[str, str]
    classes: tuple[str, ...]
    folders: tuple[str, ...]  # where a distribution's package puts them
    mirrors: tuple[str, ...]  # base addresses


DIGITS = KnownDataset(
    name="digits",
    files={},  # made from scikit-learn
    classes=tuple("0123456789"),
    folders=(),
    mirrors=(),
)

FASHION_MNIST = KnownDataset(
    name="fashion_mnist",
    files={
        "train-images-idx3-ubyte.gz": "",
        "train-labels-idx1-ubyte.gz": "",
        "t10k-images-idx3-ubyte.gz": "",
        "t10k-labels-idx1-ubyte.gz": "",
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
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",  # a website bucket: http only
    ),
)

KNOWN = {dataset.name: dataset for dataset in (DIGITS, FASHION_MNIST)}

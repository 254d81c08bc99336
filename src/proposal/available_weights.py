"""Where pretrained weights are available: data/weights, an installed package, the Hugging Face hub."""

import threading
from dataclasses import dataclass
from pathlib import Path

from src.pretrained.download import FILE, PACKAGES, packaged_weights
from src.pretrained.files import ENDINGS

# A network for small machines and int8, whose ImageNet weights ship as an ordinary package.
DEFAULT = "tf_efficientnet_lite0"
PATIENCE = 4.0  # seconds for an answer of the hub


@dataclass(frozen=True)
class Weights:
    """ImageNet weights of a timm model; ``path`` is None if they have to be downloaded first."""

    model: str
    path: Path | None
    place: str  # in words


def find_available(folder: Path) -> Weights | None:
    """The nearest weights; None if none are available.

    Args:
        folder: data/weights.
    """
    return _in_folder(folder) or _in_package() or _on_hub(DEFAULT)


def is_available(model: str, folder: Path) -> str:
    """Where the weights of a timm model are on this machine, in words; empty: nowhere."""
    if any((folder / f"{model}{ending}").is_file() for ending in ENDINGS):
        return str(folder)
    return _package(model) if packaged_weights(model) is not None else ""


def _in_folder(folder: Path) -> Weights | None:
    """A file that is named after a model that timm knows the normalization of; the smallest of several."""
    from timm import get_pretrained_cfg, is_model

    files = [path for path in sorted(folder.glob("*")) if path.suffix in ENDINGS]
    known = [path for path in files if is_model(path.stem) and get_pretrained_cfg(path.stem) is not None]
    if not known:
        return None
    found = next((path for path in known if path.stem == DEFAULT), None)
    found = found or min(known, key=lambda path: path.stat().st_size)
    return Weights(found.stem, found, str(found))


def _in_package() -> Weights | None:
    """The weights of the smallest network that an installed package has."""
    found = ((model, packaged_weights(model)) for model in PACKAGES)
    return next((Weights(model, path, _package(model)) for model, path in found if path is not None), None)


def _package(model: str) -> str:
    return f"the installed package {PACKAGES[model][0]}"


def _on_hub(model: str) -> Weights | None:
    """Whether the hub has them and answers; a connection that hangs is left behind."""
    answers = list[bool]()
    asking = threading.Thread(target=_ask, args=(model, answers), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return Weights(model, None, "the Hugging Face hub") if answers else None


def _ask(model: str, answers: list[bool]) -> None:
    from httpx2 import HTTPError
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
    from timm import get_pretrained_cfg

    said = get_pretrained_cfg(model)
    if said is None:
        return
    try:
        get_hf_file_metadata(hf_hub_url(str(said.hf_hub_id), FILE), timeout=PATIENCE)
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError):
        return
    answers.append(True)

"""Weights to start a training from: a file in data/weights, adapted to the network at hand.

Pretrained weights are an input like any other: a file with a hash, in a folder that DVC tracks. Nothing is
downloaded here; ``python -m src.fetch`` does that.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from src.core.errors import AssayError
from src.core.wording import listed
from src.models.head import head_names
from src.pretrained.files import SAFETENSORS

State = dict[str, Tensor]

# What torch and safetensors raise for files that are damaged or hold something else.
UNREADABLE = (
    *(OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(SafetensorError, UnpicklingError),
)

WRAPPERS = ("state_dict", "model")  # keys under which checkpoints keep the weights
SHOWN = 5  # names in one message
COUNTER = "num_batches_tracked"  # of a batch norm; old files lack it, and it changes no output


def load_weights(network: nn.Module, path: Path, head_is_fitted: bool = False) -> list[str]:
    """Load what fits into ``network``, and adapt what has a known rule.

    Names of the layout of ``efficientnet_pytorch`` become timm's; the first convolution is adapted to the
    channels of the images, position embeddings to their size. A head for other classes starts from zeros
    (Kolesnikov et al., Big Transfer, 2020): random weights would stay in the directions that so few images
    do not show.

    Args:
        network: Gets the weights.
        path: A safetensors file, or a state dict of torch.
        head_is_fitted: Whether a head that is fitted to features takes the place of the network's own.

    Returns:
        What was adapted, a sentence each.

    Raises:
        AssayError: the file cannot be read, or its weights do not fit.
    """
    own, notes = network.state_dict(), list[str]()
    state = _in_own_names(read_weights(path), own, notes)
    state = _resized(network, state)
    _adapt_first_convolution(network, state, own, notes)
    found = _empty_other_head(network, state, own)
    notes += [] if head_is_fitted else found
    counters = {name: value for name, value in own.items() if name.endswith(COUNTER)}
    state = counters | state
    _refuse_mismatch(path, state, own, _stem_hint(network, state, own))
    _refuse_broken(path, state)
    network.load_state_dict(state)
    return notes


def read_weights(path: Path) -> State:
    """The tensors of a safetensors file or of a checkpoint of torch; no code of the file runs.

    Raises:
        AssayError: the file is damaged, or holds anything but tensors.
    """
    try:
        if path.suffix == SAFETENSORS:
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:  # torch's own text advises to run the file's code
        raise AssayError(
            f"{path} cannot be read as weights ({type(error).__name__}): it must be a safetensors file, or a "
            "state dict of torch with tensors only"
        ) from error
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(map(_is_weight, content.items())):
        raise AssayError(f"{path} holds no state dict: a mapping of names to tensors was expected")
    return dict(content)


def _is_weight(item: tuple[object, object]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided


def _in_own_names(state: State, own: State, notes: list[str]) -> State:
    """efficientnet_pytorch has other names than timm, for the same tensors in the same order."""
    if "_conv_stem.weight" not in state or "_conv_stem.weight" in own or len(state) != len(own):
        return state
    pairs = list(zip(own, own.values(), state.values(), strict=True))
    if any(mine.shape[1:] != theirs.shape[1:] for name, mine, theirs in pairs[1:] if mine.ndim > 1):
        return state
    notes.append("names of efficientnet_pytorch were mapped to timm's")
    return {name: theirs for name, _, theirs in pairs}


def _resized(network: nn.Module, state: State) -> State:
    """What timm itself adapts for a family: old names, position embeddings for another image size."""
    adapt: Callable[[State, nn.Module], State] | None = getattr(
        sys.modules[type(network).__module__], "checkpoint_filter_fn", None
    )
    return adapt(state, network) if adapt is not None else state


def _adapt_first_convolution(network: nn.Module, state: State, own: State, notes: list[str]) -> None:
    """Sum the filters over the colors for gray images, or repeat them, as timm does."""
    name = f"{_first_convolution(network)}.weight"
    if name not in own or name not in state or state[name].ndim != 4:
        return
    before, channels = state[name].shape[1], own[name].shape[1]
    if before == channels or before != 3:
        return
    from timm.models import adapt_input_conv  # takes a second, and few runs need it

    state[name] = adapt_input_conv(channels, state[name])
    notes.append(f"the first convolution was adapted from {before} channels to {channels}")


def _first_convolution(network: nn.Module) -> str | None:
    return next((name for name, part in network.named_modules() if isinstance(part, nn.Conv2d)), None)


def _empty_other_head(network: nn.Module, state: State, own: State) -> list[str]:
    notes = []
    for head in head_names(network):
        names = [name for name in (f"{head}.weight", f"{head}.bias") if name in state and name in own]
        if not names or not state[names[0]].ndim or state[names[0]].shape[:1] == own[names[0]].shape[:1]:
            continue
        counts = len(state[names[0]]), len(own[names[0]])
        notes.append(
            f"the head ({head}) starts from zeros: the file has {counts[0]} classes, not {counts[1]}"
        )
        state.update({name: torch.zeros_like(own[name]) for name in names})
    return notes


def _stem_hint(network: nn.Module, state: State, own: State) -> str:
    """What to write where only the size of the first kernel differs, which ``model.stem`` decides."""
    name = f"{_first_convolution(network)}.weight"
    if name not in own or name not in state or state[name].ndim != 4:
        return ""
    theirs, ours = state[name].shape[-1], own[name].shape[-1]
    if theirs == ours:
        return ""
    said = f"Their first convolution is {theirs}×{theirs}, and {ours}×{ours} here: set model.stem="
    if theirs < ours:
        return f". {said}small"
    return (
        f". {said}standard. Or name the file like the model and set model.weights=imagenet, which keeps the "
        f"{theirs}×{theirs} at the full resolution of small images"
    )


def _refuse_mismatch(path: Path, state: State, own: State, hint: str) -> None:
    faults = {
        "missing": sorted(own.keys() - state.keys()),
        "unknown": sorted(state.keys() - own.keys()),
        "of another shape": sorted(
            f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
            for name in own.keys() & state.keys()
            if state[name].shape != own[name].shape
        ),
    }
    found = [f"{len(names)} {fault}: {listed(names, SHOWN)}" for fault, names in faults.items() if names]
    if found:
        raise AssayError(
            f"the weights in {path} do not fit the model ({'; '.join(found)}): choose the model that they "
            f"were trained for, or other weights{hint}"
        )


def _refuse_broken(path: Path, state: State) -> None:
    broken = [
        name for name, value in state.items() if value.is_complex() or not torch.isfinite(value.float()).all()
    ]
    if broken:
        raise AssayError(
            f"{path} has weights that are not finite real numbers ({listed(broken, SHOWN)}): take another "
            "file"
        )

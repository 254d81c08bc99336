"""The step ``tta``: test-time augmentation, as a part of the network."""

from torch import Tensor, nn

from src.compression.artifacts import StepContext, TorchModel
from src.compression.onnx.library_errors import UnsupportedModelError
from src.compression.voting import MultiViewNetwork
from src.config.schema.compress import ShiftedView, Tta, View
from src.models.normalization import channel_tensor
from src.models.saving import ModelSpec


def tta(model: TorchModel, step: Tta, context: StepContext) -> TorchModel:  # noqa: ARG001  # every step has the same arguments
    """Let the network answer for each view of an image, and average its probabilities."""

    def with_views(network: nn.Module) -> MultiViewNetwork:
        return MultiViewNetwork(network, step.views, _black(model.spec)).eval()

    before = None if model.before_int8 is None else with_views(model.before_int8)
    return TorchModel(with_views(model.network), model.spec, before_int8=before)


def refuse_empty_views(step: Tta, spec: ModelSpec) -> None:
    """
    Raises:
        UnsupportedModelError: a shift leaves nothing of the image.
    """
    for view in step.views:
        _refuse_empty(view, spec)


def _refuse_empty(view: View, spec: ModelSpec) -> None:
    if not isinstance(view, ShiftedView):
        return
    image = spec.input
    if abs(view.down) >= image.height or abs(view.right) >= image.width:
        raise UnsupportedModelError(
            f"tta: a shift by right={view.right}, down={view.down} leaves nothing of an image of "
            f"{image.width}×{image.height} pixels"
        )


def _black(spec: ModelSpec) -> Tensor:
    """A black pixel after normalization, (1, C, 1, 1)."""
    return -channel_tensor(spec.normalization.shift) / channel_tensor(spec.normalization.scale)

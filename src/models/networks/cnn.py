"""A small residual CNN for small images."""

from torch import Tensor, nn

from src.config.schema.model import Cnn
from src.core.errors import AssayError
from src.models.networks.activations import ACTIVATIONS


def create_cnn(model: Cnn, channels: int, classes: int, image_size: tuple[int, int]) -> nn.Sequential:
    """One stage for each width, then global average pooling and a linear classifier.

    A stage is a convolution, which halves the resolution, and a residual block. Takes (B, channels, H, W),
    gives logits (B, classes).

    Raises:
        AssayError: the image is too small for so many stages.
    """
    _refuse_small_image(model, image_size)
    stages: list[nn.Module] = []
    before = channels
    for width in model.widths:
        stages.append(_stage(model, before, width))
        before = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(model.dropout), nn.Linear(before, classes)]
    network = nn.Sequential(*stages, *head)
    _initialize(network)
    return network


class Residual(nn.Module):
    """x + f(x), where f is two convolutions; the last norm starts at zero, so that f does too."""

    def __init__(self, model: Cnn, width: int) -> None:
        super().__init__()
        self.first = _convolution(model, width, width)
        self.first_norm = _norm(model, width)
        self.second = _convolution(model, width, width)
        self.second_norm = _norm(model, width)
        self.activation = ACTIVATIONS[model.activation]()

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.first_norm(self.first(x)))
        out: Tensor = self.activation(x + self.second_norm(self.second(y)))
        return out


def _refuse_small_image(model: Cnn, image_size: tuple[int, int]) -> None:
    stages, most = len(model.widths), min(image_size).bit_length() - 1
    if stages > most:
        raise AssayError(
            f"model.widths has {stages} stages, each of which halves the image, but "
            f"data.image_size={list(image_size)} allows {most}: use fewer widths or larger images"
        )


def _stage(model: Cnn, before: int, width: int) -> nn.Sequential:
    layers = [_convolution(model, before, width, stride=2 if model.pooling == "stride" else 1)]
    if model.pooling != "stride":
        # Pooled before the norm: norm and activation then cost a quarter.
        layers.append(nn.MaxPool2d(2) if model.pooling == "max" else nn.AvgPool2d(2))
    layers += [_norm(model, width), ACTIVATIONS[model.activation](), Residual(model, width)]
    return nn.Sequential(*layers)


def _convolution(model: Cnn, before: int, width: int, stride: int = 1) -> nn.Module:
    size = model.kernel_size
    # The norm after it has a shift, so a bias would do nothing.
    return nn.Conv2d(before, width, size, stride, padding=size // 2, bias=not model.batch_norm)


def _norm(model: Cnn, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if model.batch_norm else nn.Identity()


def _initialize(network: nn.Module) -> None:
    """Kaiming (He et al., 2015); residual branches end in zeros (Goyal et al., 2017)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    for layer in network.modules():
        if isinstance(layer, Residual):
            has_norm = isinstance(layer.second_norm, nn.BatchNorm2d)
            last = layer.second_norm.weight if has_norm else layer.second.weight
            nn.init.zeros_(last)  # type: ignore[arg-type]

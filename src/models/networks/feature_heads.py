"""Heads that scikit-learn fits, or that need no fit, as torch modules on the features of a network.

They compute in float64, as scikit-learn does, so that both give the same answer, and on any CPU. What they
keep of the training images are buffers, whose number of rows depends on the data.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.config.schema.model import Backbone, FeatureModel, Knn, LinearProbe, Svm, Timm
from src.core.errors import AssayError
from src.models.head import head_names
from src.models.networks.timm_models import build_timm_model

DEGREE = 3  # of the polynomial kernel
SAME = 1e-6  # distance of a neighbor that outvotes all others: rounding leaves less between equal images


class RowHead(nn.Module):
    """A head with one row in its buffers for each training image that it keeps."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Make room for the rows of the file first: a new head has one."""
        for name, buffer in list(self.named_buffers()):
            found = state_dict.get(prefix + name)
            if found is not None and found.shape[1:] == buffer.shape[1:]:
                setattr(self, name, buffer.new_zeros(found.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class SvmHead(RowHead):
    """Support vector machines, one against the rest for each class: K(x, vectors) · dual + intercept."""

    vectors: Tensor  # (n, D) features of the support vectors of all classes
    dual: Tensor  # (n, K) their signed weights, 0 where a class does not use one
    intercept: Tensor  # (K,)
    gamma: Tensor  # () of the kernel

    def __init__(self, kernel: str, features: int, classes: int) -> None:
        super().__init__()
        self.kernel = {"rbf": _rbf, "poly": _polynomial}[kernel]
        self.register_buffer("vectors", torch.zeros(1, features))
        self.register_buffer("dual", torch.zeros(1, classes, dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros(classes, dtype=torch.float64))
        self.register_buffer("gamma", torch.ones((), dtype=torch.float64))

    def forward(self, features: Tensor) -> Tensor:
        """Scores (B, K) float32 of features (B, D)."""
        similar = self.kernel(features.double(), self.vectors.double(), self.gamma)
        return (similar @ self.dual + self.intercept).float()


class KnnHead(RowHead):
    """The classes of the k nearest training images; each counts 1, or 1 / distance."""

    examples: Tensor  # (n, D) features of the training images
    labels: Tensor  # (n,) their classes

    def __init__(self, model: Knn, features: int, classes: int) -> None:
        super().__init__()
        self.k, self.metric, self.vote, self.classes = model.k, model.metric, model.vote, classes
        self.register_buffer("examples", torch.zeros(1, features))
        self.register_buffer("labels", torch.zeros(1, dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        """Log of the votes (B, K) float32 for features (B, D), with one vote more for each class (Laplace).

        The logarithm of no vote at all would be infinite.
        """
        return ((self.shares(features) * self.k + 1) / (self.k + self.classes)).log().float()

    def shares(self, features: Tensor) -> Tensor:
        """Shares of the votes (B, K) float64, which sum to 1."""
        squares = _square_distances(self._scaled(features), self._scaled(self.examples))
        nearest = squares.topk(min(self.k, len(self.examples)), largest=False)
        weights = self._weights(nearest.values).unsqueeze(2)
        classes = torch.arange(self.classes, device=features.device)
        votes = ((self.labels[nearest.indices].unsqueeze(2) == classes) * weights).sum(1)
        return votes / votes.sum(1, keepdim=True)

    def _scaled(self, features: Tensor) -> Tensor:
        """In float64; to length 1 for the cosine, whose neighbors are then those at the smallest distance."""
        x = features.double()
        return functional.normalize(x) if self.metric == "cosine" else x

    def _weights(self, squares: Tensor) -> Tensor:
        """Of the votes of neighbors at squared distances (B, k)."""
        if self.vote == "uniform":
            return torch.ones_like(squares)
        distances = squares / 2 if self.metric == "cosine" else squares.sqrt()
        return 1 / distances.clamp(min=SAME)


def build_feature_model(model: FeatureModel, channels: int, classes: int, size: tuple[int, int]) -> nn.Module:
    """The network that ``model`` names with a head that is not fitted yet.

    Takes (B, channels, H, W), gives scores (B, classes).

    Raises:
        AssayError: the network cannot be built, or its features do not meet in one linear layer.
    """
    network = build_timm_model(backbone_section(model), channels, classes, size)
    name, features = _linear_head(network, model)
    network.set_submodule(name, new_head(model, features, classes))
    return network


def backbone_section(model: Backbone) -> Timm:
    """The same network as ``model=timm`` builds it."""
    fields = model.model_dump(include=set(Backbone.model_fields))
    return Timm(kind="timm", dropout=0.0, drop_path=0.0, **fields)


def new_head(model: FeatureModel, features: int, classes: int) -> nn.Module:
    """A head that is not fitted yet: takes (B, features), gives scores (B, classes)."""
    match model:
        case Knn():
            return KnnHead(model, features, classes)
        case Svm() if model.kernel != "linear":
            return SvmHead(model.kernel, features, classes)
        case LinearProbe() | Svm():
            return nn.Linear(features, classes)
    raise AssertionError(model)


def _linear_head(network: nn.Module, model: FeatureModel) -> tuple[str, int]:
    """Name of the head of a new network, and how many features it takes."""
    names = head_names(network)
    layer = network.get_submodule(names[0]) if len(names) == 1 else None
    if not isinstance(layer, nn.Linear):
        raise AssayError(
            f"model.kind={model.kind} needs a network that ends in one linear layer, and model.name="
            f"{model.name} does not: choose another, such as resnet18"
        )
    return names[0], layer.in_features


def _rbf(x: Tensor, rows: Tensor, gamma: Tensor) -> Tensor:
    return (-gamma * _square_distances(x, rows)).exp()


def _polynomial(x: Tensor, rows: Tensor, gamma: Tensor) -> Tensor:
    return (gamma * (x @ rows.T)) ** DEGREE


def _square_distances(x: Tensor, rows: Tensor) -> Tensor:
    """(B, n) squared Euclidean distances of x (B, D) from rows (n, D)."""
    lengths = x.square().sum(1, keepdim=True) + rows.square().sum(1)
    return (lengths - 2 * x @ rows.T).clamp(min=0)

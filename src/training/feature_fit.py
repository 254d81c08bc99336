"""Fits the head of a model on features: with scikit-learn, or by keeping the features of the training images.

The result depends on features, classes and weights only: nothing is random, and numbers are float64. One
thread computes: the trainings of a search and the folds already run side by side.
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.nn import functional

from src.config.schema.model import FeatureModel, Knn, LinearProbe, Svm
from src.core.errors import AssayError
from src.core.wording import counted
from src.models.head import head_names
from src.models.networks.feature_heads import DEGREE, new_head
from src.training.early_stopping import Row
from src.training.features import BATCH
from src.training.task import TrainingTask
from src.training.validation import ValidationMetrics

Floats = NDArray[np.float64]
Targets = NDArray[np.int64]

TOLERANCE, ITERATIONS = 1e-6, 10_000  # of L-BFGS: largest gradient, and steps at most
MISSING = 20.0  # how far the score of a class without training images is below the mean of the others
CACHE = 500  # megabytes for rows of the kernel matrix; changes no result


def replace_head(
    network: nn.Module,
    task: TrainingTask,
    features: NDArray[np.float32],
    weights: list[float] | None,
    validation: ValidationMetrics,
) -> Row:
    """Fit the head that ``task.model`` names and put it into ``network``.

    Args:
        network: Of ``backbone_task(task)``.
        task: Says what is fitted, on which rows.
        features: Of all images, (N, D, 1, 1).
        weights: Of the images of each class, (K,). None: all are 1.
        validation: What is measured.

    Returns:
        The history, which is one row.

    Raises:
        AssayError: see ``fit_head``.
    """
    assert isinstance(task.model, FeatureModel)
    x, y = _rows(task.train_rows, features, task.targets)
    head = fit_head(task.model, x, y.numpy(), len(task.classes), weights)
    network.set_submodule(head_names(network)[0], head)
    loss = functional.cross_entropy(_scores(head, x), y).item()
    x, y = _rows(task.val_rows, features, task.targets)
    validation.start(x.device)
    validation.update(_scores(head, x), y)
    return {"epoch": 1, "train/loss": loss, **validation.compute()}


def fit_head(
    model: FeatureModel, features: Tensor, targets: Targets, classes: int, weights: list[float] | None
) -> nn.Module:
    """A head that takes features (B, D) and gives scores (B, classes).

    Args:
        model: What to fit.
        features: Of the training images, (n, D) float32.
        targets: Their classes, (n,).
        classes: How many there are; some may have no training image.
        weights: Of the images of each class, (classes,); those with 0 are left out. None: all are 1.

    Raises:
        AssayError: All images are of one class, there are fewer than k, or the fit does not converge.
    """
    if weights:
        counts = np.array(weights)[targets] > 0
        features, targets = features[torch.from_numpy(counts)], targets[counts]
    if len(np.unique(targets)) < 2:
        raise AssayError(
            f"model.kind={model.kind} needs training images of two classes with a weight above 0"
        )
    head = new_head(model, features.shape[1], classes)
    x = features.double().numpy()
    with threadpool_limits(1):
        match model:
            case LinearProbe():
                state = _linear(*_logistic(model, x, targets, weights), targets, classes)
            case Svm():
                state = _machines(model, x, features, targets, classes, weights)
            case Knn():
                state = _examples(model, features, targets)
    head.load_state_dict(state)
    return head.eval()


def _logistic(
    model: LinearProbe, x: Floats, targets: Targets, weights: list[float] | None
) -> tuple[Floats, Floats]:
    """Coefficients (P, D) and intercepts (P,) of the P classes that are present."""
    regression = LogisticRegression(
        C=model.C,
        class_weight=dict(enumerate(weights)) if weights else None,
        tol=TOLERANCE,
        max_iter=ITERATIONS,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            regression.fit(x, targets)
        except ConvergenceWarning as warning:
            raise AssayError(
                f"model.C={model.C:g}: L-BFGS has not converged in {ITERATIONS:,} steps: lower model.C"
            ) from warning
    if len(regression.coef_) > 1:
        return regression.coef_, regression.intercept_
    both = np.array([[0.0], [1.0]])  # two classes have one score, that of the second
    return both * regression.coef_, both[:, 0] * regression.intercept_


def _machines(
    model: Svm, x: Floats, features: Tensor, targets: Targets, classes: int, weights: list[float] | None
) -> dict[str, Tensor]:
    """State of the head: of a linear layer with a linear kernel, otherwise of an ``SvmHead``."""
    present = np.unique(targets)
    gamma = 1 / (x.shape[1] * x.var()) if model.gamma == "scale" else float(model.gamma)
    each = np.ones(len(targets)) if weights is None else np.array(weights)[targets]
    dual, intercept = np.zeros((len(targets), len(present))), np.zeros(len(present))
    for place, target in enumerate(present):
        machine = SVC(C=model.C, kernel=model.kernel, gamma=gamma, degree=DEGREE, cache_size=CACHE)
        machine.fit(x, targets == target, sample_weight=each)
        dual[machine.support_, place] = machine.dual_coef_[0]
        intercept[place] = machine.intercept_[0]
    if model.kernel == "linear":
        return _linear(dual.T @ x, intercept, targets, classes)
    used = dual.any(axis=1)
    dual, intercept = _all_classes(dual.T[:, used], intercept, targets, classes)
    state = {"dual": dual.T.copy(), "intercept": intercept, "gamma": np.array(gamma)}
    return {name: torch.from_numpy(value) for name, value in state.items()} | {
        "vectors": features[torch.from_numpy(used)]
    }


def _examples(model: Knn, features: Tensor, targets: Targets) -> dict[str, Tensor]:
    if len(targets) < model.k:
        raise AssayError(
            f"model.k={model.k} is more than the {counted(len(targets), 'training image')}: lower model.k"
        )
    return {"examples": features, "labels": torch.from_numpy(targets)}


def _linear(coefficients: Floats, intercept: Floats, targets: Targets, classes: int) -> dict[str, Tensor]:
    """State of a linear layer."""
    whole, bias = _all_classes(coefficients, intercept, targets, classes)
    return {"weight": torch.from_numpy(whole).float(), "bias": torch.from_numpy(bias).float()}


def _all_classes(
    coefficients: Floats, intercept: Floats, targets: Targets, classes: int
) -> tuple[Floats, Floats]:
    """(P, …) and (P,) of the classes that are present as (classes, …) and (classes,) of all.

    A class without training images scores well below the mean of the others, so it is never predicted.
    """
    present = np.unique(targets)
    whole = np.tile(coefficients.mean(axis=0), (classes, 1))
    bias = np.full(classes, intercept.mean() - MISSING)
    whole[present], bias[present] = coefficients, intercept
    return whole, bias


def _rows(rows: Targets, features: NDArray[np.float32], targets: Targets) -> tuple[Tensor, Tensor]:
    """Features (n, D) and classes (n,) of the rows."""
    return torch.from_numpy(np.array(features[rows])).flatten(1), torch.from_numpy(targets[rows])


@torch.inference_mode()
def _scores(head: nn.Module, features: Tensor) -> Tensor:
    """(n, K), some at a time: each is compared with all that a head has kept."""
    return torch.cat([head(part) for part in torch.split(features, BATCH)])

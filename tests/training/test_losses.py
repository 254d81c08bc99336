"""Each loss against its formula, written out with NumPy in float64."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from src.config.schema.train import Train
from src.core.errors import AssayError
from src.training.losses import class_weights, classification_loss, l1_norm, one_hot
from tests.support.training_tasks import section

IMAGES, CLASSES = 40, 5
RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(IMAGES, CLASSES)) * 4
TARGETS = RANDOM.integers(0, CLASSES, IMAGES)
WEIGHTS = np.array([0.5, 1.0, 2.0, 4.0, 0.1])
SOFT = 0.3 * np.eye(CLASSES)[TARGETS] + 0.7 * np.eye(CLASSES)[TARGETS[::-1]]
NAMES = ["cross_entropy", "binary_cross_entropy", "mean_squared_error", "focal"]


def train(name="cross_entropy", gamma=2.0, **changes) -> Train:
    whole = section("train/default.yaml") | {"loss": {"name": name, "gamma": gamma}} | changes
    return Train.model_validate(whole)


def formula(name, truth, weights, smoothing=0.0, gamma=2.0):
    """Mean over the images; ``truth`` (B, K)."""
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    smooth = (1 - smoothing) * truth + smoothing / CLASSES
    if name == "cross_entropy":
        return np.mean(-(weights * smooth * np.log(p)).sum(1))
    if name == "binary_cross_entropy":
        q = 1 / (1 + np.exp(-LOGITS))
        losses = -(smooth * np.log(q) + (1 - smooth) * np.log(1 - q)).mean(1)
    elif name == "mean_squared_error":
        losses = ((p - truth) ** 2).mean(1)
    else:
        losses = -(truth * (1 - p) ** gamma * np.log(p)).sum(1)
    return np.mean((truth @ weights) * losses)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", ["classes", "shares"])
@pytest.mark.parametrize("name", NAMES)
def test_each_is_its_formula(name, targets, smoothing, weights):
    config = train(name, label_smoothing=smoothing)
    given = TARGETS if targets == "classes" else SOFT
    truth = np.eye(CLASSES)[TARGETS] if targets == "classes" else SOFT
    tensors = [torch.tensor(LOGITS).float(), torch.tensor(given)]
    tensors[1] = tensors[1].float() if targets == "shares" else tensors[1]
    weight = None if weights is None else torch.tensor(weights).float()
    found = classification_loss(*tensors, config, weight).item()
    expected = formula(name, truth, np.ones(CLASSES) if weights is None else weights, smoothing)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
def test_focal_at_other_strengths(gamma):
    logits, targets = torch.tensor(LOGITS).float(), torch.tensor(TARGETS)
    found = classification_loss(logits, targets, train("focal", gamma)).item()
    assert found == pytest.approx(formula("focal", np.eye(CLASSES)[TARGETS], np.ones(CLASSES), gamma=gamma))
    if not gamma:
        smoothless = train(label_smoothing=0.0)
        assert found == pytest.approx(classification_loss(logits, targets, smoothless).item())


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_where_the_answer_is_certain(name):
    """Also those of focal, whose factor 1 - p has no gradient at 0 if gamma is below 1."""
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, -200.0, 200.0]], requires_grad=True)
    classification_loss(logits, torch.tensor([0, 1]), train(name, gamma=0.5)).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_balanced_weights_are_those_of_scikit_learn():
    found = class_weights(train(class_weights="balanced"), TARGETS, list("abcde"))
    assert found == pytest.approx(compute_class_weight("balanced", classes=np.arange(5), y=TARGETS))


def test_balanced_weights_make_the_classes_count_the_same():
    targets = np.repeat([0, 1, 2], [100, 10, 1])
    weights = np.array(class_weights(train(class_weights="balanced"), targets, list("abc")))
    assert weights * [100, 10, 1] == pytest.approx([37] * 3)


def test_weights_of_effective_numbers():
    """(1 - b) / (1 - b^n) of each class, scaled to a mean of 1 (Cui et al., 2019)."""
    targets = np.repeat([0, 1, 2], [1000, 20, 3])
    config = train(class_weights="effective_number", class_weights_beta=0.99)
    raw = np.array([0.01 / (1 - 0.99**n) for n in (1000, 20, 3)])
    assert class_weights(config, targets, list("abc")) == pytest.approx(raw / raw.mean())


@pytest.mark.parametrize("rule", ["balanced", "effective_number"])
def test_a_class_without_training_images_is_left_out(rule):
    targets = np.repeat([0, 2], [30, 10])
    with_gap = class_weights(train(class_weights=rule), targets, list("abc"))
    without = class_weights(train(class_weights=rule), targets // 2, list("ac"))
    assert [with_gap[0], with_gap[2]] == pytest.approx(without)
    assert with_gap[1] == 0


def test_named_weights_and_names_that_do_not_exist():
    assert class_weights(train(class_weights={"cat": 3, "7": 0.5}), TARGETS, ["cat", "dog", "7"]) == [
        3,
        1,
        0.5,
    ]
    assert class_weights(train(class_weights={7: 0.5}), TARGETS, ["cat", "7"]) == [1, 0.5]
    with pytest.raises(
        AssayError, match=r"class_weights names catt \(did you mean cat\?\), but the classes are"
    ):
        class_weights(train(class_weights={"catt": 3}), TARGETS, ["cat", "dog"])
    assert class_weights(train(), TARGETS, list("abcde")) is None


@pytest.mark.parametrize(
    ("weights", "left"), [({"a": 0, "b": 0, "c": 0}, r"images,"), ({"a": 0, "b": 0}, r"images but c,")]
)
def test_weights_that_leave_nothing_to_tell_apart_are_refused(weights, left):
    with pytest.raises(AssayError, match=rf"class_weights gives the weight 0 .*{left} so there is nothing"):
        class_weights(train(class_weights=weights), np.array([0, 1, 2]), list("abc"))
    with pytest.raises(AssayError, match="images but c,"):  # b is unweighted, but has no image
        class_weights(train(class_weights={"a": 0}), np.array([0, 2]), list("abc"))
    assert class_weights(train(class_weights={"a": 0}), np.array([0, 1, 2]), list("abc")) == [0, 1, 1]


def test_two_ways_to_balance_are_one_too_many():
    with pytest.raises(ValueError, match=r"must be none with train\.sampler=balanced"):
        train(class_weights="balanced", sampler="balanced")
    train(class_weights={"cat": 2.0}, sampler="balanced")


def test_one_hot():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_the_l1_norm_leaves_out_norms_and_biases():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 3))
    expected = sum(network[place].weight.abs().sum().item() for place in (0, 2))
    assert l1_norm(network).item() == pytest.approx(expected)

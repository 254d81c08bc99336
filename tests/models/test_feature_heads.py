"""Heads on features: scikit-learn's answers, in torch."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from src.core.errors import AssayError
from src.models.build import build_model
from src.models.networks.feature_heads import new_head
from src.training.feature_fit import fit_head
from tests.support.feature_models import feature_model

CLASSES = 4
COUNTS = [60, 40, 25, 15]


def blobs(seed: int, counts=COUNTS) -> tuple[torch.Tensor, np.ndarray]:
    """Features (n, 6) float32 of overlapping classes, and the classes (n,)."""
    random = np.random.default_rng(seed)
    targets = np.repeat(np.arange(len(counts)), counts)
    centers = np.random.default_rng(0).normal(size=(len(counts), 6))
    features = (centers[targets] + random.normal(size=(len(targets), 6))).astype(np.float32)
    return torch.from_numpy(features), targets


TRAIN, TEST = blobs(1), blobs(2)
X, Y, NEW = TRAIN[0].double().numpy(), TRAIN[1], TEST[0].double().numpy()


def fitted(kind: str, weights=None, train=TRAIN, classes=CLASSES, **fields) -> torch.nn.Module:
    return fit_head(feature_model(kind, **fields), *train, classes, weights)


def scores(head: torch.nn.Module) -> np.ndarray:
    with torch.inference_mode():
        return head(TEST[0]).numpy()


def balanced(targets: np.ndarray) -> list[float]:
    return [len(targets) / CLASSES / count for count in np.bincount(targets)]


@pytest.mark.parametrize("weights", [None, "balanced"])
def test_a_linear_probe_answers_as_logistic_regression_does(weights):
    expected = LogisticRegression(C=0.3, class_weight=weights, tol=1e-6, max_iter=9999).fit(X, Y)
    found = scores(fitted("linear_probe", balanced(Y) if weights else None, C=0.3))
    np.testing.assert_allclose(found, expected.decision_function(NEW), atol=1e-5)
    probabilities = torch.from_numpy(found).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, expected.predict_proba(NEW), atol=1e-6)
    assert (found.argmax(1) == expected.predict(NEW)).all()


def test_two_classes_have_the_probabilities_of_scikit_learn_too():
    train = blobs(1, [50, 30])
    head = fitted("linear_probe", train=train, classes=2)
    expected = LogisticRegression(tol=1e-6, max_iter=9999).fit(train[0].double().numpy(), train[1])
    found = torch.from_numpy(scores(head)).softmax(1).numpy()
    np.testing.assert_allclose(found, expected.predict_proba(NEW), atol=1e-6)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly"])
@pytest.mark.parametrize("gamma", ["scale", 0.3])
def test_an_svm_answers_as_scikit_learn_does(kernel, gamma):
    expected = OneVsRestClassifier(SVC(C=2.0, kernel=kernel, gamma=gamma)).fit(X, Y)
    found = scores(fitted("svm", C=2.0, kernel=kernel, gamma=gamma))
    np.testing.assert_allclose(found, expected.decision_function(NEW), atol=1e-5)
    assert (found.argmax(1) == expected.predict(NEW)).all()


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test_weights_of_classes_are_those_of_their_images_in_an_svm(kernel):
    each = np.array(balanced(Y))[Y]
    for target in range(CLASSES):
        expected = SVC(C=2.0, kernel=kernel).fit(X, target == Y, sample_weight=each).decision_function(NEW)
        found = scores(fitted("svm", balanced(Y), C=2.0, kernel=kernel))[:, target]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert np.abs(found - scores(fitted("svm", C=2.0, kernel=kernel))[:, target]).max() > 0.01


def test_an_svm_keeps_no_image_that_is_far_from_every_border():
    head = fitted("svm")
    assert 0 < len(head.vectors) < len(Y)
    assert head.dual.any(1).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("vote", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 7])
def test_neighbors_vote_as_in_scikit_learn(metric, vote, k):
    expected = KNeighborsClassifier(k, weights=vote, metric=metric, algorithm="brute").fit(X, Y)
    head = fitted("knn", k=k, metric=metric, vote=vote)
    with torch.inference_mode():
        shares = head.shares(TEST[0]).numpy()
    np.testing.assert_allclose(shares, expected.predict_proba(NEW), atol=1e-9)
    assert (shares.argmax(1) == expected.predict(NEW)).all()
    np.testing.assert_allclose(scores(head), np.log((shares * k + 1) / (k + CLASSES)), atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_known_image_outvotes_all_others(metric):
    with torch.inference_mode():
        shares = fitted("knn", metric=metric).shares(TRAIN[0]).numpy()
    np.testing.assert_allclose(shares, np.eye(CLASSES)[Y], atol=1e-3)


@pytest.mark.parametrize("kind", ["linear_probe", "svm", "knn"])
def test_a_class_without_training_images_is_never_the_answer(kind):
    kept = Y != 2
    features, targets = TRAIN[0][torch.from_numpy(kept)], Y[kept]
    weights = None if kind == "knn" else [1.0, 2.0, 0.0, 1.0]
    found = scores(fitted(kind, weights, train=(features, targets)))
    assert np.isfinite(found).all()
    assert set(found.argmax(1)) == {0, 1, 3}
    numbered = np.unique(targets, return_inverse=True)[1]
    alone = scores(fitted(kind, weights and [1.0, 2.0, 1.0], train=(features, numbered), classes=3))
    np.testing.assert_allclose(np.diff(found[:, [0, 1, 3]]), np.diff(alone), atol=1e-5)


@pytest.mark.parametrize("kind", ["linear_probe", "svm"])
def test_images_without_weight_are_left_out(kind):
    kept = Y != 2
    alone = fitted(kind, train=(TRAIN[0][torch.from_numpy(kept)], Y[kept]))
    assert (scores(fitted(kind, [1.0, 1.0, 0.0, 1.0])) == scores(alone)).all()


@pytest.mark.parametrize("kind", ["svm", "knn"])
def test_a_new_head_takes_as_many_rows_as_the_file_has(kind):
    head, model = fitted(kind), feature_model(kind)
    other = new_head(model, 6, CLASSES)
    other.load_state_dict(head.state_dict())
    assert (scores(other) == scores(head)).all()
    with pytest.raises(RuntimeError, match="size mismatch"):
        new_head(model, 5, CLASSES).load_state_dict(head.state_dict())


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(AssayError, match=r"model\.k=141 is more than the 140 training images: lower"):
        fitted("knn", k=141)
    with pytest.raises(AssayError, match=r"model\.kind=svm needs training images of two classes"):
        fitted("svm", train=(TRAIN[0], np.zeros_like(Y)))


def test_a_fit_that_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr("src.training.feature_fit.ITERATIONS", 3)
    with pytest.raises(AssayError, match=r"model\.C=1: L-BFGS has not converged in 3 steps: lower model\.C"):
        fitted("linear_probe")


def test_a_network_with_two_heads_is_refused():
    model = feature_model("svm", name="deit_tiny_distilled_patch16_224")
    with pytest.raises(
        AssayError, match=r"needs a network that ends in one linear layer, and model\.name=deit"
    ):
        build_model(model, 1, 10, (8, 8))

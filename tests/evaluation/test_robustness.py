"""What a real model makes of corrupted digits, and how it is reported."""

import csv
import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
from PIL import Image
from pyarrow import parquet

from src.core.metric_names import metric_of
from src.data.dataset.spec import DataSpec
from src.evaluation.predictions import Predictions
from src.evaluation.report.robustness import (
    MEAN,
    NONE,
    draw_robustness,
    measure_robustness,
    publish_robustness,
    read_answers,
)
from src.evaluation.robustness import answers as answers_module
from src.evaluation.robustness.answers import predict_corrupted
from src.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from src.models.inference import predict_logits
from src.models.saving import save_model
from tests.evaluation.test_subgroups import settings
from tests.support.digits import TEST_ROWS, digits, trained

ROWS = TEST_ROWS[:120]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a trained model, and file of the images."""
    folder = tmp_path_factory.mktemp("robustness")
    (folder / "model").mkdir()
    found = trained()
    save_model(folder / "model", found.network, found.spec)
    np.save(folder / "images.npy", digits()[0])
    return folder


def ask(model, names=tuple(CORRUPTIONS), **changes):
    options = {"batch_size": 512, "device": "cpu", "seed": 3, "show": False} | changes
    return predict_corrupted(names, ROWS, model / "model", model / "images.npy", **options)


@pytest.fixture(scope="module")
def answers(model):
    return ask(model)


def test_answers_are_those_for_the_corrupted_images(model, answers):
    images, found = digits()[0], trained()
    assert list(answers) == [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    for name, severity in [("noise", 3), ("jpeg", 1), ("rotation", 2)]:
        changed = corrupt(images[ROWS], ROWS, name, severity, 3)
        logits = predict_logits(found.network, found.spec, changed, np.arange(len(ROWS)), device="cpu")
        np.testing.assert_array_equal(answers[name, severity], logits.argmax(axis=1))


def test_a_model_of_digits_loses_accuracy_with_severity(answers):
    targets = digits()[1][ROWS]
    accuracy = {row: (found == targets).mean() for row, found in answers.items()}
    assert accuracy["jpeg", 1] > 0.9
    for name in CORRUPTIONS:
        assert accuracy[name, 1] >= accuracy[name, 3]
    assert accuracy["rotation", 3] < accuracy["rotation", 1] - 0.1


def test_answers_do_not_depend_on_how_many_images_are_corrupted_at_once(model, answers, monkeypatch):
    monkeypatch.setattr(answers_module, "MOST_VALUES", 7 * 64)
    again = ask(model, ["noise", "rotation"])
    assert all((answers[row] == found).all() for row, found in again.items())


def plain(seed=0):
    """Answers of which one in ten is wrong."""
    targets = digits()[1][ROWS]
    wrong = np.random.default_rng(seed).random(len(targets)) < 0.1
    return np.where(wrong, (targets + 1) % 10, targets)


def measure(answers, **changes):
    return measure_robustness(answers, plain(), digits()[1][ROWS], 10, settings(**changes), seed=0)


@pytest.mark.parametrize("row", [NONE, ("blur", 3), ("noise", 3), ("jpeg", 2)])
def test_metrics_are_those_of_scikit_learn_and_have_intervals(answers, row):
    targets, found = digits()[1][ROWS], measure(answers).rows
    assert list(found) == [NONE, *answers]
    predicted = plain() if row == NONE else answers[row]
    expected = {
        "accuracy": reference.accuracy_score(targets, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(targets, predicted),
        "f1_macro": reference.f1_score(targets, predicted, average="macro"),
    }
    for metric, value in expected.items():
        assert found[row][f"test/{metric}"] == pytest.approx(value)
        assert found[row][f"test/{metric}/low"] < value < found[row][f"test/{metric}/high"]


def test_means_are_over_severities_and_corruptions_of_the_same_images(answers):
    targets, found = digits()[1][ROWS], measure(answers)
    shares = {row: (predicted == targets).mean() for row, predicted in answers.items()}
    assert found.means[MEAN] == pytest.approx(np.mean([*shares.values()]))
    for name in CORRUPTIONS:
        mean = np.mean([shares[name, severity] for severity in SEVERITIES])
        assert found.means[f"{MEAN}/{name}"] == pytest.approx(mean)
    assert found.means[f"{MEAN}/low"] < found.means[MEAN] < found.means[f"{MEAN}/high"]
    assert all(metric_of(name) for name in found.means)
    worst = min(shares, key=shares.get)
    assert f"accuracy {found.means[MEAN]:.4f} on average" in found.sentence()
    assert found.sentence().endswith(f"with {worst[0]} of severity {worst[1]}")


def test_the_interval_of_a_mean_knows_that_the_images_are_the_same():
    """Answers that agree under all corruptions are one sample, and not as many as there are corruptions."""
    targets = digits()[1][ROWS]
    wrong = np.arange(len(targets)) % 4 == 0
    same = np.where(wrong, (targets + 1) % 10, targets)
    found = measure(
        {(name, severity): same for name in CORRUPTIONS for severity in SEVERITIES}, bootstrap=1000
    )
    expected = 1.96 * math.sqrt(0.75 * 0.25 / len(targets))
    assert found.means[f"{MEAN}/high"] - found.means[MEAN] == pytest.approx(expected, rel=0.15)


def test_files(model, answers, tmp_path):
    probabilities = np.eye(10)[plain()]
    tested = Predictions(
        split="test",
        classes=[str(number) for number in range(10)],
        ids=ROWS,
        targets=digits()[1][ROWS],
        probabilities=probabilities,
        data=DataSpec(["a"]),
        sources=[],
        uncalibrated=None,
    )
    found, figure = publish_robustness(tmp_path, answers, tested, model / "images.npy", settings(), 3)
    assert {path.name for path in tmp_path.iterdir()} == {
        *("robustness.csv", "robustness.png", "corrupted.parquet")
    }
    assert figure == tmp_path / "robustness.png"
    table = parquet.ParquetFile(tmp_path / "corrupted.parquet").read()
    stored = read_answers({name: table[name].to_numpy() for name in table.column_names})
    assert list(stored) == list(answers)
    assert all((stored[row] == answers[row]).all() for row in answers)
    with (tmp_path / "robustness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["corruption"], int(row["severity"])) for row in rows] == [NONE, *answers]
    assert float(rows[5]["test/accuracy/low"]) == pytest.approx(found.rows["noise", 2]["test/accuracy/low"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (["jpeg"], (1, 8, 8)),
        (["blur", "noise", "rotation", "contrast"], (3, 30, 90)),
        ([*CORRUPTIONS], (3, 90, 30)),
    ],
)
def test_figure_of_any_corruptions_and_shape(answers, tmp_path, names, shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    found = measure({row: answers[row] for row in answers if row[0] in names})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = [draw_robustness(tmp_path / f"{number}.png", found, image, 0, 0) for number in range(2)]
        draw_robustness(tmp_path / "other.png", found, 255 - image, 0, 0)
    assert paths[0].read_bytes() == paths[1].read_bytes() != (tmp_path / "other.png").read_bytes()
    with Image.open(paths[0]) as picture:
        assert picture.size[0] > 500


@pytest.mark.parametrize(("images", "known"), [(29, False), (30, True)])
def test_a_few_images_give_means_without_limits(answers, images, known):
    plain = digits()[1][ROWS]
    found = measure_robustness(
        {row: classes[:images] for row, classes in answers.items()},
        plain[:images],
        plain[:images],
        10,
        settings(),
        3,
    )
    assert np.isfinite(found.means[MEAN])
    assert np.isfinite(found.means[f"{MEAN}/low"]) == known

"""The report of folds: metrics of each, over them, and of all predictions together."""

import csv
import json
import math
import warnings

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from src.config.schema.evaluate import Evaluate
from src.core.metric_names import metric_of, unnest
from src.cross_validation.figures import draw_folds
from src.cross_validation.intervals import corrected_resampled, student_t
from src.cross_validation.publish import publish_folds
from src.cross_validation.report import FoldPredictions, cross_validation, share_of_tested
from src.data.dataset.spec import DataSpec
from src.evaluation.metrics import classification
from src.evaluation.uncertainty.intervals import Interval
from tests.support.scores import make_decision, scores

SETTINGS = Evaluate(
    bootstrap=100,
    confidence=0.95,
    top_k=2,
    calibration_bins=10,
    mistakes=1,
    batch_size=64,
    corruptions=[],
    subgroups=[],
    decision=make_decision("argmax"),
)
NAMES = ["a", "b", "c"]


def folds_of(repeats=1, count=4, images=120, seed=0):
    """Predictions for all images, in other folds and with other probabilities for each repeat."""
    _, targets = scores(3, [images // 3] * 3, 1.5, 0, seed)
    found = []
    for repeat in range(repeats):
        random = np.random.default_rng([seed, repeat])
        numbers = random.permutation(np.arange(images) % count)
        raw = random.random((images, 3)) + 0.8 * np.eye(3)[targets]
        probabilities = raw / raw.sum(axis=1, keepdims=True)
        for fold in range(count):
            ids = np.flatnonzero(numbers == fold)
            train = images - len(ids) - 9
            found.append(
                FoldPredictions(
                    repeat, fold, ids, targets[ids], probabilities[ids], train, 9, 3, 5, {"weights": "ab"}
                )
            )
    return found


def test_each_metric_is_summarized_over_the_folds():
    folds = folds_of()
    result = cross_validation(folds, NAMES, "none", SETTINGS)
    rows = [classification.summary(fold.probabilities, fold.targets, 2, 10) for fold in folds]
    assert result.spreads.keys() == rows[0].keys()
    for name, spread in result.spreads.items():
        values = np.array([row[name] for row in rows])
        assert result.metrics[name].tolist() == values.tolist()
        assert (spread.mean, spread.std) == pytest.approx((values.mean(), values.std(ddof=1)))
        possible = metric_of(f"cv/{name}").range
        assert spread.student == student_t(values, 0.95, possible)
        assert spread.corrected == corrected_resampled(values, 30 / 90, 0.95, possible)
        if values.std():  # else there is no interval
            assert possible[0] <= spread.corrected.low < spread.mean < spread.corrected.high <= possible[1]


def test_the_share_counts_all_images_of_the_training_part():
    assert share_of_tested(folds_of(count=4)) == pytest.approx(1 / 3)
    assert share_of_tested(folds_of(count=5, repeats=2)) == pytest.approx(1 / 4)


def test_all_held_out_predictions_together_are_those_of_scikit_learn():
    folds = folds_of()
    pooled = cross_validation(folds, NAMES, "none", SETTINGS).pooled
    targets = np.concatenate([fold.targets for fold in folds])
    probabilities = np.concatenate([fold.probabilities for fold in folds])
    assert len(pooled.targets) == len(targets) == 120
    assert pooled.metrics["accuracy"] == pytest.approx(accuracy_score(targets, probabilities.argmax(1)))
    expected = roc_auc_score(targets, probabilities, multi_class="ovr", average="macro")
    assert pooled.metrics["roc_auc"] == pytest.approx(expected)
    assert pooled.counts.actual.sum() == 120


def test_repeats_count_as_folds_and_pool_by_their_mean_probability():
    folds = folds_of(repeats=3)
    result = cross_validation(folds, NAMES, "none", SETTINGS)
    assert result.repeats == 3
    assert len(result.metrics["accuracy"]) == 12
    expected = np.zeros((120, 3))
    for fold in folds:
        expected[fold.ids] += fold.probabilities / 3
    assert result.pooled.probabilities == pytest.approx(expected)
    assert result.pooled.metrics["log_loss"] == pytest.approx(log_loss(result.pooled.targets, expected))
    assert "x 3 repeats" in result.sentence()


def test_a_metric_that_some_folds_lack_is_taken_over_the_others_and_noted():
    folds = folds_of()
    alone = scores(3, [8, 0, 0], 1.0, 0)  # one class only: no ROC
    odd = FoldPredictions(0, 4, np.arange(120, 128), alone[1], alone[0], 111, 9, 3, 5, {"weights": "cd"})
    result = cross_validation([*folds, odd], NAMES, "none", SETTINGS)
    spread = result.spreads["roc_auc"]
    assert spread.undefined == 1
    assert spread.mean == pytest.approx(np.nanmean(result.metrics["roc_auc"]))
    assert "roc_auc: undefined in 1 folds, which are left out" in result.notes


def test_undefined_in_all_folds_is_null():
    one = [
        FoldPredictions(0, f, np.arange(9) + 9 * f, *reversed(scores(3, [9, 0, 0], 1.0, 0)), 9, 1, 1, 1, {})
        for f in (0, 1)
    ]
    result = cross_validation(one, NAMES, "none", SETTINGS)
    content = json.loads(json.dumps(result.to_json()))
    assert content["cv"]["roc_auc"]["value"] is None and content["cv"]["roc_auc"]["out_of_fold"] is None
    assert "cv/roc_auc" not in result.to_metrics() and "cv/accuracy" in result.to_metrics()


def test_json_is_nested_by_the_names_of_the_metrics():
    result = cross_validation(folds_of(repeats=2), NAMES, "none", SETTINGS)
    content, metrics = result.to_json(), result.to_metrics()
    found = unnest({"cv": content["cv"]})
    assert {name: value for name, value in found.items() if value is not None} == metrics
    assert found["cv/top_k_accuracy"] == 1 and found["cv/top_k_accuracy/low"] is None, "all folds are equal"
    assert all(metric_of(name) for name in metrics)
    spread = result.spreads["accuracy"]
    assert metrics["cv/accuracy"] == spread.mean == content["cv"]["accuracy"]["value"]
    assert metrics["cv/accuracy/std"] == spread.std
    assert metrics["cv/accuracy/low"] == spread.student.low
    assert metrics["cv/accuracy/corrected_high"] == spread.corrected.high
    assert metrics["cv/accuracy/out_of_fold"] == result.pooled.metrics["accuracy"]


@pytest.mark.parametrize(
    ("selection", "word"), [("none", "given"), ("non-nested", "optimistic"), ("nested", "inside")]
)
def test_how_the_settings_were_chosen_is_said_everywhere(selection, word):
    result = cross_validation(folds_of(), NAMES, selection, SETTINGS)
    content = result.to_json()
    assert content["selection"] == selection
    assert content["notes"][0].startswith(f"selection {selection}:") and word in content["notes"][0]
    assert result.sentence().endswith(f"selection: {selection}")


def test_published_files(tmp_path):
    result = cross_validation(folds_of(repeats=2), NAMES, "none", SETTINGS)
    pictures = publish_folds(tmp_path, result, DataSpec(NAMES))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "confusion.csv",
        "confusion.png",
        "folds.csv",
        "folds.png",
        "metrics.json",
        "predictions.parquet",
    ]
    assert [path.name for path in pictures] == ["confusion.png", "folds.png"]
    table = pyarrow.parquet.read_table(tmp_path / "predictions.parquet").to_pydict()
    assert len(table["id"]) == 240 and set(table["repeat"]) == {0, 1} and set(table["fold"]) == {0, 1, 2, 3}
    probabilities = np.stack([table[f"p_{index}"] for index in range(3)], axis=1)
    assert probabilities.argmax(axis=1).tolist() == table["predicted"]
    with (tmp_path / "folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["repeat"], row["fold"]) for row in rows] == [
        (str(r), str(f)) for r in (0, 1) for f in range(4)
    ]
    assert [float(row["cv/accuracy"]) for row in rows] == pytest.approx(result.metrics["accuracy"].tolist())
    assert rows[0] | {"images": "30", "train_images": "81", "val_images": "9", "epoch": "3"} == rows[0]
    with (tmp_path / "confusion.csv").open() as file:
        assert (
            sum(row["actual"] == row["predicted"] for row in csv.DictReader(file))
            == result.pooled.counts.hits.sum()
        )


def test_the_same_folds_give_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        publish_folds(tmp_path / name, cross_validation(folds_of(), NAMES, "none", SETTINGS), DataSpec())
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    "values", [[0.9], [0.5, 0.5, 0.5], [0.1, 0.4, 0.2, math.nan], list(np.linspace(0, 1, 60))]
)
def test_the_box_plot_is_drawn_whatever_the_metrics(tmp_path, values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = {
            "accuracy": np.array(values),
            "roc_auc": np.full(len(values), math.nan),
            "log_loss": np.array(values),
        }
        limits = dict.fromkeys(
            shown, Interval(math.nan, math.nan) if len(values) == 1 else Interval(0.2, 0.8)
        )
        path = draw_folds(tmp_path / "folds.png", shown, limits)
    with Image.open(path) as picture:
        assert picture.width < picture.height * 2 and len(set(picture.convert("L").tobytes())) > 1

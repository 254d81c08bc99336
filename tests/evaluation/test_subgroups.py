"""Subgroups: the planted one is found, chance is not, and no number stands without an interval."""

import csv
import math
import warnings

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from statsmodels.stats.proportion import confint_proportions_2indep

from src.config.schema.evaluate import Evaluate
from src.core.errors import AssayError
from src.core.metric_names import metric_of
from src.evaluation.report.subgroups import draw_subgroups, write_subgroups
from src.evaluation.robustness.headline import COLUMNS, FEW, headline_metrics
from src.evaluation.robustness.subgroups import (
    MOST_VALUES,
    describe_gap,
    find_subgroups,
    largest_gap,
    refuse_unusable,
    subgroup_metrics,
)
from src.evaluation.uncertainty.intervals import newcombe, wilson
from tests.support.scores import make_decision

LOW, HIGH = "test/accuracy/low", "test/accuracy/high"


def settings(**changes):
    values = {"bootstrap": 200, "confidence": 0.95, "top_k": 2, "calibration_bins": 10, "mistakes": 1}
    values |= {"batch_size": 64, "corruptions": [], "subgroups": [], "decision": make_decision("argmax")}
    return Evaluate(**values | changes)


def case(counts, wrong, seed=0):
    """Answers, truths and sites: this many images of each site, of which so many answers are wrong."""
    random = np.random.default_rng(seed)
    sites = np.repeat([*counts], [*counts.values()])
    targets = random.integers(0, 3, len(sites))
    predicted = targets.copy()
    for site, number in wrong.items():
        rows = np.flatnonzero(sites == site)[:number]
        predicted[rows] = (targets[rows] + 1) % 3
    return predicted, targets, {"site": sites}


def found_in(counts, wrong, **changes):
    predicted, targets, cells = case(counts, wrong)
    return find_subgroups(predicted, targets, cells, 3, settings(**changes), seed=0)


def test_the_subgroup_with_flipped_labels_is_the_worst_and_its_interval_excludes_the_rest():
    predicted, targets, cells = case({"a": 200, "b": 60, "c": 200, "d": 200}, {"a": 8, "c": 12, "d": 10})
    rows = cells["site"] == "b"
    targets[np.flatnonzero(rows)[::2]] += 1  # every other label of b
    targets %= 3
    cells["time"] = np.where(np.arange(len(rows)) % 2, "day", "night")
    found = find_subgroups(predicted, targets, cells, 3, settings(), seed=0)
    worst = largest_gap(found)
    assert (worst.column, worst.value, worst.images) == ("site", "b", 60)
    accuracy, others = 1 - 30 / 60, 1 - 30 / 600
    assert worst.metrics["test/accuracy"] == pytest.approx(accuracy)
    assert worst.gap == pytest.approx(accuracy - others)
    assert worst.metrics[HIGH] < others
    assert worst.limits.low < worst.gap < worst.limits.high < 0
    assert describe_gap(found).startswith(
        "Subgroups: largest gap: site=b with accuracy 0.5000 (0.377 to 0.623"
    )
    assert "60 images), -0.450 (-0.6" in describe_gap(found)
    assert subgroup_metrics(found) == {
        "test/accuracy/worst_subgroup": 0.5,
        "test/accuracy/worst_subgroup/low": worst.metrics[LOW],
        "test/accuracy/worst_subgroup/high": worst.metrics[HIGH],
    }
    assert all(metric_of(name) for name in subgroup_metrics(found))


def test_a_gap_that_is_sure_goes_before_a_larger_one_of_a_few_images():
    found = found_in({"a": 500, "few": 4, "many": 200}, {"few": 2, "many": 60})
    few, many = (next(each for each in found if each.value == name) for name in ("few", "many"))
    assert few.gap < many.gap
    assert largest_gap(found) is many


def test_chance_is_called_chance():
    found = found_in({"a": 100, "b": 100}, {"a": 5, "b": 8})
    assert "no gap of 2 is beyond chance; largest: site=b" in describe_gap(found)
    assert largest_gap(found).limits.high > 0
    one = found_in({"a": 50}, {"a": 5})
    assert largest_gap(one) is None and subgroup_metrics(one) == {}
    assert describe_gap(one) == "Subgroups: no column has two values among the test images"
    assert one[0].note == "all test images"


@pytest.mark.slow
def test_intervals_of_gaps_hold_for_all_subgroups_at_once():
    """Without real differences, a subgroup of twenty is called worse in at most 5 % of the cases."""
    random = np.random.default_rng(1)
    sites = np.repeat([f"site {number:02}" for number in range(20)], 40)
    targets = np.zeros(len(sites), np.int64)
    alarms = 0
    for _ in range(40):
        predicted = (random.random(len(sites)) < 0.2).astype(np.int64)
        found = find_subgroups(predicted, targets, {"site": sites}, 2, settings(bootstrap=100), seed=0)
        alarms += largest_gap(found).limits.high < 0
    assert alarms <= 5  # of 2 expected; without the correction it would be about 16


def test_few_images_have_an_accuracy_with_a_wide_interval_and_nothing_else():
    found = found_in({"a": 300, "rare": 3}, {"a": 30})
    rare = found[1]
    assert (rare.images, rare.note) == (3, "few images: only the accuracy, with a wide interval")
    assert rare.metrics["test/accuracy"] == 1
    assert (rare.metrics[LOW], rare.metrics[HIGH]) == (wilson(3, 3, 0.95).low, 1)
    assert rare.metrics[LOW] < 0.5
    others = [name for name in COLUMNS if not name.startswith("test/accuracy")]
    assert all(math.isnan(rare.metrics[name]) for name in others)
    few = found_in({"a": 300, "few": FEW - 1}, {"a": 30, "few": 9})[1]  # whose resamples differ
    assert all(math.isnan(few.metrics[name]) for name in others) and few.note
    assert not any(math.isnan(found[0].metrics[name]) for name in COLUMNS) and found[0].note == ""


def test_a_metric_has_an_interval_or_no_value():
    random = np.random.default_rng(0)
    for images in (1, 2, FEW - 1, FEW, 200):
        for wrong in (0.0, 0.2, 1.0):
            targets = random.integers(0, 3, images)
            predicted = np.where(random.random(images) < wrong, (targets + 1) % 3, targets)
            found = headline_metrics(predicted, targets, 3, settings(), seed=0)
            assert set(found) == set(COLUMNS)
            assert math.isfinite(found["test/accuracy"])
            for metric in ("accuracy", "balanced_accuracy", "f1_macro"):
                value, low, high = (found[f"test/{metric}{part}"] for part in ("", "/low", "/high"))
                assert math.isnan(value) == math.isnan(low) == math.isnan(high)
                assert math.isnan(value) or low <= value <= high


@pytest.mark.parametrize("counts", [(56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20), (0, 3, 190, 200)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_newcombe(counts, confidence):
    hits, rows, others, other_rows = counts
    low, high = confint_proportions_2indep(*counts, method="newcomb", alpha=1 - confidence)
    found = newcombe(hits, rows, others, other_rows, confidence)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_newcombe_as_published():
    """Newcombe (1998), table II, method 10."""
    found = newcombe(56, 70, 48, 80, 0.95)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("share", "other", "rows"), [(0.5, 0.9, 20), (0.95, 0.9, 15), (0.7, 0.7, 60)])
def test_intervals_cover_the_truth_as_often_as_stated(share, other, rows):
    random = np.random.default_rng(0)
    draws = zip(random.binomial(rows, share, 800), random.binomial(200, other, 800), strict=True)
    found = [(wilson(a, rows, 0.95), newcombe(a, rows, b, 200, 0.95)) for a, b in draws]
    accuracy = np.mean([each.low <= share <= each.high for each, _ in found])
    gap = np.mean([each.low <= share - other <= each.high for _, each in found])
    assert 0.92 <= accuracy <= 0.99
    assert 0.92 <= gap <= 0.99


def test_the_table_says_what_was_found(tmp_path):
    found = found_in({"": 40, "north, left": 50, "rare": 2}, {"": 4, "north, left": 10})
    write_subgroups(tmp_path / "subgroups.csv", found)
    with (tmp_path / "subgroups.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["column"], row["value"], row["images"]) for row in rows] == [
        ("site", "", "40"),
        ("site", "north, left", "50"),
        ("site", "rare", "2"),
    ]
    assert [row["test/accuracy"] for row in rows] == ["0.9", "0.8", "1"]
    assert rows[2]["test/f1_macro"] == "" and rows[2]["note"].startswith("few images")
    assert float(rows[1]["gap"]) == pytest.approx(0.8 - 38 / 42)
    assert float(rows[1]["gap/low"]) < float(rows[1]["gap"]) < float(rows[1]["gap/high"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["sites"], r"sites: labels\.csv has no such column \(did you mean site\?\); it has site, age"),
        (["age"], r"age: 51 values are too many, at most 50 .* add a column with ranges of them"),
        (["sites", "site", "age"], r"(?s)sites: .*\n  age: "),
    ],
)
def test_columns_that_make_no_subgroups_are_refused(wanted, message):
    columns = {"site": ["north", "south"] * 30, "age": [str(row) for row in range(MOST_VALUES + 1)]}
    with pytest.raises(AssayError, match=message):
        refuse_unusable(wanted, columns)
    refuse_unusable(["site"], columns)


@pytest.mark.parametrize("field", ["subgroups", "corruptions"])
def test_a_name_that_is_given_twice_is_refused(field):
    with pytest.raises(ValidationError, match="names blur twice: name it once"):
        settings(**{field: ["blur", "noise", "blur"]})


def test_columns_of_a_source_that_has_none_are_refused():
    with pytest.raises(AssayError, match=r"site: only labels\.csv \(data\.source=csv\) has columns"):
        refuse_unusable(["site"], {})


def test_the_figure_is_drawn_the_same_each_time_for_any_name(tmp_path):
    predicted, targets, cells = case({"": 40, "猫": 5, "a very long name of a site": 50}, {"": 4})
    cells["time"] = np.where(np.arange(len(targets)) % 2, "day", "night")
    found = find_subgroups(predicted, targets, cells, 3, settings(), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paths = [draw_subgroups(tmp_path / f"{number}.png", found, 0.9, 0.95) for number in range(2)]
        draw_subgroups(tmp_path / "other.png", found, 0.5, 0.95)
    assert paths[0].read_bytes() == paths[1].read_bytes() != (tmp_path / "other.png").read_bytes()
    with Image.open(paths[0]) as image:
        assert min(image.size) > 300

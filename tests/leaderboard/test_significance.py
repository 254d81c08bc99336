"""Paired tests agree with scipy, statsmodels and a textbook, and treat both models alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from src.leaderboard.comparison.change_interval import change_interval, mean_interval
from statsmodels.stats.contingency_tables import mcnemar as reference

from src.evaluation.metrics.bootstrap import bootstrap
from src.leaderboard.table.significance import (
    FEW,
    Discordance,
    accuracy_change,
    discordance,
    mcnemar,
    one_sided_p,
    significantly_worse,
)

LIMITS = {"resamples": 400, "confidence": 0.95, "seed": 3}
relaxed = settings(deadline=None)  # the first example imports scipy
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=120)


def pair(both, lost, won, neither):
    """(before, after) with these counts of images, in a mixed order."""
    before = np.repeat([True, True, False, False], [both, lost, won, neither])
    after = np.repeat([True, False, True, False], [both, lost, won, neither])
    order = np.random.default_rng(0).permutation(len(before))
    return before[order], after[order]


def arrays(pairs):
    before, after = zip(*pairs, strict=True)
    return np.array(before), np.array(after)


@pytest.mark.parametrize("lost", [0, 1, 2, 7, 12])
@pytest.mark.parametrize("won", [0, 3, 12])
def test_few_discordant_images_are_judged_exactly(lost, won):
    before, after = pair(30, lost, won, 5)
    expected = binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert mcnemar(before, after) == pytest.approx(expected, rel=1e-12)
    if lost + won:
        table = [[30, lost], [won, 5]]
        assert mcnemar(before, after) == pytest.approx(reference(table, exact=True).pvalue, rel=1e-12)


@pytest.mark.parametrize(("lost", "won"), [(20, 5), (13, 12), (60, 31), (3, 200), (500, 430)])
def test_many_are_judged_by_the_corrected_chi_square(lost, won):
    table = [[100, lost], [won, 40]]
    expected = reference(table, exact=False, correction=True).pvalue
    assert mcnemar(*pair(100, lost, won, 40)) == pytest.approx(expected, rel=1e-12)


def test_the_two_methods_meet_where_they_change_over():
    exact = binomtest(8, FEW).pvalue
    assert mcnemar(*pair(10, 8, FEW - 8, 10)) == pytest.approx(exact, rel=0.02)


def test_equal_losses_and_gains_are_no_sign_of_a_change():
    assert mcnemar(*pair(10, 40, 40, 10)) == 1.0  # the correction must not turn a gap of 0 into one of 1
    assert mcnemar(*pair(10, 4, 4, 10)) == 1.0


def test_presidential_approval():
    """Agresti, Categorical Data Analysis (2nd edition, 2002), section 10.1: 1,600 people in two surveys.

    944 approve at first and 880 later; the change is -0.04 with a 95% interval of (-0.06, -0.02), and
    z² = (86 - 150)² / (86 + 150) = 17.36. Edwards's correction makes that (64 - 1)² / 236 = 16.82.
    """
    before, after = pair(794, 150, 86, 570)
    assert discordance(before, after) == Discordance(lost=150, won=86)
    assert accuracy_change(before, after) == pytest.approx(-0.04)
    limits = change_interval(before, after, resamples=2000, confidence=0.95, seed=0)
    assert (round(limits.low, 2), round(limits.high, 2)) == (-0.06, -0.02)
    assert mcnemar(before, after) == pytest.approx(4.1e-5, abs=0.05e-5)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (0, 5), (5, 0), (9, 4), (300, 250)])
def test_one_sided_is_the_exact_sign_test(lost, won):
    expected = binomtest(lost, lost + won, alternative="greater").pvalue if lost + won else 1.0
    assert one_sided_p(*pair(50, lost, won, 9)) == pytest.approx(expected, rel=1e-12)


def test_worse_at_a_level():
    before, after = pair(50, 9, 2, 9)  # p = 0.0327
    assert one_sided_p(before, after) == pytest.approx(67 / 2048)
    assert significantly_worse(before, after, 0.05)
    assert not significantly_worse(before, after, 0.03)
    assert not significantly_worse(after, before, 0.05), "the better one is not worse"
    assert not significantly_worse(before, before, 0.999), "no image says anything"


@relaxed
@given(PAIRS)
def test_both_directions_have_one_p_value(pairs):
    before, after = arrays(pairs)
    assert mcnemar(before, after) == mcnemar(after, before)
    assert 0 < mcnemar(before, after) <= 1
    assert accuracy_change(before, after) == -accuracy_change(after, before)


@relaxed
@given(PAIRS, st.integers(0, 40), st.randoms())
def test_only_discordant_images_count_and_in_no_order(pairs, concordant, random):
    before, after = arrays(pairs)
    mixed = pairs + [(True, True), (False, False)] * concordant
    random.shuffle(mixed)
    assert mcnemar(*arrays(mixed)) == mcnemar(before, after)
    assert one_sided_p(*arrays(mixed)) == one_sided_p(before, after)


@relaxed
@given(PAIRS)
def test_losing_one_more_image_makes_it_worse(pairs):
    more = [*pairs, (True, False)]
    assert one_sided_p(*arrays(more)) <= one_sided_p(*arrays(pairs))


@settings(max_examples=25, deadline=None)
@given(PAIRS)
def test_the_interval_turns_with_the_pair_and_keeps_its_bounds(pairs):
    before, after = arrays(pairs)
    ahead, back = change_interval(before, after, **LIMITS), change_interval(after, before, **LIMITS)
    assert (ahead.low, ahead.high) == pytest.approx((-back.high, -back.low), abs=1e-12)
    assert -1 <= ahead.low <= ahead.high <= 1
    same = change_interval(before, before, **LIMITS)
    assert (same.low, same.high) == (0, 0)


def test_the_interval_is_that_of_a_plain_loop():
    before, after = pair(30, 8, 4, 6)
    random = np.random.default_rng(0)
    rows = [random.integers(0, len(before), len(before)) for _ in range(4000)]
    changes = [after[some].mean() - before[some].mean() for some in rows]
    limits = change_interval(before, after, resamples=4000, confidence=0.9, seed=1)
    assert (limits.low, limits.high) == pytest.approx(tuple(np.quantile(changes, [0.05, 0.95])), abs=0.022)


def test_accuracy_has_the_limits_that_evaluate_gives_it():
    random = np.random.default_rng(0)
    targets = random.integers(0, 3, 200)
    probabilities = random.dirichlet(np.ones(3), 200)
    right = probabilities.argmax(axis=1) == targets
    other = bootstrap(probabilities, targets, top_k=2, bins=5, advance=lambda n: None, **LIMITS)["accuracy"]
    limits = mean_interval(right.astype(np.float64), **LIMITS)
    assert (limits.low, limits.high) == pytest.approx((other.low, other.high), abs=1e-12)


def test_a_pair_gives_a_narrower_interval_than_two_samples():
    """The same images for both: what both have right does not blur the change."""
    before, after = pair(900, 30, 20, 50)
    limits = change_interval(before, after, **LIMITS)
    apart = np.hypot(before.std(), after.std()) / np.sqrt(len(before)) * 2 * 1.96
    assert limits.high - limits.low < 0.7 * apart


def test_intervals_cover_the_true_change_about_as_often_as_they_say():
    random, covered = np.random.default_rng(0), 0
    for seed in range(200):
        before = random.random(300) < 0.9
        after = np.where(before, random.random(300) < 0.95, random.random(300) < 0.3)
        limits = change_interval(before, after, resamples=300, confidence=0.9, seed=seed)
        covered += limits.low <= 0.1 * 0.3 - 0.9 * 0.05 <= limits.high
    assert 166 <= covered <= 193  # 180 expected at 0.9, standard deviation 4.2


def test_what_is_no_pair_is_refused():
    one = np.ones(3, dtype=bool)
    for before, after in ((one, one[:2]), (one, np.ones(3)), (np.ones(3), one), (one[None], one[None])):
        with pytest.raises(ValueError, match="must be two boolean arrays"):
            mcnemar(before, after)

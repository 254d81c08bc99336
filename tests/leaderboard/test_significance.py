"""Paired tests agree with scipy, statsmodels and a textbook, and treat both models alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar as reference

from src.leaderboard.table.significance import (
    FEW,
    Discordance,
    accuracy_change,
    change_interval,
    discordance,
    loss_limit,
    loss_p,
    mcnemar,
)

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
    assert discordance(before, after) == Discordance(lost=150, won=86, images=1600)
    assert accuracy_change(before, after) == pytest.approx(-0.04)
    limits = change_interval(before, after, 0.95)
    assert (round(limits.low, 2), round(limits.high, 2)) == (-0.06, -0.02)
    assert mcnemar(before, after) == pytest.approx(4.1e-5, abs=0.05e-5)


@pytest.mark.parametrize(
    ("lost", "won", "images", "confidence", "low", "high", "digits"),
    [
        # Tango (1998), section 6.1: two disinfections of contact lenses, of 44 one is lost and none is won.
        # He gives the lower limit of the change, -0.096, of the 90% interval.
        (1, 0, 44, 0.90, -0.096, None, 3),
        # Section 6.2: 32 patients, 9 against 3, and a 95% interval of (-0.027, 0.390).
        (3, 9, 32, 0.95, -0.027, 0.390, 3),
        # Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8:
        # response to consolidation therapy (Cavo, 2012), by their R package contingencytables.
        (16, 6, 161, 0.95, -0.1240, -0.0054, 4),
        # scoreci.mp(25, 28, 618) of the R package PropCIs.
        (25, 28, 618, 0.90, -0.0148, 0.0247, 4),
    ],
)
def test_tangos_interval_is_that_of_published_examples(lost, won, images, confidence, low, high, digits):
    both = (images - lost - won) // 2
    found = change_interval(*pair(both, lost, won, images - both - lost - won), confidence)
    assert round(found.low, digits) == low
    assert high is None or round(found.high, digits) == high


def test_tangos_test_is_that_of_his_example():
    """Section 6.1: for a margin of 0.1 the statistic is 1.709, and p is 0.044."""
    assert loss_p(Discordance(lost=1, won=0, images=44), 0.1) == pytest.approx(0.044, abs=5e-4)
    assert loss_p(Discordance(lost=1, won=0, images=44), 0.1) == pytest.approx(norm.sf(1.709), abs=5e-5)


@pytest.mark.parametrize("images", [1, 40, 270, 10_000])
def test_without_a_disagreement_the_limit_is_known_in_closed_form(images):
    """z² / (n + z²): 0.99 points for 270 images. A bootstrap would say 0."""
    z = norm.ppf(0.95)
    limit = loss_limit(Discordance(0, 0, images), 0.05)
    assert limit == pytest.approx(z**2 / (images + z**2), rel=1e-9)
    assert images != 270 or round(100 * limit, 2) == 0.99


def test_without_a_loss_to_suppose_the_statistic_is_mcnemars():
    """Tango (1998), section 6.2: with a supposed loss of zero, (lost - won) / sqrt(lost + won)."""
    assert loss_p(Discordance(4, 9, 100), 1e-12) == pytest.approx(norm.cdf((4 - 9) / np.sqrt(13)), rel=1e-6)


@relaxed
@given(PAIRS, st.floats(0.001, 0.4), st.floats(0.001, 0.9))
def test_the_limit_is_within_the_margin_exactly_if_the_test_rejects(pairs, level, margin):
    found = discordance(*arrays(pairs))
    limit = loss_limit(found, level)
    assert found.loss <= limit <= 1
    if abs(limit - margin) > 1e-9:
        assert (limit <= margin) == (loss_p(found, margin) <= level)


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
    found, more = discordance(before, after), discordance(*arrays(mixed))
    assert (more.lost, more.won) == (found.lost, found.won)


@relaxed
@given(PAIRS)
def test_losing_one_more_image_raises_the_limit(pairs):
    one, more = (discordance(*arrays(some)) for some in ([*pairs, (True, True)], [*pairs, (True, False)]))
    assert loss_limit(more, 0.05) > loss_limit(one, 0.05) or one.loss == 1


@relaxed
@given(PAIRS)
def test_the_interval_turns_with_the_pair_keeps_its_bounds_and_has_a_width(pairs):
    before, after = arrays(pairs)
    ahead, back = change_interval(before, after, 0.95), change_interval(after, before, 0.95)
    assert (ahead.low, ahead.high) == pytest.approx((-back.high, -back.low), abs=1e-12)
    assert -1 <= ahead.low <= accuracy_change(before, after) <= ahead.high <= 1
    assert ahead.high - ahead.low > 0.01
    same = change_interval(before, before, 0.95)
    assert same.low < 0 < same.high


def coverage(confidence_level, images, share_lost, share_won, repeats=4000):
    """How often the one-sided limit is at least the true loss."""
    random = np.random.default_rng([images, round(1e4 * share_lost)])
    draws = random.multinomial(images, [share_lost, share_won, 1 - share_lost - share_won], repeats)
    counts, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    limits = [loss_limit(Discordance(int(a), int(b), images), 1 - confidence_level) for a, b in counts]
    return times[np.array(limits) >= share_lost - share_won - 1e-12].sum() / repeats


@pytest.mark.parametrize("images", [270, 1000])
@pytest.mark.parametrize(("lost", "won"), [(0.02, 0.0), (0.025, 0.005), (0.04, 0.02), (0.11, 0.09)])
def test_an_inferior_model_passes_in_at_most_five_percent(images, lost, won):
    """The type I error, where the loss is exactly a margin of two points.

    It is 95 percent if the inequality is inverted, and 2.0 to 2.6 with a two-sided limit.
    """
    passed = 1 - coverage(0.95, images, lost, won)
    assert passed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
    if won >= 0.02:  # with fewer discordant images the method is conservative
        assert passed >= 0.035


def test_a_model_as_good_as_the_other_passes_more_often_the_more_images_there_are():
    def power(images):
        random = np.random.default_rng(0)
        draws = random.multinomial(images, [0.005, 0.005, 0.99], 400)[:, :2]
        return np.mean([loss_p(Discordance(int(a), int(b), images), 0.02) <= 0.05 for a, b in draws])

    assert power(270) < power(1000) and power(1000) > 0.99


def test_what_is_no_pair_is_refused():
    one = np.ones(3, dtype=bool)
    for before, after in ((one, one[:2]), (one, np.ones(3)), (np.ones(3), one), (one[None], one[None])):
        with pytest.raises(ValueError, match="must be two boolean arrays"):
            mcnemar(before, after)
    with pytest.raises(ValueError, match="must have at least one image"):
        discordance(one[:0], one[:0])

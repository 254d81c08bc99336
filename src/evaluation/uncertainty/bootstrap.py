"""How far a metric can be trusted: percentile bootstrap over the images (Efron, 1979).

Each resample draws as many rows as there are, with replacement, and all metrics are computed on the same
resamples. A resample is a vector of weights (how often each row was drawn), so nothing is sorted again:
what depends on ranks is summed in the order of the full sample.

A resample in which a metric is undefined (no row of the positive class, one class only) is left out of
that metric's interval and counted in ``undefined``. Macro averages cover the classes in the resample, as
the metric itself covers the classes in the sample.

A bootstrap says nothing if all resamples are equal, as for a model without a mistake: such a metric
has no interval. Shares of images get Wilson's interval instead, which has a width at 0 and at 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from src.core.seeds import derive_seed
from src.evaluation.metrics import classification
from src.evaluation.metrics.calibration import bin_index
from src.evaluation.metrics.classification import ConfusionCounts, Floats, Integers
from src.evaluation.uncertainty.intervals import Interval, percentiles, wilson

Weights = NDArray[np.int32]  # (n, resamples of a block): how often each row was drawn

BLOCK = 1_000_000  # weights held at once
AREA_BUDGET = 10**10  # rows x classes x resamples; above it, areas under curves have no interval


@dataclass(frozen=True)
class _Ranking:
    """One class against the rest, rows in descending order of its probability."""

    order: Integers  # (n,) row of each rank
    ranks: Integers  # (p,) rank of each row of the class
    first: Integers  # (p,) first rank of the rows with an equal probability
    last: Integers  # (p,) last rank of them


def bootstrap(
    probabilities: Floats,
    targets: Integers,
    *,
    top_k: int,
    bins: int,
    resamples: int,
    confidence: float,
    seed: int,
    advance: Callable[[int], None],
) -> dict[str, Interval]:
    """Intervals of the metrics of :func:`classification.summary`, by name; those of shares are Wilson's.

    Args:
        probabilities: (n, K).
        targets: (n,).
        top_k: k of ``top_k_accuracy``.
        bins: of the calibration error.
        resamples: how many to draw.
        confidence: share of the resamples that an interval covers.
        seed: decides the resamples.
        advance: called with the number of resamples in each finished block.
    """
    values = resample(
        probabilities, targets, top_k=top_k, bins=bins, resamples=resamples, seed=seed, advance=advance
    )
    shares = {
        name: wilson(hits, len(targets), confidence)
        for name, hits in _hits(probabilities, targets, top_k).items()
    }
    return {name: percentiles(of_metric, confidence) for name, of_metric in values.items()} | shares


def resample(
    probabilities: Floats,
    targets: Integers,
    *,
    top_k: int,
    bins: int,
    resamples: int,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
    of_class: int | None = None,
) -> dict[str, Floats]:
    """Each metric on each resample, (``resamples``,); NaN where undefined. Arguments: as of `bootstrap`.

    The resamples depend on ``seed`` and n only, so two models are resampled in pairs. With ``of_class`` there
    are also precision, recall and F1 of that class.
    """
    statistics = _statistics(probabilities, targets, top_k, bins, resamples)
    if of_class is not None:
        statistics.append(_class_statistic(probabilities, targets, of_class))
    return _on_each_resample(statistics, len(targets), resamples, seed, advance)


def bootstrap_answers(
    predicted: Integers, targets: Integers, classes: int, *, resamples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Intervals of the metrics of :func:`classification.from_counts`, by name; those of shares are Wilson's.

    For answers without probabilities. ``predicted`` and ``targets``: (n,); the others: as of `bootstrap`.
    """
    values = _on_each_resample([_count_statistic(predicted, targets, classes)], len(targets), resamples, seed)
    right = wilson(int((predicted == targets).sum()), len(targets), confidence)
    found = {name: percentiles(of_metric, confidence) for name, of_metric in values.items()}
    return found | {"accuracy": right, "recall_weighted": right}


def bootstrap_means(
    values: Mapping[str, Floats], *, resamples: int, confidence: float, seed: int
) -> dict[str, Interval]:
    """Intervals of the mean of values (n,) of the same n images, by name; arguments: as of `bootstrap`."""
    rows = len(next(iter(values.values())))
    means = _on_each_resample([_mean_statistic(values)], rows, resamples, seed)
    return {name: percentiles(of_name, confidence) for name, of_name in means.items()}


def bootstrap_weights(seed: int, rows: int, resamples: int) -> Iterator[Weights]:
    """Blocks of resamples as weights (rows, block); each column sums to ``rows``."""
    random = np.random.default_rng(derive_seed(seed, "bootstrap"))
    block = max(1, BLOCK // rows)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        columns = [np.bincount(random.integers(0, rows, rows), minlength=rows) for _ in range(size)]
        yield np.stack(columns, axis=1).astype(np.int32)


def _on_each_resample(
    statistics: Sequence[Callable[[Weights], dict[str, Floats]]],
    rows: int,
    resamples: int,
    seed: int,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Floats]:
    """What the statistics say of each resample of n ``rows``, by name, (``resamples``,)."""
    found: dict[str, list[Floats]] = {}
    for weights in bootstrap_weights(seed, rows, resamples):
        for statistic in statistics:
            for name, values in statistic(weights).items():
                found.setdefault(name, []).append(values)
        advance(weights.shape[1])
    return {name: np.concatenate(values) for name, values in found.items()}


def _hits(probabilities: Floats, targets: Integers, top_k: int) -> dict[str, int]:
    """Images that count in each metric that is a share of the images."""
    right = int((classification.predict(probabilities) == targets).sum())
    found = {"accuracy": right, "recall_weighted": right}  # the same by definition
    if top_k < probabilities.shape[1]:
        found["top_k_accuracy"] = int(classification.top_hits(probabilities, targets, top_k).sum())
    return found


def _statistics(
    probabilities: Floats, targets: Integers, top_k: int, bins: int, resamples: int
) -> list[Callable[[Weights], dict[str, Floats]]]:
    """Functions from weights (n, r) to metrics (r,) by name."""
    rows = {
        "log_loss": classification.log_losses(probabilities, targets),
        "brier": classification.brier_scores(probabilities, targets),
    }
    if top_k < probabilities.shape[1]:
        hits = classification.top_hits(probabilities, targets, top_k)
        rows["top_k_accuracy"] = hits.astype(np.float64)
    statistics = [
        _count_statistic(classification.predict(probabilities), targets, probabilities.shape[1]),
        _mean_statistic(rows),
        _calibration_statistic(probabilities, targets, bins),
    ]
    if probabilities.size * resamples <= AREA_BUDGET:
        statistics.append(_area_statistic(probabilities, targets))
    return statistics


def _count_statistic(
    predicted: Integers, targets: Integers, classes: int
) -> Callable[[Weights], dict[str, Floats]]:
    counted = _counter(predicted, targets, classes)
    return lambda weights: classification.from_counts(counted(weights))


def _class_statistic(
    probabilities: Floats, targets: Integers, index: int
) -> Callable[[Weights], dict[str, Floats]]:
    counted = _counter(classification.predict(probabilities), targets, probabilities.shape[1])
    return lambda weights: classification.of_class(counted(weights), index)


def _counter(predicted: Integers, targets: Integers, classes: int) -> Callable[[Weights], ConfusionCounts]:
    right = np.flatnonzero(predicted == targets)

    def counted(weights: Weights) -> ConfusionCounts:
        hits = _sum_groups(weights[right], targets[right], classes)
        actual = _sum_groups(weights, targets, classes)
        return ConfusionCounts(hits, actual, _sum_groups(weights, predicted, classes))

    return counted


def _mean_statistic(rows: Mapping[str, Floats]) -> Callable[[Weights], dict[str, Floats]]:
    def statistic(weights: Weights) -> dict[str, Floats]:
        # einsum, because the sums of a matrix product depend on the number of threads
        return {name: np.einsum("i,ij->j", values, weights) / len(values) for name, values in rows.items()}

    return statistic


def _calibration_statistic(
    probabilities: Floats, targets: Integers, bins: int
) -> Callable[[Weights], dict[str, Floats]]:
    confidence = probabilities.max(axis=1)
    gap = (classification.predict(probabilities) == targets) - confidence
    place = bin_index(confidence, bins)

    def statistic(weights: Weights) -> dict[str, Floats]:
        # |accuracy - confidence| x share of the images = |sum of the gaps| / n, for each bin
        gaps = _sum_groups(weights * gap[:, None], place, bins)
        return {"calibration_error": np.abs(gaps).sum(axis=1) / len(gap)}

    return statistic


def _area_statistic(probabilities: Floats, targets: Integers) -> Callable[[Weights], dict[str, Floats]]:
    classes = probabilities.shape[1]
    # of two classes the second one counts, so the first needs no ranking
    needed = [index for index in np.unique(targets) if classes > 2 or index == 1]
    rankings = {index: _rank(probabilities[:, index], targets == index) for index in needed}

    def statistic(weights: Weights) -> dict[str, Floats]:
        shape = (weights.shape[1], classes)
        roc_auc, precision = np.full(shape, np.nan), np.full(shape, np.nan)
        for index, ranking in rankings.items():
            roc_auc[:, index], precision[:, index] = _areas(weights, ranking)
        return {
            "roc_auc": classification.average_area(roc_auc),
            "average_precision": classification.average_area(precision),
        }

    return statistic


def _rank(scores: Floats, positive: NDArray[np.bool_]) -> _Ranking:
    order = np.argsort(-scores, kind="stable")
    descending = -scores[order]
    ranks = np.flatnonzero(positive[order])
    first = np.searchsorted(descending, descending[ranks], side="left")
    last = np.searchsorted(descending, descending[ranks], side="right") - 1
    return _Ranking(order, ranks, first, last)


def _areas(weights: Weights, ranking: _Ranking) -> tuple[Floats, Floats]:
    """Areas under the ROC and the precision-recall curve of one class, each (r,)."""
    ordered = weights[ranking.order]  # (n, r)
    seen = np.cumsum(ordered, axis=0, dtype=np.int32)  # rows up to each rank
    positive = ordered[ranking.ranks]  # (p, r)
    positives_seen = np.cumsum(positive, axis=0, dtype=np.int32)
    # positions of the tied rows of the class within its own ranks: one past the last, and the first
    past = np.searchsorted(ranking.ranks, ranking.last, side="right")
    before = np.searchsorted(ranking.ranks, ranking.first, side="left")
    hits = positives_seen[past - 1]
    drawn = seen[ranking.last]
    above = _cumulative_before(seen, ranking.first) - _cumulative_before(positives_seen, before)
    # a row of the class beats the others below it, and half of those that tie with it
    total = positives_seen[-1].astype(np.float64)
    others = seen[-1] - total
    won = (positive * (others - 0.5 * ((drawn - hits) + above))).sum(axis=0)
    precise = (positive * (hits / np.maximum(drawn, 1))).sum(axis=0)
    return classification.ratio(won, total * others), classification.ratio(precise, total)


def _cumulative_before(cumulated: Weights, places: Integers) -> Weights:
    """Cumulated weights before each place, (len(places), r)."""
    return np.where(places[:, None] > 0, cumulated[np.maximum(places, 1) - 1], 0)


def _sum_groups(values: NDArray[np.generic], groups: Integers, size: int) -> Floats:
    """Sum the rows of ``values`` (n, r) by group: (r, ``size``)."""
    sums = np.zeros((size, values.shape[1]))
    if len(groups):
        order = np.argsort(groups, kind="stable")
        present, starts = np.unique(groups[order], return_index=True)
        sums[present] = np.add.reduceat(values[order], starts, axis=0)
    return sums.T

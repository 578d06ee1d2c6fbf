"""Scores of thousands of resamples of rows, many resamples at once.

A resample is all there is to know of it once it says how often each row was
drawn. Metrics that need no more than sums over rows are then products of
matrices; ranks are sums of counts. Resamples are scored in groups, so that
memory does not grow with their number.
"""

import numpy as np

from keras_kd.evaluation.class_counts import COUNT_METRICS
from keras_kd.evaluation.class_counts import LABEL_COUNT_METRICS
from keras_kd.evaluation.entity_scores import f1_of_counts
from keras_kd.evaluation.regression_scores import average_ranks
from keras_kd.evaluation.regression_scores import pearson

CELLS_AT_ONCE = 4_000_000
CORRELATIONS = ("pearson", "spearman")
SUMMED_METRICS = {"entity_f1": f1_of_counts}


def mean_draws(difference, resamples, generator):
    """Means of resampled rows, from the counts of each distinct value."""
    rows = len(difference)
    largest = np.abs(difference).max()
    difference = np.concatenate([difference, [largest, -largest]])
    values, counts = np.unique(difference.round(12), return_counts=True)
    means = []
    if len(values) <= rows // 20:
        share = counts / counts.sum()
        for size in _chunks(resamples, len(values)):
            drawn = generator.multinomial(rows, share, size=size)
            means.append(drawn @ values / rows)
    else:
        for size in _chunks(resamples, rows):
            drawn = generator.integers(len(difference), size=(size, rows))
            means.append(difference[drawn].mean(axis=1))
    return np.concatenate(means)


def count_draws(a, b, labels, metric, resamples, generator):
    """Differences of a metric that needs no more than counts by class.

    Rows with the same label and the same predictions by all runs are one kind
    of row: how often each kind is drawn says all about a resample.
    """
    metric = COUNT_METRICS[metric]
    kinds, counts = np.unique(
        np.concatenate([labels[None], a, b]).astype("int64"),
        axis=1,
        return_counts=True,
    )
    # One column a class, one array for the labels and each run.
    truth, *runs = np.eye(kinds.max() + 1)[kinds]

    def scores(drawn):
        actual = drawn @ truth
        return np.stack(
            [metric(drawn @ (truth * run), drawn @ run, actual) for run in runs]
        )

    share = counts / counts.sum()
    draws = []
    for size in _chunks(resamples, len(counts)):
        drawn = generator.multinomial(counts.sum(), share, size=size)
        a_drawn, b_drawn = np.split(scores(drawn), 2)
        draws.append(b_drawn.mean(axis=0) - a_drawn.mean(axis=0))
    a_scores, b_scores = np.split(scores(counts), 2)
    return a_scores, b_scores, np.concatenate(draws)


def label_count_draws(a, b, labels, metric, resamples, generator):
    """Differences of a metric of multi-label predictions.

    `a` and `b` are `[seeds, rows, classes]` and `labels` `[rows, classes]`, of
    0 and 1.
    """
    metric = LABEL_COUNT_METRICS[metric]
    rows = len(labels)
    truth = labels.astype("float64")
    a, b = a.astype(bool), b.astype(bool)

    def scores(drawn):
        drawn = drawn.T
        actual = drawn @ truth
        return [
            np.stack(
                [
                    metric(drawn @ (truth * run), drawn @ run, actual, rows)
                    for run in runs.astype("float64")
                ]
            )
            for runs in (a, b)
        ]

    draws = []
    for size in _chunks(resamples, max(truth.shape)):
        a_drawn, b_drawn = scores(_draw_counts(rows, size, generator))
        draws.append(b_drawn.mean(axis=0) - a_drawn.mean(axis=0))
    a_scores, b_scores = scores(np.ones((rows, 1)))
    return a_scores[:, 0], b_scores[:, 0], np.concatenate(draws)


def summed_draws(a, b, labels, metric, resamples, generator):
    """Differences of a metric of counts that are summed over the rows.

    `a` and `b` are `[seeds, rows, counts]`; `labels` are not looked at.
    """
    metric = SUMMED_METRICS[metric]
    rows = a.shape[1]

    def scores(drawn):
        return [
            np.stack([metric(drawn @ run) for run in runs]) for runs in (a, b)
        ]

    draws = []
    for size in _chunks(resamples, rows):
        a_drawn, b_drawn = scores(_draw_counts(rows, size, generator).T)
        draws.append(b_drawn.mean(axis=0) - a_drawn.mean(axis=0))
    a_scores, b_scores = scores(np.ones((1, rows)))
    return a_scores[:, 0], b_scores[:, 0], np.concatenate(draws)


def correlation_draws(a, b, labels, metric, resamples, generator):
    """Differences of Pearson's or Spearman's correlation with the labels.

    For Spearman's every resample is ranked anew: a row that was drawn three
    times is three equal values, which share a rank.
    """
    rows = len(labels)
    rank = metric == "spearman"

    def score(values):
        pair = (values, labels)
        return pearson(*map(average_ranks, pair)) if rank else pearson(*pair)

    # Pearson's does not mind: sums of squares stay precise.
    truth, *runs = [
        _Ranks(values) if rank else _standardised(values)
        for values in (labels, *a, *b)
    ]
    draws = []
    # Ranks take several arrays of that size, better in the cache.
    for size in _chunks(resamples, 8 * rows):
        drawn = _draw_counts(rows, size, generator)
        correlate = _rank_correlations if rank else _correlations
        a_drawn, b_drawn = np.split(correlate(drawn, truth, runs), 2)
        draws.append(b_drawn.mean(axis=0) - a_drawn.mean(axis=0))
    a_scores, b_scores = (
        np.array([score(run) for run in arm]) for arm in (a, b)
    )
    return a_scores, b_scores, np.concatenate(draws)


def function_draws(a, b, labels, metric, resamples, generator):
    """Differences of any function of the rows; as slow as that function."""

    def scores(runs, rows):
        return np.array([metric(run[rows], labels[rows]) for run in runs])

    everything = np.arange(len(labels))
    draws = np.empty(resamples)
    for index in range(resamples):
        rows = generator.integers(len(labels), size=len(labels))
        draws[index] = scores(b, rows).mean() - scores(a, rows).mean()
    return scores(a, everything), scores(b, everything), draws


def _chunks(total, width):
    """Sizes that sum to `total`, so that a chunk's cells fit in memory."""
    size = max(1, min(total, CELLS_AT_ONCE // max(width, 1)))
    return [min(size, total - start) for start in range(0, total, size)]


def _draw_counts(rows, size, generator):
    """How often each row is drawn, `[rows, size]`, floats for products."""
    drawn = generator.integers(rows, size=(size, rows))
    drawn *= size
    drawn += np.arange(size)[:, np.newaxis]
    counts = np.bincount(drawn.ravel(), minlength=size * rows)
    return counts.reshape(rows, size).astype("float64")


def _standardised(values):
    values = values - values.mean()
    return values / (values.std() or 1.0)


def _correlations(drawn, truth, runs):
    """Pearson's correlation of each run in each resample, `[runs, size]`."""

    def mean(values):
        return values @ drawn / len(drawn)

    def variance(values):
        return mean(values**2) - mean(values) ** 2

    return np.stack(
        [
            _correlation(
                mean(truth * run) - mean(truth) * mean(run),
                variance(truth),
                variance(run),
            )
            for run in runs
        ]
    )


def _rank_correlations(drawn, truth, runs):
    """Spearman's correlation of each run in each resample, `[runs, size]`."""
    truth = truth.in_resamples(drawn)
    weighted = drawn * truth
    variance = np.einsum("ij,ij->j", weighted, truth) / len(drawn)
    correlations = []
    for run in runs:
        ranks = run.in_resamples(drawn)
        covariance = np.einsum("ij,ij->j", weighted, ranks) / len(drawn)
        own = np.einsum("ij,ij,ij->j", drawn, ranks, ranks) / len(drawn)
        correlations.append(_correlation(covariance, variance, own))
    return np.stack(correlations)


def _correlation(covariance, a_variance, b_variance):
    """0 where one of the two does not vary, but for rounding."""
    varies = np.minimum(a_variance, b_variance) > 1e-12
    product = np.where(varies, a_variance * b_variance, 1.0)
    return np.where(varies, covariance / np.sqrt(product), 0.0)


class _Ranks:
    """Ranks of values in resamples, from how often each row was drawn."""

    def __init__(self, values):
        self._order = np.argsort(values, kind="stable")
        distinct, self._group = np.unique(values, return_inverse=True)
        self._starts = np.searchsorted(values[self._order], distinct)

    def in_resamples(self, drawn):
        """Average ranks of the rows, less the mean rank: `[rows, size]`.

        Rows that were not drawn get one as well, and count 0 times.
        """
        counts = drawn[self._order]
        if len(self._starts) < len(self._order):
            counts = np.add.reduceat(counts, self._starts, axis=0)
        ranks = np.cumsum(counts, axis=0)
        ranks -= (counts + len(drawn)) / 2
        return ranks[self._group]

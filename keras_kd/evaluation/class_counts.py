"""Metrics that need no more than counts by class.

Each takes hits, predictions and true rows of each class, all of the shape
`[..., classes]`, so that thousands of resamples are scored at once. A ratio
without anything to divide by is 0, as in scikit-learn.
"""

import numpy as np


def ratio(numerator, denominator):
    """A quotient; 0 where the denominator is, and with it the numerator."""
    return numerator / np.where(denominator == 0, 1, denominator)


def f1_scores(hits, predicted, actual):
    """F1 of each class."""
    return ratio(2 * hits, predicted + actual)


def _precisions(hits, predicted, actual):
    return ratio(hits, predicted)


def _recalls(hits, predicted, actual):
    return ratio(hits, actual)


# === One class a row ===


def _accuracy(hits, predicted, actual):
    return hits.sum(-1) / actual.sum(-1)


def _macro(by_class):
    """The mean over the classes that occur, in labels or predictions."""

    def metric(hits, predicted, actual):
        occurs = (predicted + actual > 0).sum(-1)
        return by_class(hits, predicted, actual).sum(-1) / occurs

    return metric


def _weighted(by_class):
    """The mean over the classes, weighted by their true rows."""

    def metric(hits, predicted, actual, rows=None):
        values = by_class(hits, predicted, actual)
        return ratio((values * actual).sum(-1), actual.sum(-1))

    return metric


def _matthews(hits, predicted, actual):
    hits, predicted, actual = _floats(hits, predicted, actual)
    rows = actual.sum(-1)
    spread = (rows**2 - (predicted**2).sum(-1)) * (
        rows**2 - (actual**2).sum(-1)
    )
    return ratio(
        hits.sum(-1) * rows - (predicted * actual).sum(-1), np.sqrt(spread)
    )


def _of_last_class(hits, predicted, actual):
    """Of two classes the second one is what is looked for."""
    return f1_scores(hits, predicted, actual)[..., -1]


COUNT_METRICS = {
    "accuracy": _accuracy,
    "f1": _of_last_class,
    "macro_f1": _macro(f1_scores),
    "macro_precision": _macro(_precisions),
    "macro_recall": _macro(_recalls),
    "weighted_f1": _weighted(f1_scores),
    "weighted_precision": _weighted(_precisions),
    "weighted_recall": _weighted(_recalls),
    "mcc": _matthews,
}
"""Of rows with one class each: functions of hits, predictions, true rows."""


# === Any number of labels a row ===


def _micro(by_class):
    """All decisions as if they were about one and the same label."""

    def metric(hits, predicted, actual, rows):
        return by_class(hits.sum(-1), predicted.sum(-1), actual.sum(-1))

    return metric


def _mean(by_class):
    """The mean over all labels, those that never occur included."""

    def metric(hits, predicted, actual, rows):
        return by_class(hits, predicted, actual).mean(-1)

    return metric


def _hamming_accuracy(hits, predicted, actual, rows):
    wrong = (predicted + actual - 2 * hits).sum(-1)
    return 1.0 - wrong / (rows * np.shape(hits)[-1])


def _mean_matthews(hits, predicted, actual, rows):
    hits, predicted, actual = _floats(hits, predicted, actual)
    spread = predicted * (rows - predicted) * actual * (rows - actual)
    return ratio(rows * hits - predicted * actual, np.sqrt(spread)).mean(-1)


def _floats(*counts):
    return (np.asarray(count, dtype="float64") for count in counts)


LABEL_COUNT_METRICS = {
    "micro_f1": _micro(f1_scores),
    "micro_precision": _micro(_precisions),
    "micro_recall": _micro(_recalls),
    "macro_f1": _mean(f1_scores),
    "macro_precision": _mean(_precisions),
    "macro_recall": _mean(_recalls),
    "weighted_f1": _weighted(f1_scores),
    "hamming_accuracy": _hamming_accuracy,
    "mcc": _mean_matthews,
}
"""Of rows with any number of labels: the number of rows comes as well."""

"""Scores of a multi-label classifier: any number of labels for each row.

The usual primary metric is `micro_f1`. Higher is better for every score but
`nll` and `ece`.
"""

import numpy as np

from keras_kd.evaluation.class_counts import LABEL_COUNT_METRICS
from keras_kd.evaluation.class_counts import f1_scores
from keras_kd.evaluation.class_counts import ratio
from keras_kd.evaluation.scores import calibration_gap


def multi_label_scores(
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: list[str],
    threshold: float = 0.5,
) -> dict:
    """Scores raw logits, one for each label, against the true labels.

    A *decision* is whether one row has one label: there are rows x classes of
    them.

    Args:
        logits: Raw logits, `[rows, classes]`, before any sigmoid.
        labels: 1 where the row has the label, else 0, `[rows, classes]`.
        class_names: Names of the labels, in the order of the logits.
        threshold: A label is given where its probability is above this.

    Returns:
        A dictionary that can be written as JSON: `micro_f1`,
        `micro_precision` and `micro_recall` (of all decisions together);
        `macro_f1`, `macro_precision` and `macro_recall` (mean over all labels;
        one that never occurs counts 0, as in scikit-learn); `weighted_f1`;
        `subset_accuracy` (share of rows with all labels right),
        `hamming_accuracy` (share of decisions that are right), `mcc` (Matthews,
        mean over the labels; one that is always or never true or given counts
        0), `nll` (mean negative log-likelihood of a decision), `ece` (of the
        decisions, each with the probability of what was decided), `rows`,
        `per_class` (`precision`, `recall`, `f1`, `support` by name) and
        `majority_micro_f1`: of giving every row the same labels, namely those
        with which that does best, the k most frequent ones for the best k.

    Raises:
        ValueError: Logits that are not raw finite logits, labels that are not
            0 or 1, a number of names that is not that of the logits, or a
            threshold that is no probability.

    Example:

    >>> logits = [[2.0, -1.0], [3.0, 1.0]]
    >>> scores = multi_label_scores(logits, [[1, 0], [1, 0]], ["joy", "fear"])
    >>> scores["micro_f1"], scores["subset_accuracy"]
    (0.8, 0.5)
    """
    logits = check_label_logits(logits)
    labels = check_label_sets(labels, logits)
    if len(class_names) != logits.shape[1]:
        raise ValueError(
            f"There must be one class name a logit. Received: {class_names} "
            f"({len(class_names)} names) for logits of shape {logits.shape}. "
            "Pass the names in the order of the logits."
        )
    given = given_labels(logits, threshold)
    right = given == labels
    rows = len(labels)
    hits = (labels & given).sum(axis=0)
    predicted, actual = given.sum(axis=0), labels.sum(axis=0)
    scores = {
        name: float(metric(hits, predicted, actual, rows))
        for name, metric in LABEL_COUNT_METRICS.items()
    }
    # log sigmoid of the logit, or of its opposite where the label is missing.
    log_probability = -np.logaddexp(0.0, np.where(labels, -logits, logits))
    confidence = np.exp(-np.logaddexp(0.0, np.where(given, -logits, logits)))
    precision, recall = ratio(hits, predicted), ratio(hits, actual)
    f1 = f1_scores(hits, predicted, actual)
    return {
        **scores,
        "subset_accuracy": float(right.all(axis=1).mean()),
        "nll": float(-log_probability.mean()),
        "ece": calibration_gap(confidence.ravel(), right.ravel()),
        "majority_micro_f1": _best_constant_f1(actual, rows),
        "rows": rows,
        "per_class": {
            str(name): {
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "f1": float(f1[index]),
                "support": int(actual[index]),
            }
            for index, name in enumerate(class_names)
        },
    }


def given_labels(logits: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """The decisions: whether a label's probability is above the threshold.

    Args:
        logits: Raw logits, `[..., classes]`.
        threshold: A probability between 0 and 1.

    Raises:
        ValueError: A threshold that is no such probability.
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(
            "`threshold` must be a probability between 0 and 1, without "
            f"either. Received: {threshold}."
        )
    return np.asarray(logits) > np.log(threshold) - np.log1p(-threshold)


def check_label_logits(logits: np.ndarray) -> np.ndarray:
    """Gives `logits` as float64 `[rows, classes]` after looking at them.

    Args:
        logits: Raw logits, one for each label.

    Raises:
        ValueError: They are not two-dimensional, hold nothing, are not
            finite, or are probabilities already.
    """
    logits = np.asarray(logits, dtype="float64")
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(
            "Logits must have the shape [rows, classes] with at least one row "
            f"and one class. Received shape: {logits.shape}."
        )
    bad = ~np.isfinite(logits).all(axis=-1)
    if bad.any():
        raise ValueError(
            f"Logits must be finite. Received NaN or infinity in {bad.sum()} "
            f"of {len(logits)} rows, the first is row {bad.argmax()}: "
            f"{logits[bad.argmax()]}. The model's weights have most likely "
            "diverged: lower the learning rate or clip the gradients."
        )
    # Young students have logits within 0 and 1 as well, but not from end to
    # end.
    low, high = logits.min(), logits.max()
    if 0.0 <= low < 0.05 and 0.95 < high <= 1.0:
        raise ValueError(
            f"Raw logits are expected. Received values from {low:.3g} to "
            f"{high:.3g}: these look like probabilities. Take the model's "
            "output before its sigmoid, or pass scipy.special.logit(...) of it."
        )
    return logits


def check_label_sets(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Gives `labels` as booleans `[rows, classes]` that fit `logits`.

    Args:
        labels: 1 where a row has a label, else 0.
        logits: Logits of the same rows, `[rows, classes]`.

    Raises:
        ValueError: Another shape, or a value that is neither 0 nor 1.
    """
    labels = np.asarray(labels)
    if labels.shape != np.shape(logits):
        raise ValueError(
            "There must be a 0 or a 1 for each logit. Received labels of shape "
            f"{labels.shape} for logits of shape {np.shape(logits)}."
        )
    bad = (labels != 0) & (labels != 1)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            "Multi-label labels must be 0 or 1. Received: "
            f"{labels[row, column]} in row {row}, class {column} ({bad.sum()} "
            "such values). Score labelled rows only."
        )
    return labels.astype(bool)


def _best_constant_f1(actual, rows):
    """Micro F1 of the k most frequent labels for all rows, at the best k.

    For a given k the denominator is the same whichever labels are given, so
    that the most frequent ones are best.
    """
    hits = np.cumsum(np.sort(actual)[::-1])
    given = rows * np.arange(1, len(actual) + 1)
    return float(ratio(2 * hits, given + actual.sum()).max())

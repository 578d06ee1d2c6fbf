"""Scores of a classifier, from its raw logits and the true classes.

The primary metric of a classification task is `accuracy`; higher is better
for every entry of `COUNT_METRICS`. `nll` and `ece` are better when lower.
"""

import numpy as np

from keras_kd.evaluation.class_counts import COUNT_METRICS
from keras_kd.evaluation.class_counts import f1_scores
from keras_kd.evaluation.class_counts import ratio

CALIBRATION_BINS = 15


def classification_scores(
    logits: np.ndarray, labels: np.ndarray, class_names: list[str]
) -> dict:
    """Scores raw logits against the true classes.

    Args:
        logits: Raw logits, `[rows, classes]`, before any softmax.
        labels: True class numbers, `[rows]`.
        class_names: Names of the classes, in the order of the logits.

    Returns:
        A dictionary that can be written as JSON: `accuracy`; `f1` (of the
        second of two classes, and of two alone); `macro_f1`,
        `macro_precision` and `macro_recall` (over the classes that occur in
        the labels or the predictions); `weighted_f1`, `weighted_precision` and
        `weighted_recall` (by true rows); `mcc` (Matthews), `nll` (mean
        negative log-likelihood), `ece` (see `expected_calibration_error`),
        `majority_accuracy` (of always answering the most frequent class of
        these labels), `rows`, `per_class` (`precision`, `recall`, `f1`,
        `support` by class name) and `confusion` (a row for each true class, a
        column for each predicted one).

    Raises:
        ValueError: Logits that are not raw finite logits, labels outside of
            the classes, or a number of names that is not that of the logits.
    """
    logits = check_logits(logits)
    labels = check_labels(labels, logits)
    if len(class_names) != logits.shape[1]:
        raise ValueError(
            f"There must be one class name a logit. Received: {class_names} "
            f"({len(class_names)} names) for logits of shape {logits.shape}. "
            "Pass the names in the order of the logits."
        )
    confusion = confusion_matrix(
        logits.argmax(axis=-1), labels, logits.shape[1]
    )
    hits, predicted, actual = _counts(confusion)
    precision = ratio(hits, predicted)
    recall = ratio(hits, actual)
    f1 = f1_scores(hits, predicted, actual)
    scores = {
        name: float(metric(hits, predicted, actual))
        for name, metric in COUNT_METRICS.items()
        if name != "f1" or len(class_names) == 2
    }
    rows = np.arange(len(labels))
    scores["nll"] = float(-log_softmax(logits)[rows, labels].mean())
    scores["ece"] = expected_calibration_error(logits, labels)
    scores["majority_accuracy"] = float(actual.max() / len(labels))
    scores["rows"] = len(labels)
    scores["per_class"] = {
        str(name): {
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": int(actual[index]),
        }
        for index, name in enumerate(class_names)
    }
    scores["confusion"] = confusion.tolist()
    return scores


def agreement(a_logits: np.ndarray, b_logits: np.ndarray) -> float:
    """The share of rows for which two models name the same class.

    Args:
        a_logits: Logits of one model, `[rows, classes]`.
        b_logits: Logits of the other one, on the same rows.

    Raises:
        ValueError: The two shapes differ, or a value is not finite.
    """
    a_logits, b_logits = _check_pair(a_logits, b_logits)
    return float(np.mean(a_logits.argmax(-1) == b_logits.argmax(-1)))


def mean_kl(teacher_logits: np.ndarray, student_logits: np.ndarray) -> float:
    """Mean of $KL(p_{teacher} \\| p_{student})$ over the rows, in nats.

    Args:
        teacher_logits: Raw logits of the teacher, `[rows, classes]`.
        student_logits: Raw logits of the student, on the same rows.

    Raises:
        ValueError: The two shapes differ, or they are not raw finite logits.
    """
    teacher_logits, student_logits = _check_pair(teacher_logits, student_logits)
    teacher = log_softmax(check_logits(teacher_logits))
    student = log_softmax(check_logits(student_logits))
    return float((np.exp(teacher) * (teacher - student)).sum(-1).mean())


def expected_calibration_error(
    logits: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """How far the confidence of the named class is from its accuracy.

    The confidences are put into bins of equal width $(l, u]$, and with the
    rows $B_i$ of bin $i$ (Naeini et al. 2015, Guo et al. 2017):

    $$ECE = \\sum_i \\frac{|B_i|}{n}\\,
      \\bigl|\\,accuracy(B_i) - confidence(B_i)\\,\\bigr|$$

    Args:
        logits: Raw logits, `[rows, classes]`.
        labels: True class numbers, `[rows]`.
        bins: Number of bins.

    Raises:
        ValueError: As `classification_scores`.
    """
    logits = check_logits(logits)
    labels = check_labels(labels, logits)
    confidence = np.exp(log_softmax(logits).max(axis=-1))
    return calibration_gap(confidence, logits.argmax(axis=-1) == labels, bins)


def calibration_gap(
    confidence: np.ndarray, correct: np.ndarray, bins: int = CALIBRATION_BINS
) -> float:
    """The calibration error of decisions of any kind.

    Args:
        confidence: Probability that each decision was given, `[decisions]`.
        correct: Whether it is right, `[decisions]`.
        bins: Number of bins of equal width.
    """
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gap = np.bincount(index, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def confusion_matrix(
    predictions: np.ndarray, labels: np.ndarray, classes: int
) -> np.ndarray:
    """Counts `[classes, classes]`: rows are true classes, columns predicted.

    Args:
        predictions: Predicted class numbers, `[rows]`.
        labels: True class numbers, `[rows]`.
        classes: Number of classes.
    """
    cells = np.asarray(labels) * classes + np.asarray(predictions)
    counts = np.bincount(cells, minlength=classes * classes)
    return counts.reshape(classes, classes)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis, in float64."""
    logits = np.asarray(logits, dtype="float64")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def check_logits(logits: np.ndarray) -> np.ndarray:
    """Gives `logits` as float64 `[rows, classes]` after looking at them.

    Args:
        logits: Raw logits.

    Raises:
        ValueError: They are not two-dimensional, hold fewer than two classes
            or no row, are not finite, or are probabilities already.
    """
    logits = np.asarray(logits, dtype="float64")
    if logits.ndim != 2 or logits.shape[0] < 1 or logits.shape[1] < 2:
        raise ValueError(
            "Logits must have the shape [rows, classes] with at least one row "
            f"and two classes. Received shape: {logits.shape}. Give a binary "
            "model two logits, one for each class."
        )
    bad = ~np.isfinite(logits).all(axis=-1)
    if bad.any():
        raise ValueError(
            f"Logits must be finite. Received NaN or infinity in {bad.sum()} "
            f"of {len(logits)} rows, the first is row {bad.argmax()}: "
            f"{logits[bad.argmax()]}. The model's weights have most likely "
            "diverged: lower the learning rate or clip the gradients."
        )
    if (logits >= 0).all() and np.allclose(logits.sum(-1), 1.0, atol=1e-3):
        raise ValueError(
            "Raw logits are expected. Received rows that are not negative and "
            f"sum to 1, such as {logits[0]}: these are probabilities. Take the "
            "model's output before its softmax, or pass np.log(probabilities)."
        )
    return logits


def check_labels(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Gives `labels` as integers `[rows]` that fit `logits`.

    Args:
        labels: True class numbers.
        logits: Logits of the same rows, `[rows, classes]`.

    Raises:
        ValueError: Another number of rows, or a class that is none.
    """
    labels = np.asarray(labels)
    rows, classes = logits.shape
    if labels.shape != (rows,):
        raise ValueError(
            "There must be one label a row of logits. Received labels of shape "
            f"{labels.shape} for logits of shape {logits.shape}."
        )
    bad = ~np.isin(labels, np.arange(classes))
    if bad.any():
        raise ValueError(
            f"Labels must be whole numbers from 0 to {classes - 1}. Received: "
            f"{labels[bad.argmax()]} in row {bad.argmax()} ({bad.sum()} such "
            "rows). Score labelled rows only, with the teacher's label order."
        )
    return labels.astype("int64")


def _check_pair(a_logits, b_logits):
    a_logits, b_logits = np.asarray(a_logits), np.asarray(b_logits)
    if a_logits.shape != b_logits.shape or a_logits.ndim != 2:
        raise ValueError(
            "Both models' logits must have the same shape [rows, classes]. "
            f"Received: {a_logits.shape} and {b_logits.shape}."
        )
    if not (np.isfinite(a_logits).all() and np.isfinite(b_logits).all()):
        raise ValueError(
            "Logits must be finite. Received NaN or infinity. The model's "
            "weights have most likely diverged."
        )
    return a_logits, b_logits


def _counts(confusion):
    """Hits, predictions and true rows of each class, `[..., classes]`."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return hits, confusion.sum(axis=-2), confusion.sum(axis=-1)

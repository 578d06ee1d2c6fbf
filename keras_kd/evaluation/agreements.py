"""How close a student is to its teacher, where there is no class to compare.

For one class a row `keras_kd.evaluation.scores` has `agreement` and `mean_kl`.
"""

import numpy as np

from keras_kd.evaluation.multi_label_scores import check_label_logits
from keras_kd.evaluation.multi_label_scores import given_labels
from keras_kd.evaluation.regression_scores import check_numbers
from keras_kd.evaluation.regression_scores import pearson


def multi_label_agreement(
    a_logits: np.ndarray, b_logits: np.ndarray, threshold: float = 0.5
) -> float:
    """The share of (row, label) decisions that two models make alike.

    Args:
        a_logits: Raw logits of one model, `[rows, classes]`.
        b_logits: Raw logits of the other one, on the same rows.
        threshold: Probability above which a label is given.

    Raises:
        ValueError: The two shapes differ, or they are not raw finite logits.
    """
    a_logits, b_logits = _check_pair(a_logits, b_logits)
    same = given_labels(a_logits, threshold) == given_labels(
        b_logits, threshold
    )
    return float(same.mean())


def multi_label_mean_kl(
    teacher_logits: np.ndarray, student_logits: np.ndarray
) -> float:
    """Divergence of the student's label probabilities from the teacher's.

    With the probabilities $p$ of the teacher and $q$ of the student, in nats:

    $$\\frac{1}{n}\\sum_{rows}\\sum_{labels}
      p \\log\\frac{p}{q} + (1 - p) \\log\\frac{1 - p}{1 - q}$$

    Args:
        teacher_logits: Raw logits of the teacher, `[rows, classes]`.
        student_logits: Raw logits of the student, on the same rows.

    Raises:
        ValueError: The two shapes differ, or they are not raw finite logits.
    """
    teacher, student = _check_pair(teacher_logits, student_logits)
    # log sigmoid(x) is -logaddexp(0, -x); both sides of each label.
    divergence = 0.0
    for sign in (-1.0, 1.0):
        log_p = -np.logaddexp(0.0, sign * teacher)
        log_q = -np.logaddexp(0.0, sign * student)
        divergence = divergence + np.exp(log_p) * (log_p - log_q)
    return float(divergence.sum(axis=-1).mean())


def regression_agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two models' predictions; 0 if one is constant.

    Args:
        a: Predictions of one model, `[rows]` or `[rows, 1]`.
        b: Predictions of the other one, on the same rows.

    Raises:
        ValueError: Shapes that do not pair, or values that are not finite.
    """
    return pearson(*check_numbers(a, b))


def mean_squared_difference(a: np.ndarray, b: np.ndarray) -> float:
    """How far apart two models' predictions are: the mean of the squares.

    Args:
        a: Predictions of one model, `[rows]` or `[rows, 1]`.
        b: Predictions of the other one, on the same rows.

    Raises:
        ValueError: Shapes that do not pair, or values that are not finite.
    """
    a, b = check_numbers(a, b)
    return float(np.mean((a - b) ** 2))


def _check_pair(a_logits, b_logits):
    a_logits = check_label_logits(a_logits)
    b_logits = check_label_logits(b_logits)
    if a_logits.shape != b_logits.shape:
        raise ValueError(
            "Both models' logits must have the same shape [rows, classes]. "
            f"Received: {a_logits.shape} and {b_logits.shape}."
        )
    return a_logits, b_logits

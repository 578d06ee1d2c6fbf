"""Regression: a number for each text, or for each pair of texts."""

import math

import keras
import numpy as np

from keras_kd.data.errors import DataError
from keras_kd.evaluation.agreements import mean_squared_difference
from keras_kd.evaluation.agreements import regression_agreement
from keras_kd.evaluation.regression_scores import regression_scores
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.tasks.task import Task


class TextRegression(Task):
    """A number, such as the likeness of two sentences.

    The model's one output is the number. The student learns the teacher's
    number by squared error, beside the label's.

    Args:
        metric: The primary metric: `"pearson"` (the default) or
            `"spearman"`.

    Raises:
        ValueError: Another metric.

    Example:

    >>> TextRegression().encode_label("3.75", "row 7")
    3.75
    """

    name = "regression"
    metrics_of_choice = ("pearson", "spearman")
    loss_of_scores = "mse"
    num_outputs = 1
    no_label = 0.0
    agreement_title = "correlation with teacher"

    def __init__(self, metric=None):
        super().__init__(metric)

    @property
    def bootstrap_metric(self):
        """The primary metric."""
        return self.primary_metric

    def encode_label(self, label, where):
        """The label as a number.

        Raises:
            DataError: It is none, or not finite.
        """
        try:
            value = float(label)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise DataError(
                f"{where}: the label {label!r} is no finite number, as "
                "regression needs it. Correct the row, or choose the task "
                "'classification'."
            )
        return value

    def hard_label_loss(self):
        """The loss on labels, for `Distiller.compile`."""
        return keras.losses.MeanSquaredError()

    def metrics(self):
        """The metrics that `fit` logs."""
        return [keras.metrics.MeanAbsoluteError(name="mae")]

    def teacher_loss(
        self, name, temperature, weight, squared=True, shifted=False
    ):
        """The squared error to the teacher's number: no temperature here."""
        return LogitsMSE(weight=weight)

    def scores(self, logits, labels):
        """See `keras_kd.evaluation.regression_scores`."""
        return regression_scores(logits, labels)

    def comparable(self, logits, labels):
        """The numbers, `[rows]`."""
        return np.asarray(logits, "float64").reshape(len(labels))

    def trivial_score(self, labels):
        """One number for all rows correlates with nothing."""
        return 0.0

    def check_logits(self, logits):
        """Any number may be an answer."""

    def check_labels(self, labels, part):
        """Refuses labels of which nothing can be learned.

        Raises:
            DataError: All rows have the same number.
        """
        if np.ptp(labels) == 0:
            raise DataError(
                f"All {len(labels)} rows of the {part} part have the label "
                f"{labels[0]:g}. Different numbers are needed to train and to "
                "score. Check the label column."
            )

    def agreement(self, a, b, references=None):
        """Pearson's correlation of two models' numbers."""
        return regression_agreement(a, b)

    def divergence(self, teacher, student, references=None):
        """Mean squared difference."""
        return mean_squared_difference(teacher, student)

    def answers(self, logits, rows=None):
        """`(number, None)` of each row."""
        return [(f"{float(row[0]):.3f}", None) for row in np.asarray(logits)]

"""Classification of a text, or of a pair, into one of several classes."""

import keras
import numpy as np

from keras_kd.data.errors import DataError
from keras_kd.evaluation.scores import agreement
from keras_kd.evaluation.scores import classification_scores
from keras_kd.evaluation.scores import log_softmax
from keras_kd.evaluation.scores import mean_kl
from keras_kd.losses.decoupled_kd import DecoupledKD
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.soft_cross_entropy import SoftCrossEntropy
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.tasks.task import Task


class TextClassification(Task):
    """One class for each text, or for each pair of texts.

    Args:
        labels: Names of the classes, in the order of the logits.
        metric: The primary metric: `"accuracy"` (the default),
            `"f1"` (of the second of two classes), `"macro_f1"`,
            `"weighted_f1"` or `"mcc"`.

    Raises:
        DataError: Fewer than two classes, or one name twice.
        ValueError: Another metric.

    Example:

    >>> task = TextClassification(["negative", "positive"])
    >>> task.num_outputs, task.encode_label("positive", "row 7")
    (2, 1)
    """

    name = "classification"
    metrics_of_choice = ("accuracy", "f1", "macro_f1", "weighted_f1", "mcc")
    activation = "softmax"
    no_label = 0

    def __init__(self, labels, metric=None):
        super().__init__(metric)
        self.labels = check_names(labels, 2)
        if metric == "f1" and len(self.labels) != 2:
            raise ValueError(
                "`metric` f1 is that of the second of two classes. Received: "
                f"{len(self.labels)} classes. Give macro_f1 or weighted_f1."
            )
        self._numbers = {label: i for i, label in enumerate(self.labels)}

    @property
    def num_outputs(self):
        """Number of logits."""
        return len(self.labels)

    @property
    def bootstrap_metric(self):
        """`None` for the mean of rows that are right or wrong."""
        name = self.primary_metric
        return None if name == "accuracy" else name

    def encode_label(self, label, where):
        """The class number of a label's name.

        Raises:
            DataError: A label that is not one of the task's; `where` names
                the row.
        """
        if label not in self._numbers:
            raise unknown_label(label, where, self.labels)
        return self._numbers[label]

    def hard_label_loss(self):
        """The loss on labels, for `Distiller.compile`."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self):
        """The metrics that `fit` logs."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def teacher_loss(
        self, name, temperature, weight, squared=True, shifted=False
    ):
        """The loss on the teacher's logits.

        Raises:
            DataError: `decoupled_kd` with two classes: of the wrong ones there
                is nothing to learn.
        """
        if name == "logits_mse":
            return LogitsMSE(weight=weight)
        if name == "decoupled_kd":
            if self.num_outputs < 3:
                raise DataError(
                    "The loss decoupled_kd needs three classes or more. "
                    f"Received: {self.labels}. Take soft_targets."
                )
            return DecoupledKD(
                temperature,
                weight=weight,
                scale_by_temperature_squared=squared,
            )
        loss = SoftCrossEntropy if name == "soft_cross_entropy" else SoftTargets
        return loss(temperature, weight, squared, shifted)

    def scores(self, logits, labels):
        """See `keras_kd.evaluation.scores.classification_scores`."""
        return classification_scores(logits, labels, self.labels)

    def correct(self, logits, labels):
        """Which rows are right: 1.0 or 0.0 each."""
        return (np.argmax(logits, axis=-1) == labels).astype("float64")

    def comparable(self, logits, labels):
        """Rows that are right or wrong, or classes where counts decide."""
        if self.bootstrap_metric is None:
            return self.correct(logits, labels)
        return np.argmax(logits, axis=-1)

    def trivial_score(self, labels):
        """The score of always naming the most frequent class."""
        counts = np.bincount(labels, minlength=self.num_outputs)
        always = np.zeros((len(labels), self.num_outputs))
        always[:, counts.argmax()] = 9.0
        return self.score(always, labels)

    def check_logits(self, logits):
        """Refuses probabilities.

        Raises:
            ValueError: All rows are positive and sum to 1.
        """
        if (logits >= 0).all() and np.allclose(logits.sum(-1), 1, atol=1e-3):
            raise ValueError(
                "outputs that are all from 0 to 1 and sum to 1: they are "
                "probabilities, where raw logits are needed. Take the softmax "
                "out of the last layer."
            )

    def check_labels(self, labels, part):
        """Refuses labels of which nothing can be learned.

        Raises:
            DataError: All rows have one class.
        """
        classes = np.unique(labels)
        if len(classes) < 2:
            raise DataError(
                f"All {len(labels)} rows of the {part} part have the label "
                f"'{self.labels[int(classes[0])]}'. Two classes or more are "
                "needed to train and to score. Check the label column, or "
                "shuffle a file that is sorted by label before it is cut."
            )

    def agreement(self, a, b, references=None):
        """Share of rows for which two models name the same class."""
        return agreement(a, b)

    def divergence(self, teacher, student, references=None):
        """Mean KL of the class distributions."""
        return mean_kl(teacher, student)

    def answers(self, logits, rows=None):
        """`(class name, its probability)` of each row."""
        logits = np.asarray(logits)
        probabilities = np.exp(log_softmax(logits))
        best = logits.argmax(axis=-1)
        return [
            (self.labels[index], float(row[index]))
            for index, row in zip(best, probabilities)
        ]


def check_names(labels, least):
    """The class names as strings.

    Raises:
        DataError: Fewer than `least`, or one name twice.
    """
    labels = [str(label) for label in labels]
    if len(labels) < least or len(set(labels)) < len(labels):
        number = {1: "one", 2: "two"}[least]
        raise DataError(
            f"The task needs {number} or more different classes. "
            f"Received: {labels}. Check the label column."
        )
    return labels


def unknown_label(label, where, labels):
    """The error of a label that the task does not have."""
    return DataError(
        f"{where}: unknown label '{label}'. The labels are {labels}. Correct "
        "the row, or give `labels` that have it (by default those of the "
        "training file)."
    )

"""Classification in which a text has none, one or several of the labels."""

import keras
import numpy as np

from keras_kd.data.errors import DataError
from keras_kd.evaluation.agreements import multi_label_agreement
from keras_kd.evaluation.agreements import multi_label_mean_kl
from keras_kd.evaluation.multi_label_scores import check_label_logits
from keras_kd.evaluation.multi_label_scores import multi_label_scores
from keras_kd.losses.logits_mse import LogitsMSE
from keras_kd.losses.sigmoid_soft_targets import SigmoidSoftTargets
from keras_kd.tasks.task import Task
from keras_kd.tasks.text_classification import check_names
from keras_kd.tasks.text_classification import unknown_label


class MultiLabelClassification(Task):
    """A yes or no to each label, through a sigmoid for each logit.

    In a file, a row's labels stand in one cell with a separator between them
    (`toxic,insult`), or in a JSON list. A cell with the separator alone, or an
    empty list, is a row that has none of the labels; an empty cell is a row
    that nobody labelled.

    Args:
        labels: Names of the labels, in the order of the logits.
        metric: The primary metric: `"micro_f1"` (the default), `"macro_f1"`
            or `"subset_accuracy"`.
        separator: What stands between the labels of a row.

    Raises:
        DataError: No label, or one name twice.
        ValueError: Another metric, or no separator.

    Example:

    >>> task = MultiLabelClassification(["insult", "threat", "toxic"])
    >>> list(task.encode_label("toxic, insult", "row 7"))
    [1, 0, 1]
    """

    name = "multi_label"
    activation = "sigmoid"
    metrics_of_choice = ("micro_f1", "macro_f1", "subset_accuracy")

    def __init__(self, labels, metric=None, separator=","):
        super().__init__(metric)
        if not separator:
            raise ValueError("`separator` must be a character. Received: ''.")
        self.labels = check_names(labels, 1)
        self.separator = separator
        self._numbers = {label: i for i, label in enumerate(self.labels)}
        self.no_label = bytes(len(self.labels))

    def to_dict(self):
        return {**super().to_dict(), "separator": self.separator}

    @property
    def num_outputs(self):
        """Number of logits."""
        return len(self.labels)

    @property
    def bootstrap_metric(self):
        """The primary metric: all of them are made of counts."""
        return self.primary_metric

    def encode_label(self, label, where):
        """A byte for each label: 1 where the row has it.

        Raises:
            DataError: A label that is not one of the task's.
        """
        row = bytearray(len(self.labels))
        for name in split_labels(label, self.separator):
            if name not in self._numbers:
                raise unknown_label(name, where, self.labels)
            row[self._numbers[name]] = 1
        return bytes(row)

    def hard_label_loss(self):
        """The loss on labels, for `Distiller.compile`."""
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def metrics(self):
        """The metrics that `fit` logs."""
        return [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)]

    def teacher_loss(
        self, name, temperature, weight, squared=True, shifted=False
    ):
        """The loss on the teacher's logits.

        Keras' binary cross-entropy is a mean over the labels; the teacher's
        loss, a sum over them, is divided by their number to stand beside it.
        """
        weight = weight / self.num_outputs
        if name == "logits_mse":
            return LogitsMSE(weight=weight)
        return SigmoidSoftTargets(temperature, weight, squared)

    def scores(self, logits, labels):
        """See `keras_kd.evaluation.multi_label_scores`."""
        return multi_label_scores(logits, labels, self.labels)

    def comparable(self, logits, labels):
        """The decisions, `[rows, labels]` of 0 and 1."""
        return (np.asarray(logits) > 0).astype("int64")

    def trivial_score(self, labels):
        """The best score of giving every row the same labels."""
        share = np.asarray(labels, "float64").mean(axis=0)
        best = 0.0
        for threshold in np.unique(share):
            same = np.where(share >= threshold, 9.0, -9.0)
            same = np.broadcast_to(same, labels.shape)
            best = max(best, self.score(same, labels))
        return best

    def check_logits(self, logits):
        """Refuses probabilities.

        Raises:
            ValueError: All values are from 0 to 1, and span that range.
        """
        check_label_logits(logits)

    def check_labels(self, labels, part):
        """Refuses labels of which nothing can be learned.

        Raises:
            DataError: All rows have the same labels.
        """
        if (labels == labels[:1]).all():
            names = [
                name for name, has in zip(self.labels, labels[0]) if has
            ] or "none"
            raise DataError(
                f"All {len(labels)} rows of the {part} part have the same "
                f"labels ({names}). Different ones are needed to train and to "
                "score. Check the label column and the separator "
                f"'{self.separator}'."
            )

    def agreement(self, a, b, references=None):
        """Share of (row, label) decisions that two models take alike."""
        return multi_label_agreement(a, b)

    def divergence(self, teacher, student, references=None):
        """Mean over rows of the sum of the labels' KL."""
        return multi_label_mean_kl(teacher, student)

    def answers(self, logits, rows=None):
        """`(labels with a comma between, least sure probability)` of rows."""
        logits = np.asarray(logits, "float64")
        # The probability of what was decided for each label.
        certainty = 1.0 / (1.0 + np.exp(-np.abs(logits)))
        return [
            (
                ", ".join(n for n, z in zip(self.labels, row) if z > 0),
                float(sure.min()),
            )
            for row, sure in zip(logits, certainty)
        ]


def split_labels(label, separator):
    """The names in a cell, or in a list."""
    names = label if isinstance(label, tuple) else label.split(separator)
    return [name.strip() for name in names if name.strip()]

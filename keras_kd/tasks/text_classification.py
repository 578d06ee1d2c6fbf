"""Classification of a text into one of several classes."""

import keras
import numpy as np

from keras_kd.data.errors import DataError
from keras_kd.data.rows import target_key
from keras_kd.data.rows import write_rows
from keras_kd.data.sources import read_examples

EXAMPLES_AT_ONCE = 2048


class TextClassification:
    """Says what a label is, how it is learned, and how it is scored.

    Args:
        labels: Names of the classes, in the order of the logits.

    Raises:
        DataError: Fewer than two classes, or one name twice.

    Example:

    >>> task = TextClassification(["negative", "positive"])
    >>> task.num_outputs, task.encode_label("positive", "row 7")
    (2, 1)
    """

    primary_metric = "accuracy"

    def __init__(self, labels):
        labels = [str(label) for label in labels]
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise DataError(
                "Classification needs two or more different classes. "
                f"Received: {labels}. Check the label column."
            )
        self.labels = labels
        self._numbers = {label: i for i, label in enumerate(labels)}

    @property
    def num_outputs(self):
        """Number of logits."""
        return len(self.labels)

    def encode_label(self, label, where):
        """The class number of a label's name.

        Raises:
            DataError: A label that is not one of the task's; `where` names
                the row.
        """
        if label not in self._numbers:
            raise DataError(
                f"{where}: unknown label '{label}'. The labels are "
                f"{self.labels}. Correct the row, or train with a file that "
                "has this label."
            )
        return self._numbers[label]

    def hard_label_loss(self):
        """The loss on labels, for `Distiller.compile`."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self):
        """The metrics that `fit` logs."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def correct(self, logits, labels):
        """Per-row scores whose mean is the primary metric."""
        return (np.argmax(logits, axis=-1) == labels).astype("float64")

    def featurize(self, examples, tokenizer, max_length):
        """Turns examples into rows, streaming.

        Args:
            examples: Iterable of `keras_kd.data.sources.Example`.
            tokenizer: `Tokenizer` of teacher and student.
            max_length: The most tokens of a row, special tokens included.

        Yields:
            Dictionaries for `keras_kd.data.rows.write_rows`.
        """
        for group in _groups(examples, EXAMPLES_AT_ONCE):
            texts, *others = zip(
                *[example.fields for example in group], strict=True
            )
            encoded = tokenizer.encode(list(texts), max_length, *others)
            for example, (token_ids, segment_ids) in zip(group, encoded):
                has_label = example.label is not None
                row = {
                    "example_id": example.example_id,
                    "target_key": target_key(token_ids, segment_ids),
                    "token_ids": token_ids,
                    "text": example.fields[0],
                    "label": self.encode_label(
                        example.label, example.example_id
                    )
                    if has_label
                    else 0,
                    "label_weight": float(has_label),
                }
                if others:
                    row["segment_ids"] = segment_ids
                    row["text_pair"] = example.fields[1]
                yield row

    def make_rows(self, source, tokenizer, folder, max_length=128, **columns):
        """Reads a source, tokenises it once, and opens the rows.

        Args:
            source: A file, or `tfds:NAME`; see
                `keras_kd.data.sources.read_examples`.
            tokenizer: `Tokenizer` of teacher and student.
            folder: Folder of the rows. One that is there is replaced.
            max_length: The most tokens of a row.
            **columns: Further arguments of `read_examples`.

        Returns:
            `keras_kd.data.rows.Rows`.
        """
        examples = read_examples(source, **columns)
        rows = self.featurize(examples, tokenizer, max_length)
        return write_rows(folder, rows, {"source": str(source)})


def _groups(items, size):
    """Lists of up to `size` items."""
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group

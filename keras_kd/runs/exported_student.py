"""A trained student's `.tflite`, which may read texts in a way of its own."""

from pathlib import Path

import numpy as np

from keras_kd import batch
from keras_kd.configuration import ConfigurationError
from keras_kd.data.mediapipe_tokens import read_as_mediapipe
from keras_kd.export.litert_runner import LiteRTModel
from keras_kd.export.text_runner import LiteRTTextModel
from keras_kd.export.text_runner import takes_text
from keras_kd.inference import predict_rows
from keras_kd.progress import progress_bar


class ExportedStudent:
    """An exported file beside the student that it was made of.

    Files of features read the student's tokens, up to their own length; those
    for MediaPipe what its client makes of a text; those that take text have a
    tokenizer inside.

    Args:
        student: `TrainedStudent`.
        file: The `.tflite`: a path, or a name in the run folder.

    Raises:
        ConfigurationError: The file's labels are not the student's.
    """

    def __init__(self, student, file):
        if not Path(file).exists() and (student.folder / file).exists():
            file = student.folder / file
        self.student = student
        self.takes_text = Path(file).is_file() and takes_text(file)
        self.model = (LiteRTTextModel if self.takes_text else LiteRTModel)(file)
        if self.model.labels not in (None, student.task.labels):
            raise ConfigurationError(
                f"{file} is not a file of this run's student. Received: the "
                f"labels {self.model.labels}. Expected: {student.task.labels}."
            )

    def rows_as_read(self, rows):
        """The rows with the tokens that the file is given.

        Args:
            rows: `Rows` of the student's.

        Returns:
            `Rows`; the same ones, where the file takes text.
        """
        if self.takes_text:
            return rows
        tokenizer = self.student.tokenizer
        if self._is_for_mediapipe:
            tokenizer = read_as_mediapipe(tokenizer)
        return self.student.read_again(rows, tokenizer, self.model.length)

    def logits(self, rows):
        """The file's logits of rows as it reads them.

        Args:
            rows: `Rows` of `rows_as_read`.

        Returns:
            As `keras_kd.inference.predict_rows`.
        """
        name = f"scoring {self.model.path.name}"
        with progress_bar(name, len(rows)) as advance:
            if self.takes_text:
                texts = [rows.text("text", i) for i in range(len(rows))]
                return self.model.predict(texts, advance)
            return predict_rows(
                (self.model.input_names, self._predict),
                rows,
                progress=advance,
                per_token=self.student.task.per_token,
            )

    def compare(self, rows):
        """What changes when the file reads the texts of some rows.

        Args:
            rows: `Rows` with labels, of whole texts.

        Returns:
            Dictionary: `rows`, `rows_with_other_tokens`, `other_decisions`
            (rows that get another answer than Keras gives, whatever moved it),
            and `score_keras` and `score_client`, by the task's metric.
        """
        student, task = self.student, self.student.task
        as_read = self.rows_as_read(rows)
        in_keras, in_client = student.logits(rows), self.logits(as_read)
        labels = task.references(rows)
        answers = zip(task.answers(in_keras), task.answers(in_client))
        metric = task.primary_metric
        return {
            "rows": len(rows),
            "rows_with_other_tokens": self._other_tokens(rows, as_read),
            "other_decisions": sum(a != b for (a, _), (b, _) in answers),
            "score_keras": task.scores(in_keras, labels)[metric],
            "score_client": task.scores(in_client, labels)[metric],
        }

    def _other_tokens(self, rows, as_read):
        """How many rows have other tokens in the file than in training."""
        length = self.model.length
        every = np.arange(len(rows))
        own = self.student.read_again(rows, self.student.tokenizer, length)
        own = own.padded(batch.TOKEN_IDS, every, length)
        if self.takes_text:
            from keras_kd.export.device_tokenizer import DeviceTokenizer

            tokenizer = DeviceTokenizer(self.student.tokenizer, length)
            texts = [rows.text("text", i) for i in every]
            read = tokenizer.encode(texts)[batch.TOKEN_IDS]
        else:
            read = as_read.padded(batch.TOKEN_IDS, every, length)
        return int((own != read).any(axis=1).sum())

    @property
    def _is_for_mediapipe(self):
        return self.model.output_names == [batch.PROBABILITIES]

    def _predict(self, features):
        if not self._is_for_mediapipe:
            return self.model.predict_named(features)
        from keras_kd.export.mediapipe import logits_of

        probabilities = self.model.predict(features)
        activation = self.student.task.activation
        return {batch.LOGITS: logits_of(probabilities, activation)}

"""The files that are made of a run's student, each verified on its rows."""

import functools

import numpy as np

from keras_kd import batch
from keras_kd.configuration import ConfigurationError
from keras_kd.data.batches import gather_inputs
from keras_kd.data.mediapipe_tokens import read_as_mediapipe
from keras_kd.export.litert import export_litert
from keras_kd.export.mediapipe import export_mediapipe
from keras_kd.export.saved_model import export_saved_model
from keras_kd.export.text_litert import export_text_litert
from keras_kd.export.text_runner import FORMAT as TEXT
from keras_kd.progress import progress_bar
from keras_kd.runs.deployment import VALIDATION_ROWS

MEDIAPIPE = "mediapipe"
DYNAMIC = "dynamic"
# More rows prove an exported file no better, and take their time.
VERIFICATION_ROWS = 2000
SAMPLE_ROWS = 64


class StudentFiles:
    """Writes a trained student's files into its run folder.

    Args:
        student: `keras_kd.runs.deployment.TrainedStudent`.

    Example:

    ```python
    student = TrainedStudent(RunFolder.open("runs/imdb"))
    StudentFiles(student).litert("dynamic", length="64")
    ```
    """

    def __init__(self, student):
        self.student, self.folder = student, student.folder
        self.configuration = student.run.configuration
        self.model, self.tokenizer = student.model, student.tokenizer
        self.task, self.max_length = student.task, student.max_length

    def write(self, name):
        """Writes one file, by the name of its form.

        Args:
            name: `"saved_model"`, or the quantisation of a `.tflite`, such as
                `"dynamic"`. A length may follow: `"dynamic/64"`, or
                `"dynamic/dynamic"` for texts of any length. For MediaPipe's
                Text Classifier `"mediapipe/"` stands before, for a file that
                takes text `"litert-text/"`.

        Returns:
            The report of the file.
        """
        form, *parts = name.split("/")
        if form == "saved_model":
            return self.saved_model()
        if form == MEDIAPIPE:
            return self.mediapipe(*parts)
        if form == TEXT:
            return self.text(*parts)
        return self.litert(form, *parts)

    def litert(self, quantization, length=None):
        """Writes `student_<quantization>.tflite`, verified on validation rows.

        Args:
            quantization: As in `keras_kd.export.litert.export_litert`.
            length: Tokens that the file takes, or `"dynamic"` for any number,
                which then is in the file's name; by default the run's.

        Returns:
            The report of `keras_kd.export.litert.export_litert`.

        Raises:
            ConfigurationError: A length above that of the run.
            ExportError: The file differs from the Keras student.
        """
        length, path = self._file(quantization, length)
        rows, positions = self._verification_rows()
        rows = self.student.read_again(rows, self.tokenizer, length)
        width = length or self.max_length
        inputs = gather_inputs(
            rows, positions, batch.input_names(self.model), width
        )
        decide = None
        if self.task.per_token:
            masks = rows.padded(batch.TOKEN_MASK, positions, width)
            decide = functools.partial(self.task.decisions, token_masks=masks)
            labels = rows.padded("label", positions, width, batch.NO_TOKEN)
            labels_of_rows = self.task.decisions_of(labels)
        else:
            labels_of_rows = rows.column("label", positions)
        with progress_bar(f"verifying {path.name}", len(positions)) as advance:
            return export_litert(
                self.model,
                path,
                inputs,
                quantization=quantization,
                max_length=length,
                tokenizer=self.tokenizer,
                labels=self.task.labels,
                metadata=self._metadata(),
                labels_of_rows=labels_of_rows,
                kind=self.task.name,
                decide=decide,
                progress=advance,
            )

    def mediapipe(self, quantization="dynamic", length=None):
        """Writes `student_mediapipe_<quantization>.tflite`, verified.

        Args:
            quantization, length: As in `litert`; no `"dynamic"` length.

        Returns:
            The report of `keras_kd.export.mediapipe.export_mediapipe`.

        Raises:
            ConfigurationError: A run on pairs of texts, or another length.
            DataError: A vocabulary that MediaPipe can't read.
            ExportError: The file differs from the Keras student.
        """
        self._check_single_text("MediaPipe's Text Classifier")
        length, path = self._file(f"mediapipe_{quantization}", length)
        client = read_as_mediapipe(self.tokenizer)
        rows, positions = self._verification_rows()
        with progress_bar(f"verifying {path.name}", len(positions)) as advance:
            return export_mediapipe(
                self.model,
                path,
                gather_inputs(
                    self.student.read_again(rows, client, length),
                    positions,
                    batch.input_names(self.model),
                    length or self.max_length,
                ),
                client,
                self.task.labels,
                quantization,
                length,
                self.task.activation,
                metadata=self._metadata(),
                labels_of_rows=rows.column("label", positions),
                progress=advance,
            )

    def text(self, quantization="dynamic", length=None):
        """Writes `student_text_<quantization>.tflite`, which takes a text.

        Args:
            quantization, length: As in `litert`; no `"dynamic"` length.

        Returns:
            The report of `keras_kd.export.text_litert.export_text_litert`.

        Raises:
            ConfigurationError: A run on pairs of texts, or another length.
            ValueError: A tokenizer that no file can hold.
            ExportError: The file differs from the Keras student.
        """
        self._check_single_text("A file that takes text")
        length, path = self._file(f"text_{quantization}", length)
        rows, positions = self._verification_rows()
        with progress_bar(f"verifying {path.name}", len(positions)) as advance:
            return export_text_litert(
                self.model,
                path,
                [self._text(rows, position) for position in positions],
                self.tokenizer,
                self.task.labels,
                quantization,
                length,
                metadata=self._metadata(),
                labels_of_rows=rows.column("label", positions),
                progress=advance,
                kind=self.task.name,
            )

    def saved_model(self):
        """Writes `saved_model/`, verified in a fresh process."""
        rows, positions = self._verification_rows()
        return export_saved_model(
            self.model,
            self.folder / "saved_model",
            tokenizer=self.tokenizer,
            labels=self.task.labels,
            max_length=self.max_length,
            activation=self.task.activation,
            sample=self._sample(rows, positions[:SAMPLE_ROWS]),
            pairs=self.configuration.text_pair is not None,
        )

    def _sample(self, rows, positions):
        """Texts; features, where each token is answered for by itself."""
        if self.task.per_token:
            names = batch.input_names(self.model)
            return gather_inputs(rows, positions, names)
        return [self._text(rows, position) for position in positions]

    def _text(self, rows, position):
        """A row's text, or its two texts."""
        text = rows.text("text", position)
        if self.configuration.text_pair is None:
            return text
        return text, rows.text("text_pair", position)

    def _check_single_text(self, what):
        pairs = self.configuration.text_pair is not None
        if pairs or self.task.per_token:
            raise ConfigurationError(
                f"{what} reads one text. Received: a run on "
                f"{'pairs' if pairs else self.task.name}. Export it in the "
                "format litert."
            )

    def _metadata(self):
        """What a file says beside what its check measured."""
        licence = self.configuration.licence
        return {"licence": licence} if licence else None

    def _file(self, name, length):
        """`(tokens, path)` of a file of this name that takes so many."""
        length = self._check_length(length)
        if length != self.max_length:
            name += f"_length_{length or DYNAMIC}"
        return length, self.folder / f"student_{name}.tflite"

    def _check_length(self, length):
        """The tokens that a file takes; `None` for any number."""
        if length in (None, DYNAMIC):
            return self.max_length if length is None else None
        if self.task.name == "question_answering":
            raise ConfigurationError(
                f"A question's windows are cut for {self.max_length} tokens: "
                f"`length` must be '{DYNAMIC}' or left out. Received: {length}."
            )
        if not str(length).isdigit() or int(length) > self.max_length:
            raise ConfigurationError(
                f"`length` must be '{DYNAMIC}', or up to {self.max_length}, "
                "the --max-length that the student was trained with. "
                f"Received: {length}."
            )
        return int(length)

    def _verification_rows(self):
        rows = self.student.kept_rows(VALIDATION_ROWS)
        return rows, np.arange(min(len(rows), VERIFICATION_ROWS))

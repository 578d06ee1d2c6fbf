"""The student that a run ends with: to predict, to score and to export."""

import functools
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_kd import batch
from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.batches import gather_inputs
from keras_kd.data.mediapipe_tokens import read_as_mediapipe
from keras_kd.data.retokenization import retokenize
from keras_kd.data.rows import Rows
from keras_kd.data.rows import copy_rows
from keras_kd.data.rows import write_rows
from keras_kd.data.tokenization import Tokenizer
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.progress import progress_bar
from keras_kd.runs.exported_student import ExportedStudent
from keras_kd.runs.preparation import find_labelled
from keras_kd.runs.training import STUDENT_FILE
from keras_kd.tasks.named_tasks import build_task

TASK_FILE = "task.json"
DYNAMIC = "dynamic"
# More rows prove an exported file no better, and take their time.
VERIFICATION_ROWS = 2000
SAMPLE_ROWS = 64


class TrainedStudent:
    """A run's student with its tokenizer, its labels and validation rows.

    Args:
        run: `RunFolder` of a finished run.

    Raises:
        ConfigurationError: The run has no student yet.

    Example:

    ```python
    student = TrainedStudent(RunFolder.open("runs/imdb"))
    student.predict(["A fine film."])
    student.export_litert("dynamic")
    ```
    """

    def __init__(self, run):
        self.run = run
        self.folder = run.folder
        if not (self.folder / STUDENT_FILE).is_file():
            raise ConfigurationError(
                f"The run in '{self.folder}' has no {STUDENT_FILE}. "
                + (
                    "It was not finished: start `keras-kd distill` again with "
                    "the same settings; it goes on where it stopped."
                    if "distilled" in run.configuration.arms
                    else f"Its arms are {run.configuration.arms}: add "
                    "'distilled' to --arms, and start `keras-kd distill` "
                    "again; what is done is not done twice."
                )
            )
        import keras_hub  # noqa: F401  Its layers are looked up by name.

        self.model = keras.saving.load_model(
            self.folder / STUDENT_FILE, compile=False
        )
        self.tokenizer = Tokenizer.from_folder(self.folder / "tokenizer")
        self.task = build_task(**read_json(self.folder / TASK_FILE))
        self.max_length = run.configuration.max_length

    @classmethod
    def keep(cls, comparison, arm="distilled"):
        """Copies the arm's best student into the run folder, with all it needs.

        Among the seeds, the one that scores best on validation is kept.

        Args:
            comparison: `Comparison` that was executed.
            arm: Which student.
        """
        run = comparison.run
        best = max(
            comparison.configuration.seeds,
            key=lambda seed: read_json(
                run.unit(f"{arm}-{seed}") / "result.json"
            )["best_score"],
        )
        with folder_aside(run.folder / "tokenizer") as temporary:
            comparison.tokenizer.save(temporary)
        write_json(run.folder / TASK_FILE, comparison.task.to_dict())
        copy_rows(
            run.folder / "validation_rows", comparison.student_rows.validation
        )
        with write_aside(run.folder / STUDENT_FILE) as temporary:
            shutil.copy(run.unit(f"{arm}-{best}") / STUDENT_FILE, temporary)
        return cls(run)

    # === Use ===

    def predict(self, texts):
        """The answer for each text.

        Args:
            texts: List of strings, of pairs of strings, or of questions with
                the texts that answer them.

        Returns:
            List of `(answer, probability)`: a class, labels with commas
            between, a number, which has no probability (`None`), a list of
            entities, or an answer; see `answers` of the task.
        """
        texts = list(texts)
        examples = [
            self.task.example_of(text, str(number))
            for number, text in enumerate(texts)
        ]
        if not examples:
            return []
        with tempfile.TemporaryDirectory() as folder:
            rows = self._rows_of(examples, Path(folder) / "rows")
            logits = self.task.select_outputs(self.logits(rows), rows)
            answers = self.task.answers(logits, rows)
        return [
            (self.task.place(answer, text), probability)
            for (answer, probability), text in zip(answers, texts, strict=True)
        ]

    @functools.cached_property
    def _runtime(self):
        return keras_runtime(self.model)

    def _rows_of(self, examples, folder):
        rows = self.task.featurize(examples, self.tokenizer, self.max_length)
        return write_rows(folder, rows, {})

    def score(self, examples, folder, file=None):
        """Scores the student, or an exported file, on labelled examples.

        Args:
            examples: Iterable of `Example`.
            folder: Where the tokenised rows are written.
            file: A `.tflite` of this student, to score that instead: a path,
                or a name in the run folder.

        Returns:
            The task's scores, and the rows: those that have a label.

        Raises:
            DataError: An unknown label, or no label at all.
        """
        rows = self._rows_of(examples, folder)
        return self.score_rows(rows.select(find_labelled(rows, "given")), file)

    def score_rows(self, rows, file=None):
        """As `score`, on labelled `Rows`."""
        if file is None:
            with progress_bar("scoring", len(rows)) as advance:
                logits = self.logits(rows, advance)
        else:
            file = ExportedStudent(self, file)
            rows = file.rows_as_read(rows)
            logits = file.logits(rows)
        logits = self.task.select_outputs(logits, rows)
        return {
            "rows": len(rows),
            **self.task.scores(logits, self.task.references(rows)),
        }

    def logits(self, rows, progress=None):
        """The Keras student's logits: see `keras_kd.inference.predict_rows`."""
        return predict_rows(
            self._runtime,
            rows,
            progress=progress,
            per_token=self.task.per_token,
        )

    def read_again(self, rows, tokenizer, length):
        """Rows of other tokens, or of as many as a file takes.

        Args:
            rows: `Rows` of whole texts, or of tagged words.
            tokenizer: `Tokenizer`.
            length: Tokens that a file takes; `None` for any number.
        """
        longest = rows.lengths(batch.TOKEN_IDS).max()
        if tokenizer is self.tokenizer and (
            length is None or longest <= length
        ):
            return rows
        folder = Path(self._temporary.name)
        return retokenize(rows, tokenizer, folder, length or self.max_length)

    @functools.cached_property
    def _temporary(self):
        return tempfile.TemporaryDirectory()

    # === Export ===

    def export_litert(self, quantization, length=None):
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
        from keras_kd.export.litert import export_litert

        length, path = self._file(quantization, length)
        rows, positions = self._verification_rows()
        rows = self.read_again(rows, self.tokenizer, length)
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

    def export_mediapipe(self, quantization="dynamic", length=None):
        """Writes `student_mediapipe_<quantization>.tflite`, verified.

        Args:
            quantization, length: As in `export_litert`; no `"dynamic"` length.

        Returns:
            The report of `keras_kd.export.mediapipe.export_mediapipe`.

        Raises:
            ConfigurationError: A run on pairs of texts, or another length.
            DataError: A vocabulary that MediaPipe can't read.
            ExportError: The file differs from the Keras student.
        """
        from keras_kd.export.mediapipe import export_mediapipe

        self._check_single_text("MediaPipe's Text Classifier")
        length, path = self._file(f"mediapipe_{quantization}", length)
        client = read_as_mediapipe(self.tokenizer)
        rows, positions = self._verification_rows()
        with progress_bar(f"verifying {path.name}", len(positions)) as advance:
            return export_mediapipe(
                self.model,
                path,
                gather_inputs(
                    self.read_again(rows, client, length),
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

    def export_text(self, quantization="dynamic", length=None):
        """Writes `student_text_<quantization>.tflite`, which takes a text.

        Args:
            quantization, length: As in `export_litert`; no `"dynamic"` length.

        Returns:
            The report of `keras_kd.export.text_litert.export_text_litert`.

        Raises:
            ConfigurationError: A run on pairs of texts, or another length.
            ValueError: A tokenizer that no file can hold.
            ExportError: The file differs from the Keras student.
        """
        from keras_kd.export.text_litert import export_text_litert

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

    def export_saved_model(self):
        """Writes `saved_model/`, verified in a fresh process."""
        from keras_kd.export.saved_model import export_saved_model

        rows, positions = self._verification_rows()
        return export_saved_model(
            self.model,
            self.folder / "saved_model",
            tokenizer=self.tokenizer,
            labels=self.task.labels,
            max_length=self.max_length,
            activation=self.task.activation,
            sample=self._sample(rows, positions[:SAMPLE_ROWS]),
            pairs=self.run.configuration.text_pair is not None,
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
        if self.run.configuration.text_pair is None:
            return text
        return text, rows.text("text_pair", position)

    def _check_single_text(self, what):
        pairs = self.run.configuration.text_pair is not None
        if pairs or self.task.per_token:
            raise ConfigurationError(
                f"{what} reads one text. Received: a run on "
                f"{'pairs' if pairs else self.task.name}. Export it in the "
                "format litert."
            )

    def _metadata(self):
        """What a file says beside what its check measured."""
        licence = self.run.configuration.licence
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
        rows = Rows.open(self.folder / "validation_rows")
        return rows, np.arange(min(len(rows), VERIFICATION_ROWS))

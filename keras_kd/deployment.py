"""The student that a run ends with: to predict, to score and to export."""

import shutil
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
from keras_kd.data.rows import Rows
from keras_kd.data.rows import copy_rows
from keras_kd.data.rows import write_rows
from keras_kd.data.tokenization import Tokenizer
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.preparation import find_labelled
from keras_kd.progress import progress_bar
from keras_kd.tasks.named_tasks import build_task
from keras_kd.training import STUDENT_FILE

TASK_FILE = "task.json"
DYNAMIC = "dynamic"
# More rows prove an exported file no better, and take their time.
VERIFICATION_ROWS = 2000


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
            texts: List of strings, or of pairs of strings.

        Returns:
            List of `(answer, probability)`: a class, labels with commas
            between, or a number, which has no probability (`None`).
        """
        texts = list(texts)
        pairs = None
        if texts and not isinstance(texts[0], str):
            texts, pairs = map(list, zip(*texts, strict=True))
        encoded = self.tokenizer.encode(texts, self.max_length, pairs)
        answers = []
        for token_ids, segment_ids in encoded:
            features = {
                batch.TOKEN_IDS: np.array([token_ids], "int32"),
                batch.SEGMENT_IDS: np.array([segment_ids], "int32"),
                batch.PADDING_MASK: np.ones((1, len(token_ids)), "int32"),
            }
            logits = self.model.predict_on_batch(
                batch.select_inputs(self.model, features)
            )
            answers += self.task.answers(logits)
        return answers

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
        rows = write_rows(
            folder,
            self.task.featurize(examples, self.tokenizer, self.max_length),
            {},
        )
        return self.score_rows(rows.select(find_labelled(rows, "given")), file)

    def score_rows(self, rows, file=None):
        """As `score`, on labelled `Rows`."""
        with progress_bar("scoring", len(rows)) as advance:
            if file is None:
                runtime = keras_runtime(self.model)
                logits = predict_rows(runtime, rows, progress=advance)
            else:
                logits = self._run_file(file, rows, advance)
        return {
            "rows": len(rows),
            **self.task.scores(logits, rows.column("label")),
        }

    def _run_file(self, file, rows, progress):
        from keras_kd.export.litert_runner import LiteRTModel

        if not Path(file).exists() and (self.folder / file).exists():
            file = self.folder / file
        model = LiteRTModel(file)
        if model.labels not in (None, self.task.labels):
            raise ConfigurationError(
                f"{file} is not a file of this run's student. Received: the "
                f"labels {model.labels}. Expected: {self.task.labels}."
            )
        if model.output_names == [batch.PROBABILITIES]:
            return self._run_in_client(model, rows, progress)
        if model.length is not None and self._longest(rows) > model.length:
            positions = np.arange(len(rows))
            return model.predict(
                self._cut_inputs(rows, positions, model.length), progress
            )

        def predict(features):
            return {batch.LOGITS: model.predict(features)}

        return predict_rows(
            (model.input_names, predict), rows, progress=progress
        )

    def _run_in_client(self, model, rows, progress=None):
        """Logits of a MediaPipe file, texts read as MediaPipe reads them."""
        from keras_kd.export.mediapipe import logits_of

        inputs = self._cut_inputs(
            rows,
            np.arange(len(rows)),
            model.length,
            read_as_mediapipe(self.tokenizer),
            model.input_names,
        )
        probabilities = model.predict(inputs, progress)
        return logits_of(probabilities, self.task.activation)

    def compare_with_client(self, rows, file):
        """What changes when MediaPipe's client reads the texts of some rows.

        Args:
            rows: `Rows` with labels.
            file: A file of `export_mediapipe`, in the run folder.

        Returns:
            Dictionary: `rows`, `rows_with_other_tokens`, `other_decisions`
            (rows that get another answer than Keras gives, whatever moved it),
            and `score_keras` and `score_client`, by the task's metric.
        """
        from keras_kd.export.litert_runner import LiteRTModel

        model = LiteRTModel(self.folder / file)
        positions = np.arange(len(rows))
        own, client = (
            self._cut_inputs(rows, positions, model.length, tokenizer)[
                batch.TOKEN_IDS
            ]
            for tokenizer in (None, read_as_mediapipe(self.tokenizer))
        )
        in_keras = predict_rows(keras_runtime(self.model), rows)
        with progress_bar(f"scoring {model.path.name}", len(rows)) as advance:
            in_client = self._run_in_client(model, rows, advance)
        labels = rows.column("label")
        metric = self.task.primary_metric
        answers = zip(self.task.answers(in_keras), self.task.answers(in_client))
        return {
            "rows": len(rows),
            "rows_with_other_tokens": int((own != client).any(axis=1).sum()),
            "other_decisions": sum(a != b for (a, _), (b, _) in answers),
            "score_keras": self.task.scores(in_keras, labels)[metric],
            "score_client": self.task.scores(in_client, labels)[metric],
        }

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

        length = self._check_length(length)
        name = f"student_{quantization}"
        if length != self.max_length:
            name += f"_length_{length or DYNAMIC}"
        path = self.folder / f"{name}.tflite"
        rows, positions = self._verification_rows()
        if length is not None and self._longest(rows) > length:
            inputs = self._cut_inputs(rows, positions, length)
        else:
            inputs = gather_inputs(
                rows,
                positions,
                batch.input_names(self.model),
                length or self.max_length,
            )
        licence = self.run.configuration.licence
        with progress_bar(f"verifying {path.name}", len(positions)) as advance:
            return export_litert(
                self.model,
                path,
                inputs,
                quantization=quantization,
                max_length=length,
                tokenizer=self.tokenizer,
                labels=self.task.labels,
                metadata={"licence": licence} if licence else None,
                labels_of_rows=rows.column("label", positions),
                kind=self.task.name,
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

        if self.run.configuration.text_pair is not None:
            raise ConfigurationError(
                "MediaPipe's Text Classifier reads one text. Received: a run "
                "on pairs. Export it in the format litert."
            )
        length = self._check_length(length)
        name = f"student_mediapipe_{quantization}"
        if length != self.max_length:
            name += f"_length_{length or DYNAMIC}"
        path = self.folder / f"{name}.tflite"
        client = read_as_mediapipe(self.tokenizer)
        rows, positions = self._verification_rows()
        licence = self.run.configuration.licence
        with progress_bar(f"verifying {path.name}", len(positions)) as advance:
            return export_mediapipe(
                self.model,
                path,
                self._cut_inputs(
                    rows, positions, length or self.max_length, client
                ),
                client,
                self.task.labels,
                quantization,
                length,
                self.task.activation,
                metadata={"licence": licence} if licence else None,
                labels_of_rows=rows.column("label", positions),
                progress=advance,
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
            sample=[self._text(rows, i) for i in positions[:64]],
            pairs=self.run.configuration.text_pair is not None,
        )

    def _text(self, rows, position):
        """A row's text, or its two texts."""
        text = rows.text("text", position)
        if self.run.configuration.text_pair is None:
            return text
        return text, rows.text("text_pair", position)

    def _check_length(self, length):
        """The tokens that a file takes; `None` for any number."""
        if length in (None, DYNAMIC):
            return self.max_length if length is None else None
        if not str(length).isdigit() or int(length) > self.max_length:
            raise ConfigurationError(
                f"`length` must be '{DYNAMIC}', or up to {self.max_length}, "
                "the --max-length that the student was trained with. "
                f"Received: {length}."
            )
        return int(length)

    def _longest(self, rows):
        return rows.lengths(batch.TOKEN_IDS).max()

    def _cut_inputs(self, rows, positions, length, tokenizer=None, names=None):
        """The rows' texts as inputs of another length, or of other tokens."""
        texts, pairs = [self._text(rows, i) for i in positions], None
        if not isinstance(texts[0], str):
            texts, pairs = map(list, zip(*texts, strict=True))
        inputs = {
            name: np.zeros((len(texts), length), "int32")
            for name in names or batch.input_names(self.model)
        }
        encoded = (tokenizer or self.tokenizer).encode(texts, length, pairs)
        for row, (token_ids, segment_ids) in enumerate(encoded):
            values = {
                batch.TOKEN_IDS: token_ids,
                batch.SEGMENT_IDS: segment_ids,
                batch.PADDING_MASK: 1,
            }
            for name, array in inputs.items():
                array[row, : len(token_ids)] = values[name]
        return inputs

    def _verification_rows(self):
        rows = Rows.open(self.folder / "validation_rows")
        return rows, np.arange(min(len(rows), VERIFICATION_ROWS))

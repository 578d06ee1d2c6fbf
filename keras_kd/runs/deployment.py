"""The student that a run ends with: to predict, and to score."""

import functools
import shutil
import tempfile
from pathlib import Path

import keras

from keras_kd import batch
from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.retokenization import retokenize
from keras_kd.data.rows import Rows
from keras_kd.data.rows import copy_rows
from keras_kd.data.rows import write_rows
from keras_kd.data.tokenization import Tokenizer
from keras_kd.evaluation.report import METRICS
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.progress import progress_bar
from keras_kd.runs.exported_student import ExportedStudent
from keras_kd.runs.judgement import kept_arm
from keras_kd.runs.preparation import find_labelled
from keras_kd.runs.run_folder import CONFIGURATION_FILE
from keras_kd.runs.training import STUDENT_FILE
from keras_kd.tasks.named_tasks import build_task

TASK_FILE = "task.json"
VALIDATION_ROWS = "validation_rows"


def check_student(run):
    """Refuses a run that has no student.

    Args:
        run: `RunFolder`.

    Raises:
        ConfigurationError: It is not finished, is a cell of a study, or none
            of its arms makes one.
    """
    if (run.folder / STUDENT_FILE).is_file():
        return
    arms = run.configuration.arms
    if not kept_arm(arms):
        remedy = (
            f"Its arms are {arms}: add 'distilled' to --arms, and start "
            "`keras-kd distill` again; what is done is not done twice."
        )
    elif (run.folder / METRICS).is_file():
        settings = run.folder / CONFIGURATION_FILE
        remedy = (
            "It was finished without one, as the cells of a study are: start "
            f"`keras-kd distill --config {settings}` with a --run folder of "
            "its own."
        )
    else:
        remedy = (
            "It was not finished: start `keras-kd distill` again with the same "
            "settings; it goes on where it stopped."
        )
    raise ConfigurationError(
        f"The run in '{run.folder}' has no {STUDENT_FILE}. {remedy}"
    )


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
    StudentFiles(student).write("dynamic")
    ```
    """

    def __init__(self, run):
        self.run = run
        self.folder = run.folder
        check_student(run)
        import keras_hub  # noqa: F401  Its layers are looked up by name.

        self.model = keras.saving.load_model(
            self.folder / STUDENT_FILE, compile=False
        )
        self.tokenizer = Tokenizer.from_folder(self.folder / "tokenizer")
        self.task = build_task(**read_json(self.folder / TASK_FILE))
        self.max_length = run.configuration.max_length

    @classmethod
    def keep(cls, comparison):
        """Copies the best student into the run folder, with all it needs.

        It is one of `kept_arm`: among the seeds, the one that scores best on
        validation.

        Args:
            comparison: `Comparison` that was executed.
        """
        run = comparison.run
        arm = kept_arm(comparison.configuration.arms)
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
            run.folder / VALIDATION_ROWS, comparison.student_rows.validation
        )
        with write_aside(run.folder / STUDENT_FILE) as temporary:
            shutil.copy(run.unit(f"{arm}-{best}") / STUDENT_FILE, temporary)
        return cls(run)

    def kept_rows(self, name):
        """The rows that a run keeps beside its student.

        Args:
            name: Their folder, such as `VALIDATION_ROWS`.

        Raises:
            ConfigurationError: The run came without its rows.
        """
        if not (self.folder / name).is_dir():
            raise ConfigurationError(
                f"The run in '{self.folder}' came without its rows: it has no "
                f"{name}. Export and benchmark need a run of your own, made "
                "by `keras-kd distill`."
            )
        return Rows.open(self.folder / name)

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

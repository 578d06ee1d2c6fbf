"""A run before its students: task, rows, teacher, and the teacher's targets."""

import hashlib
import json
from pathlib import Path

import keras

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.batch import LOGITS
from keras_kd.configuration import ConfigurationError
from keras_kd.data.rows import Rows
from keras_kd.inference import keras_runtime
from keras_kd.progress import progress_bar
from keras_kd.runs import teaching
from keras_kd.runs.augmented_rows import check_augmentation
from keras_kd.runs.preparation import prepare_rows
from keras_kd.runs.run_sources import find_task
from keras_kd.runs.scoring import predict
from keras_kd.runs.student_rows import rows_of_student
from keras_kd.runs.student_rows import student_tokenizer
from keras_kd.runs.teacher_checks import GIVE_ANOTHER
from keras_kd.runs.teacher_checks import TRAIN_LONGER
from keras_kd.runs.teacher_checks import examine
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.ensemble import TeacherEnsemble
from keras_kd.teachers.teacher import is_saved_teacher


class TaughtRun:
    """What all students of a run share: rows, a teacher, and its targets.

    Each step may be called again: what is done is not done twice.

    Args:
        configuration: `Configuration`.
        run: `keras_kd.runs.run_folder.RunFolder`.
        say: Function that is told what happens.

    Attributes:
        task: The task, once the run is prepared.
        teacher: `Teacher`, or several as one.
        rows: `PreparedRows` as the teacher reads them.
        tokenizer: The student's `Tokenizer`.
        student_rows: The rows as the student reads them.
        targets: `TeacherTargets`, once the teacher is prepared.
        teacher_calls: How many rows the teacher was asked about.
    """

    def __init__(self, configuration, run, say=lambda text: None):
        self.say = say
        self.configuration = configuration
        self.run = run
        self.cache = Path(configuration.cache or run.folder / "cache")
        self.teacher_calls = 0
        self.targets = None
        self.teacher_validation_score = None

    def prepare(self):
        """Opens the teacher and the rows; nothing is trained yet."""
        check_augmentation(self.configuration, self.say)
        keras.utils.set_random_seed(self.configuration.seeds[0])
        known = teaching.teacher_labels(
            self.configuration, self.run.teacher_folder
        )
        self.task = find_task(self.configuration, known)
        self.teacher, self._train_teacher = teaching.open_teacher(
            self.configuration, self.task, self.run.teacher_folder
        )
        self.rows = prepare_rows(
            self.configuration,
            self.task,
            self.teacher.tokenizer,
            self.cache / "rows",
            self.say,
        )
        self.run.hold_to("data", self.rows.fingerprint)
        self._prepare_tokens()

    def _prepare_tokens(self):
        """Gives the student its tokenizer, and the rows read with it."""
        own = self.configuration.tokens != "teacher"
        name = None
        if own:
            name = short_hash(
                [
                    self.configuration.tokens,
                    self.configuration.vocabulary_size,
                    self.configuration.lowercase,
                    self.rows.training.keys().tobytes().hex(),
                ]
            )
        self.tokenizer = student_tokenizer(
            self.configuration,
            self.rows,
            self.teacher.tokenizer,
            self.cache / "tokenizers" / f"{self.configuration.tokens}-{name}",
        )
        self.student_rows = self.rows
        if own:
            self.student_rows = rows_of_student(
                self.rows,
                self.tokenizer,
                self.cache / "student_rows",
                self.configuration.max_length,
            )

    def prepare_teacher(self):
        """Fine-tunes the teacher where it has to be, and examines it."""
        if self._train_teacher:
            self.say("Fine-tuning the teacher ...")
            teaching.fine_tune(
                self.teacher,
                self.task,
                self.rows.labelled,
                self.rows.validation,
                self.configuration,
                self.run.unit("teacher_training"),
                say=self.say,
            )
            self.teacher.labels = self.task.labels
            self.teacher.save(self.run.teacher_folder)
            self._train_teacher = False
        rows = self.rows.validation
        self._settle_targets()
        self._label(rows, self.teacher, self.targets)
        trained = is_saved_teacher(self.run.teacher_folder)
        self.teacher_validation_score = examine(
            self.teacher,
            self.task,
            rows,
            self.configuration.teacher_floor,
            self._targets_of(self.targets, rows),
            TRAIN_LONGER if trained else GIVE_ANOTHER,
        )

    def _targets_of(self, targets, rows):
        """The teacher's logits of rows, as the task scores them."""
        logits = targets.lookup(rows.keys())[LOGITS]
        return self.task.select_outputs(logits, rows)

    def _settle_targets(self):
        """Opens the cache of the teacher's targets."""
        if isinstance(self.teacher, TeacherEnsemble):
            self._weigh_teachers(self.rows.validation)
        self.targets = self._open_targets(self.teacher)
        self.run.hold_to("teacher", self.targets.fingerprint)

    def _weigh_teachers(self, rows):
        """Examines each of several teachers, and settles their weights."""
        logits = []
        for teacher in self.teacher.teachers:
            targets = self._open_targets(teacher)
            self._label(rows, teacher, targets)
            logits.append(self._targets_of(targets, rows))
        self.teacher = teaching.weigh_teachers(
            self.teacher, self.configuration, self.task, rows, logits
        )
        shares = zip(self.configuration.teachers, self.teacher.weights)
        for name, weight in shares:
            self.say(f"Weight of the teacher {name}: {weight:.3f}")

    def _open_targets(self, teacher):
        runtime = self.configuration.teacher_runtime
        fingerprint = {**teacher.fingerprint, "runtime": runtime}
        folder = self.cache / "targets" / short_hash(fingerprint)
        per_token = (LOGITS,) if self.task.per_token else ()
        return TeacherTargets(folder, fingerprint, per_token)

    def label(self):
        """Asks the teacher for its targets, once; a second run asks nothing."""
        rows = Rows.join([self.rows.training, self.rows.test])
        self._label(rows, self.teacher, self.targets)

    def label_share(self, number, count):
        """Labels one of several shares of all rows, where others do the rest.

        Raises:
            ConfigurationError: The teacher has to be fine-tuned before.
        """
        if self._train_teacher:
            raise ConfigurationError(
                "The teacher has to be fine-tuned before several processes "
                "label with it. Run `keras-kd label` without --shard once."
            )
        self._settle_targets()
        parts = [self.rows.training, self.rows.test, self.rows.validation]
        share = (number, count)
        self._label(Rows.join(parts), self.teacher, self.targets, share)

    def _label(self, rows, teacher, targets, share=None):
        missing = len(targets.missing(rows, share))
        if missing:
            self.say(f"The teacher labels {missing} rows ...")
            runtime = teaching.teacher_runtime(
                teacher, self.configuration.teacher_runtime, self.cache
            )
            with progress_bar("labelling", missing) as advance:
                self.teacher_calls += targets.label(
                    runtime, rows, progress=advance, share=share
                )

    def what_the_runtime_moves(self):
        """Compares the targets' runtime with Keras on the validation rows."""
        name = self.configuration.teacher_runtime
        if name == "keras" or self.targets is None:
            return None
        rows = self.rows.validation
        # Runs with other validation rows, or another task, share the folder.
        keys = rows.keys().tobytes().hex()
        made_of = short_hash([self.task.to_dict(), keys])
        path = self.targets.folder / f"beside_keras-{made_of}.json"
        if not path.exists():
            moved = self._targets_of(self.targets, rows)
            exact = predict(
                self.task,
                keras_runtime(self.teacher.model),
                rows,
                f"checking {name}",
            )
            references = self.task.references(rows)
            result = {
                "runtime": name,
                "rows": len(rows),
                "agreement": self.task.agreement(exact, moved, references),
                "divergence": self.task.divergence(exact, moved, references),
            }
            write_json(path, result)
        return read_json(path)


def short_hash(value):
    """A short name for a dictionary of settings."""
    text = json.dumps(value, sort_keys=True).encode()
    return hashlib.blake2b(text, digest_size=6).hexdigest()

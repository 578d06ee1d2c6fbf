"""The teacher of a run: fine-tuned where need be, examined, and asked once."""

import contextlib
import math
from pathlib import Path

from keras_kd.atomic_files import read_json
from keras_kd.data.pipeline import training_batches
from keras_kd.distiller import Distiller
from keras_kd.evaluation.machine import usable_cores
from keras_kd.inference import keras_runtime
from keras_kd.models.huggingface_folder import read_labels
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.models.pretrained import MissingHead
from keras_kd.runs.scoring import score
from keras_kd.runs.teacher_checks import LEAVE_OUT
from keras_kd.runs.teacher_checks import TeacherRefused
from keras_kd.runs.teacher_checks import check_length
from keras_kd.runs.teacher_checks import check_outputs
from keras_kd.runs.teacher_checks import check_task
from keras_kd.runs.teacher_checks import examine
from keras_kd.runs.training import adamw
from keras_kd.runs.training import train_unit
from keras_kd.teachers.ensemble import TeacherEnsemble
from keras_kd.teachers.ensemble import pick_weights
from keras_kd.teachers.teacher import Teacher
from keras_kd.teachers.teacher import is_saved_teacher
from keras_kd.teachers.teacher import saved_files

HEADS = {
    "sequence": "classification head",
    "token": "head for tokens",
    "span": "head for questions",
}


def fine_tune(
    teacher, task, rows, validation, configuration, folder, say=print
):
    """Trains a teacher on the labelled rows; resumable.

    Args:
        teacher: `Teacher`. Its model is trained in place.
        task: The task.
        rows: Labelled `Rows`.
        validation: `Rows` that the checkpoint is chosen on.
        configuration: `Configuration`.
        folder: Folder of the training unit.
        say: Function that prints a line.

    Returns:
        The result of `train_unit`.
    """
    steps_per_epoch = math.ceil(len(rows) / configuration.teacher_batch_size)
    steps = math.ceil(steps_per_epoch * configuration.teacher_epochs)
    distiller = Distiller(teacher.model)
    runtime = keras_runtime(teacher.model)
    task = task.for_teacher()
    distiller.compile(
        adamw(configuration.teacher_learning_rate, steps),
        loss=task.hard_label_loss(),
        metrics=task.metrics(),
    )
    return train_unit(
        folder,
        distiller,
        lambda step: training_batches(
            rows,
            teacher.model,
            configuration.teacher_batch_size,
            start_step=step,
        ),
        lambda: score(runtime, task, validation),
        steps,
        max(1, min(steps_per_epoch // 2, 250)),
        "fine-tuning",
        say,
    )


def teacher_labels(configuration, folder):
    """The names that the teacher has for its logits; `None` if it has none."""
    own = is_saved_teacher(folder)
    for candidate in [folder] if own else configuration.teachers:
        if is_saved_teacher(candidate):
            labels = read_json(saved_files(candidate)[1]).get("labels")
        else:
            labels = read_labels(resolve_folder(candidate))
        if labels:
            return labels
    return None


def open_teacher(configuration, task, folder):
    """Opens the run's teacher: the trained one, else as it was given.

    Several make a `TeacherEnsemble`.

    Args:
        configuration: `Configuration`.
        task: The task.
        folder: Where the run keeps a teacher that it trained.

    Returns:
        `(teacher, whether it has to be fine-tuned)`.

    Raises:
        TeacherRefused: The teacher has no head and is not to be trained, is
            the student of another task, has another number of outputs than
            classes, or reads less than `max_length` tokens.
    """
    if is_saved_teacher(folder):
        return Teacher.open(folder), False
    if configuration.teacher_framework == "torch":
        from keras_kd.teachers.torch_teacher import TorchTeacher

        teacher = TorchTeacher(
            configuration.teachers[0],
            task.task_head,
            allow_pickle=configuration.allow_pickle,
        )
        check_outputs(teacher, task)
        check_length(teacher.model, configuration.max_length)
        return teacher, False
    given = []
    for name in configuration.teachers:
        with _named(name, configuration):
            teacher, to_train = _open_given_teacher(name, configuration, task)
            check_outputs(teacher, task)
            check_length(teacher.model, configuration.max_length)
        given.append(teacher)
    if len(given) == 1:
        return teacher, to_train
    weights = configuration.teacher_weights
    if weights == "validation":  # They are picked when the rows are there.
        weights = None
    return TeacherEnsemble(given, weights), False


@contextlib.contextmanager
def _named(name, configuration):
    """Says which of several teachers is refused inside."""
    try:
        yield
    except TeacherRefused as error:
        if len(configuration.teachers) == 1:
            raise
        raise TeacherRefused(f"'{name}': {error}") from None


def _open_given_teacher(name, configuration, task):
    wanted = configuration.fine_tune_teacher
    if is_saved_teacher(name):
        check_task(read_json(saved_files(name)[1]).get("name"), task)
    try:
        teacher = Teacher.open(
            name,
            allow_pickle=configuration.allow_pickle,
            task_head=task.task_head,
        )
        has_head = True
    except MissingHead:
        teacher = Teacher.open(
            name,
            num_outputs=task.num_outputs,
            allow_pickle=configuration.allow_pickle,
            task_head=task.task_head,
        )
        has_head = False
    several = len(configuration.teachers) > 1
    if not has_head and several:
        raise TeacherRefused(
            f"It has no {HEADS[task.task_head]}, and of several teachers none "
            "is trained. Fine-tune it in a run of its own (`arms` teacher), "
            "and give the folder RUN/teacher."
        )
    if not has_head and wanted is False:
        raise TeacherRefused(
            f"'{name}' has no {HEADS[task.task_head]}, and "
            "fine-tuning is switched off. Switch it on, or give a teacher that "
            "was fine-tuned."
        )
    return teacher, wanted or not has_head


def weigh_teachers(ensemble, configuration, task, rows, logits):
    """Examines each of several teachers, and gives them their weights.

    Args:
        ensemble: `TeacherEnsemble`.
        configuration: `Configuration`.
        task: The task.
        rows: Validation `Rows`.
        logits: List with each teacher's logits of the rows.

    Returns:
        `TeacherEnsemble`; another one where the weights are picked here.

    Raises:
        TeacherRefused: As in `examine`; says which teacher.
    """
    names = configuration.teachers
    for name, teacher, own in zip(names, ensemble.teachers, logits):
        with _named(name, configuration):
            examine(teacher, task, rows, logits=own, remedy=LEAVE_OUT)
    if configuration.teacher_weights != "validation":
        return ensemble
    references = task.references(rows)

    def rank(logits):
        scores = task.scores(logits, references)
        return scores[task.primary_metric], -scores[task.loss_of_scores]

    return TeacherEnsemble(ensemble.teachers, pick_weights(logits, rank))


def teacher_runtime(teacher, name, folder):
    """What runs the teacher when it labels: Keras, or LiteRT in int8.

    Args:
        teacher: `Teacher`.
        name: `"keras"` or `"litert-int8"`.
        folder: Where a converted teacher is kept.

    Returns:
        `(input names, predict)`, as in `keras_kd.inference`.
    """
    if hasattr(teacher, "runtime"):
        return teacher.runtime
    if name == "keras":
        return keras_runtime(teacher.model)
    from keras_kd.export.litert import convert_teacher
    from keras_kd.export.litert import litert_runtime

    path = Path(folder) / f"teacher-{teacher.fingerprint['weights']}.tflite"
    if not path.exists():
        convert_teacher(teacher.model, path)
    return litert_runtime(path, num_threads=usable_cores())

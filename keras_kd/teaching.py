"""The teacher of a run: fine-tuned where need be, examined, and asked once."""

import contextlib
import math
from pathlib import Path

from keras_kd.atomic_files import read_json
from keras_kd.batch import LOGITS
from keras_kd.batch import input_names
from keras_kd.batch import named_outputs
from keras_kd.configuration import ConfigurationError
from keras_kd.data.batches import gather_inputs
from keras_kd.data.pipeline import training_batches
from keras_kd.distiller import Distiller
from keras_kd.evaluation.machine import usable_cores
from keras_kd.evaluation.significance import label_order_check
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.models.embeddings import project
from keras_kd.models.embeddings import read_word_vectors
from keras_kd.models.embeddings import teacher_table
from keras_kd.models.embeddings import token_embedding
from keras_kd.models.huggingface_folder import read_labels
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.models.narrowing import narrow_from_teacher
from keras_kd.models.pretrained import MissingHead
from keras_kd.progress import TrainingProgress
from keras_kd.progress import progress_bar
from keras_kd.teachers.ensemble import TeacherEnsemble
from keras_kd.teachers.ensemble import pick_weights
from keras_kd.teachers.teacher import SETTINGS_FILE
from keras_kd.teachers.teacher import Teacher
from keras_kd.teachers.teacher import is_saved_teacher
from keras_kd.training import STATE_SECONDS
from keras_kd.training import adamw
from keras_kd.training import train_unit

HEADS = {
    "sequence": "classification head",
    "token": "head for tokens",
    "span": "head for questions",
}
# What a narrower copy of a teacher is fitted on.
SAMPLE_ROWS = 256


class TeacherRefused(ValueError):
    """The teacher would teach nonsense: says which check it failed."""


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
        evaluate_every=max(1, min(steps_per_epoch // 2, 250)),
        callbacks=[TrainingProgress("fine-tuning", steps, say)],
        state_seconds=STATE_SECONDS,
    )


def score(runtime, task, rows):
    """The task's primary metric of a model on rows, and the mean loss."""
    logits = predict(task, runtime, rows, "validating")
    scores = task.scores(logits, task.references(rows))
    return scores[task.primary_metric], scores[task.loss_of_scores]


def predict(task, runtime, rows, what):
    """The logits of all rows that a task scores, with a progress bar."""
    with progress_bar(what, len(rows)) as advance:
        logits = predict_rows(
            runtime, rows, progress=advance, per_token=task.per_token
        )
    return task.select_outputs(logits, rows)


def teacher_labels(configuration, folder):
    """The names that the teacher has for its logits; `None` if it has none."""
    own = is_saved_teacher(folder)
    for candidate in [folder] if own else configuration.teachers:
        if is_saved_teacher(candidate):
            labels = read_json(Path(candidate) / SETTINGS_FILE)["labels"]
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
        TeacherRefused: The teacher has no head and is not to be trained, has
            another number of outputs than classes, or reads less than
            `max_length` tokens.
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
        check_length(teacher, configuration.max_length)
        return teacher, False
    given = []
    for name in configuration.teachers:
        with _named(name, configuration):
            teacher, to_train = _open_given_teacher(name, configuration, task)
            check_outputs(teacher, task)
            check_length(teacher, configuration.max_length)
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


def check_outputs(teacher, task):
    """Refuses a teacher whose outputs are not one logit a class."""
    outputs = named_outputs(teacher.model.output)
    if LOGITS not in outputs:
        raise TeacherRefused(
            f"The teacher gives {sorted(outputs)}. Expected '{LOGITS}', one "
            "for each class. Give the model a single output, or name it so."
        )
    width = outputs[LOGITS].shape[-1]
    if width != task.num_outputs:
        raise TeacherRefused(
            f"The teacher gives {width} logits, the task has "
            f"{task.num_outputs} "
            + (f"classes: {task.labels}" if task.labels else "number to give")
            + ". Give the names of all that the teacher knows with `labels`, "
            "in its order, or fine-tune a teacher for this task."
        )


def check_length(teacher, max_length):
    """Refuses rows that are longer than a teacher's position table."""
    for layer in teacher.model.layers:
        positions = getattr(layer, "sequence_length", None)
        if isinstance(positions, int) and max_length > positions:
            raise TeacherRefused(
                f"The teacher reads {positions} tokens at the most. Received: "
                f"max_length={max_length}. Give {positions} or less."
            )


def examine(teacher, task, rows, floor=None, logits=None):
    """Scores a teacher on the validation rows, and refuses a useless one.

    Args:
        teacher: `Teacher`.
        task: The task.
        rows: Validation `Rows`.
        floor: The least score; by default that of always giving the most
            frequent class.
        logits: The teacher's logits of the rows, where they are known; by
            default it is run on them.

    Returns:
        The teacher's score.

    Raises:
        TeacherRefused: Another number of outputs than classes, probabilities
            instead of logits, a score that is not above the floor, or an order
            of the labels of which a permutation scores significantly better.
    """
    check_outputs(teacher, task)
    if logits is None:
        runtime = keras_runtime(teacher.model)
        logits = predict(task, runtime, rows, "examining the teacher")
    references = task.references(rows)
    try:
        task.check_logits(logits)
    except ValueError as error:
        raise TeacherRefused(f"The teacher gives {error}") from None
    value = task.score(logits, references)
    if task.name == "classification":
        _check_label_order(task, logits, references, value)
    meaning, enough = "given", True
    if floor is None:
        floor = task.trivial_score(references)
        meaning, enough = "what answers that ignore the text score", False
    if value < floor or (value == floor and not enough):
        raise TeacherRefused(
            f"The teacher's {task.primary_metric} is {value:.3f} on "
            f"{len(rows)} validation rows; the floor is {floor:.3f} "
            f"({meaning}). A student would learn its errors. Fine-tune the "
            "teacher longer (`teacher_epochs`), or lower `teacher_floor` on "
            "purpose."
        )
    return value


def _check_label_order(task, logits, labels, value):
    better = label_order_check(logits, labels)
    if better is not None:
        order = [task.labels[index] for index in better]
        raise TeacherRefused(
            f"The teacher scores {value:.3f} with the labels in the order "
            f"{task.labels}, and significantly better with its logits read as "
            f"{order}. Give the teacher's own order with `labels`."
        )


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
            examine(teacher, task, rows, logits=own)
    if configuration.teacher_weights != "validation":
        return ensemble
    references = task.references(rows)

    def score(logits):
        scores = task.scores(logits, references)
        return scores[task.primary_metric], -scores[task.loss_of_scores]

    return TeacherEnsemble(ensemble.teachers, pick_weights(logits, score))


def student_of_teacher(configuration, teacher, rows):
    """A student that begins as some of its teacher's layers.

    Args:
        configuration: `Configuration` with `teacher_layers`.
        teacher: `Teacher`; of several the first.
        rows: `Rows` that a narrower copy is fitted on.
    """
    model = _first(teacher).model
    return narrow_from_teacher(
        model,
        configuration.teacher_layers,
        configuration.width,
        configuration.heads,
        configuration.intermediate,
        dropout=configuration.dropout,
        sample=gather_inputs(
            rows, range(min(len(rows), SAMPLE_ROWS)), input_names(model)
        ),
    )


def _first(teacher):
    """The first of several teachers, or the only one."""
    return getattr(teacher, "teachers", [teacher])[0]


def start_of_embeddings(name, teacher, tokenizer, width, say=print):
    """The table that a student's embeddings start from.

    Args:
        name: `"teacher"`, or the path of a file of word vectors.
        teacher: `Teacher`.
        tokenizer: The student's `Tokenizer`.
        width: Width of the student's table. Vectors of another width are
            projected to it by PCA.
        say: Function that prints a line.

    Returns:
        `[vocabulary, width]` float32.

    Raises:
        ConfigurationError: The vectors are narrower than the table.
    """
    if name == "teacher":
        model = _first(teacher).model
        _check_width(width, token_embedding(model).embeddings, "the teacher")
        own = tokenizer.fingerprint != teacher.tokenizer.fingerprint
        tokens = tokenizer.vocabulary if own else None
        return teacher_table(model, width, tokens, teacher.tokenizer)
    table, found = read_word_vectors(
        name, tokenizer.vocabulary, tokenizer.lowercase
    )
    _check_width(width, table, f"'{name}'")
    say(f"{found:.1%} of the student's words have a vector in '{name}'.")
    if table.shape[1] != width:
        table = project(table, width)
    return table


def _check_width(width, table, source):
    if width > table.shape[1]:
        raise ConfigurationError(
            f"`embedding_dim` must be at most {table.shape[1]}, the width of "
            f"the word vectors of {source}. Received: {width}. Vectors can be "
            "made narrower, not wider."
        )


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

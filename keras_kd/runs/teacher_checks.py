"""What a teacher has to be, so that it is worth learning from."""

import contextlib

from keras_kd.batch import LOGITS
from keras_kd.batch import named_outputs
from keras_kd.evaluation.significance import label_order_check
from keras_kd.inference import keras_runtime
from keras_kd.runs.scoring import predict

# What to do about a teacher that scores too low: one that the run fine-tuned,
# one that it was given, and one of several.
TRAIN_LONGER = (
    "Fine-tune the teacher longer (`teacher_epochs`), or lower `teacher_floor` "
    "on purpose."
)
GIVE_ANOTHER = (
    "Give another one, or train it further in a run of its own, or lower "
    "`teacher_floor` on purpose."
)
LEAVE_OUT = "Leave it out, or train it further in a run of its own."


class TeacherRefused(ValueError):
    """The teacher would teach nonsense: says which check it failed."""


@contextlib.contextmanager
def verdict_noted(run):
    """Context in which a run notes that its teacher is refused, or accepted.

    Args:
        run: `keras_kd.runs.run_folder.RunFolder`.

    Raises:
        TeacherRefused: The one that was raised inside.
    """
    try:
        yield
    except TeacherRefused as error:
        run.refuse_teacher(str(error))
        raise
    run.accept_teacher()


def check_task(name, task):
    """Refuses a run as a teacher whose student has learned another task.

    Args:
        name: The name of its task; `None` of a teacher that is no run.
        task: The task that is to be taught.
    """
    if name not in (None, task.name):
        raise TeacherRefused(
            f"The teacher is a run of the task {name}. Expected one of "
            f"{task.name}, as `task` says here. Give another teacher."
        )


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
            + (
                f"classes: {task.labels}. Give the names of all that the "
                "teacher knows with `labels`, in its order, or fine-tune"
                if task.labels
                else "to give. Fine-tune"
            )
            + " a teacher for this task."
        )


def check_length(model, max_length):
    """Refuses rows that are longer than a teacher's position table."""
    for layer in model.layers:
        if getattr(layer, "name", None) == "masked_lm_bias":
            continue  # It is a table of positions by its class alone.
        positions = getattr(layer, "sequence_length", None)
        if isinstance(positions, int) and max_length > positions:
            raise TeacherRefused(
                f"`max_length` must be at most {positions}: the teacher reads "
                f"{positions} tokens. Received: {max_length}."
            )


def examine(teacher, task, rows, floor=None, logits=None, remedy=GIVE_ANOTHER):
    """Scores a teacher on the validation rows, and refuses a useless one.

    Args:
        teacher: `Teacher`.
        task: The task.
        rows: Validation `Rows`.
        floor: The least score; by default that of always giving the most
            frequent class.
        logits: The teacher's logits of the rows, where they are known; by
            default it is run on them.
        remedy: What to do about one that scores too low.

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
            f"({meaning}). A student would learn its errors. {remedy}"
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

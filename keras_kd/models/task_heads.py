"""A student for several tasks: one encoder, and a head for each."""

import keras
from keras import layers


def with_task_heads(student, num_outputs):
    """Gives a student for each task, which share all but their heads.

    What is read, embedded and pooled is the same model for all: on a phone it
    is stored, and run, once. The student's own head is left out.

    Args:
        student: A functional `keras.Model` whose last layer is a `Dense` that
            gives logits, as of every student of keras_kd.
        num_outputs: Dictionary from the names of tasks to their numbers of
            logits.

    Returns:
        Dictionary from the names to functional `keras.Model`s, for
        `keras_kd.MultiTaskDistiller`. Their heads are fresh.

    Raises:
        ValueError: A student without such a layer, no task, or a name that no
            layer can have.

    Example:

    >>> from keras_kd.models.bag import bag_student
    >>> encoder = bag_student(1000, 2)
    >>> students = with_task_heads(encoder, {"topic": 15, "tone": 3})
    >>> students["topic"].output.shape, students["tone"].output.shape
    ((None, 15), (None, 3))
    """
    names = num_outputs if isinstance(num_outputs, dict) else ()
    if not names or not all(
        isinstance(name, str) and name.isidentifier() for name in names
    ):
        raise ValueError(
            "`num_outputs` must map the names of tasks (letters, digits and "
            f"underscores) to numbers of logits. Received: {num_outputs}"
        )
    head = student.layers[-1]
    if not isinstance(head, layers.Dense) or student.output is not head.output:
        raise ValueError(
            "The student's last layer must be a Dense that gives its logits: "
            f"all heads read what it reads. Received: '{student.name}', whose "
            f"last layer is '{head.name}' ({type(head).__name__})."
        )
    return {
        name: keras.Model(
            student.input, _head_like(head, name, number)(head.input), name=name
        )
        for name, number in num_outputs.items()
    }


def _head_like(head, name, number):
    """A fresh head with another number of logits."""
    config = head.get_config()
    return layers.Dense.from_config(
        {**config, "name": f"{name}_logits", "units": number}
    )


def join_heads(students):
    """One model with an output for each task.

    Args:
        students: Dictionary from the names of tasks to models.

    Returns:
        A functional `keras.Model`. Its outputs have the names of the tasks; of
        a student with several, `<task>_<name>`.

    Raises:
        ValueError: Their inputs are not the same tensors.
    """
    first, *others = students.values()
    for other in others:
        if list(map(id, other.inputs)) != list(map(id, first.inputs)):
            raise ValueError(
                "Students of several tasks must read the same keras.Inputs. "
                f"Received: '{first.name}' and '{other.name}', which have "
                "inputs of their own. Make them with `with_task_heads`, or as "
                "functional models on one encoder's outputs."
            )
    outputs = {}
    for task, student in students.items():
        if isinstance(student.output, dict):
            outputs.update(
                {f"{task}_{key}": out for key, out in student.output.items()}
            )
        else:
            outputs[task] = student.output
    return keras.Model(first.input, outputs, name="student")

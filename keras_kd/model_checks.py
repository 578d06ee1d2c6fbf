"""What a Distiller refuses: models and losses that don't fit together."""

import keras

from keras_kd import batch


def check_reads_logits(loss):
    """Refuses a loss that would take raw logits for probabilities."""
    if isinstance(loss, str):
        raise ValueError(
            "`loss` must be a loss object, which says whether it reads logits. "
            f"Received: '{loss}'. Use for example "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    reads_logits = getattr(loss, "_fn_kwargs", {}).get("from_logits", True)
    if not reads_logits:
        raise ValueError(
            f"The student gives raw logits. Received: {type(loss).__name__} "
            "with from_logits=False, which reads probabilities. Build it with "
            "from_logits=True."
        )


def check_gives_logits(model, role):
    """Refuses a model whose last layer turns logits into probabilities."""
    layers = getattr(model, "layers", None) or [None]
    activation = getattr(layers[-1], "activation", None)
    activation = getattr(activation, "__name__", None)
    if isinstance(layers[-1], keras.layers.Softmax):
        activation = "softmax"
    if activation in ("softmax", "sigmoid", "log_softmax"):
        raise ValueError(
            f"The {role} must give raw logits. Received: '{model.name}', whose "
            f"last layer '{layers[-1].name}' applies {activation}. Build it "
            "with activation=None: the losses apply it, with the temperature."
        )


def check_same_outputs(student, teacher, names):
    """Refuses a teacher whose outputs the student can't match.

    Args:
        student: The student.
        teacher: The teacher.
        names: Names of the outputs that have to match.
    """
    shapes = [
        {
            name: output.shape[-1]
            for name, output in batch.named_outputs(model.output).items()
        }
        for model in (student, teacher)
    ]
    different = {
        name: (size, shapes[1][name])
        for name, size in shapes[0].items()
        if name in set(names) & set(shapes[1]) and shapes[1][name] != size
    }
    if different:
        raise ValueError(
            "Student and teacher must have the same number of outputs. "
            "Received (student, teacher): "
            f"{different}. Build the student with the teacher's number."
        )


def check_accumulation(steps):
    """Refuses a number of micro-batches that can't be used."""
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(
            "`accumulation_steps` must be a whole number, 1 or more. "
            f"Received: {steps}"
        )
    backend = keras.config.backend()
    if steps > 1 and backend != "tensorflow":
        raise ValueError(
            "`accumulation_steps` is for the TensorFlow backend. Received: "
            f"{steps}, on {backend}. Give the optimizer "
            "`gradient_accumulation_steps` and smaller batches instead."
        )


def check_schedules(settings):
    """Refuses schedules on JAX, where a loss can't see the optimizer's step.

    Keras hands the optimizer's variables to JAX apart from the model's, so
    that a schedule would be asked about a step that is not there.
    """
    names = sorted(name for name, value in settings.items() if callable(value))
    if names and keras.config.backend() == "jax":
        raise ValueError(
            "On the JAX backend weights and temperatures must be numbers. "
            f"Received schedules: {names}. Use numbers, or the TensorFlow or "
            "PyTorch backend."
        )

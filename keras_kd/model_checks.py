"""What a Distiller refuses: models and losses that don't fit together."""

import functools
import inspect

import keras

from keras_kd import batch

PROBABILITIES = ("softmax", "sigmoid", "logsoftmax")


def check_reads_logits(loss):
    """Refuses a loss that would take raw logits for probabilities.

    Also one that leaves out rows by itself.
    """
    if isinstance(loss, str):
        raise ValueError(
            "`loss` must be a loss object, which says whether it reads logits. "
            f"Received: '{loss}'. Use for example "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    if loss is None:
        return
    _check_from_logits(loss)
    ignored = _setting(loss, "ignore_class")
    # Its mean would be over all rows, those that it leaves out too.
    if ignored is not None and _is_of_keras(loss):
        raise ValueError(
            "Rows without a label are told by the batch. Received: "
            f"{_name(loss)} with ignore_class={ignored}. Leave it out, and "
            f"give y['{batch.LABEL_WEIGHT}'], 0 for these rows; for tokens, "
            "keras_kd.losses.token_cross_entropy.token_cross_entropy."
        )


def check_metrics(metrics, one_logit):
    """Refuses metrics that would take raw logits for probabilities.

    Args:
        metrics: List as `compile` takes it.
        one_logit: Whether the student has a single logit.
    """
    for metric in keras.tree.flatten(metrics):
        received = repr(metric) if isinstance(metric, str) else _name(metric)
        # What Keras takes it for depends on the number of outputs.
        if metric in ("accuracy", "acc"):
            threshold = 0.5 if one_logit else None
        else:
            metric = keras.metrics.get(metric)
            _check_from_logits(metric)
            threshold = None
            if _is_of_keras(metric):
                threshold = _setting(metric, "threshold")
                if getattr(metric, "top_k", None) is None:
                    threshold = _setting(metric, "thresholds", threshold)
        if threshold in (0.5, [0.5]):
            raise ValueError(
                "The student gives raw logits, whose threshold is 0. Received "
                f"as a metric: {received}, which cuts at 0.5, as for "
                "probabilities. Use for example "
                "keras.metrics.BinaryAccuracy(threshold=0.0)."
            )


def _check_from_logits(reader):
    if _setting(reader, "from_logits", True) is False:
        raise ValueError(
            f"The student gives raw logits. Received: {_name(reader)} with "
            "from_logits=False, which reads probabilities. Build it with "
            "from_logits=True."
        )


def _setting(reader, name, default=None):
    """A setting of a loss or metric: an object of Keras, or a function."""
    given = getattr(reader, "_fn_kwargs", {})
    if isinstance(reader, (keras.losses.Loss, keras.metrics.Metric)):
        own = getattr(reader, f"_{name}", default)
        return given.get(name, getattr(reader, name, own))
    parameter = inspect.signature(reader).parameters.get(name)
    return default if parameter is None else parameter.default


def _is_of_keras(reader):
    """Whether it is known what a threshold of it is compared with."""
    while isinstance(reader, functools.partial):
        reader = reader.func
    made = reader if inspect.isfunction(reader) else type(reader)
    return made.__module__.startswith("keras.")


def _name(reader):
    return getattr(reader, "__name__", type(reader).__name__)


def check_gives_logits(model, role):
    """Refuses a model whose last layer turns logits into probabilities."""
    outputs = batch.named_outputs(model.output)
    if batch.LOGITS in outputs:
        outputs = {batch.LOGITS: outputs[batch.LOGITS]}
    for output in keras.tree.flatten(outputs):
        layer, _, index = output._keras_history
        # A model whose layers can be told; one of a class of its own can not.
        while getattr(layer, "outputs", None):
            layer, _, index = layer.outputs[index]._keras_history
        # A layer has an activation, `keras.ops.softmax` is one itself.
        name = getattr(layer, "activation", type(layer))
        name = getattr(name, "__name__", "").lower()
        if name.replace("_", "") in PROBABILITIES:
            raise ValueError(
                f"The {role} must give raw logits. Received: '{model.name}', "
                f"whose last layer '{layer.name}' applies {name}. Build it "
                "with activation=None: the losses apply it, with the "
                "temperature."
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

"""What settings must hold, alone and together."""

import dataclasses
import math

from keras_kd.configuration import choices
from keras_kd.configuration.errors import refuse

ABOVE_ZERO = (
    "layers", "width", "embedding_dim", "batch_size", "learning_rate",
    "steps", "evaluate_every", "teacher_batch_size", "teacher_epochs",
    "teacher_learning_rate", "labelled_rows", "validation_rows",
    "test_rows", "vocabulary_size", "accumulation_steps",
    "steps_per_execution", "augment_copies", "heads", "intermediate",
    "longest_answer", "relation_heads",
)  # fmt: skip


def check(configuration):
    """Raises a `ConfigurationError` for the first setting that can't be used.

    The settings are of the right types. A width and a number of layers that
    follow from others are filled in.
    """
    for part in (
        _check_choices, _check_numbers, _check_reading, _check_augmentation,
        _check_layers, _check_steps, _check_tokens, _check_lists,
        _check_teachers, _check_teacher_layers, _check_heads, _check_framework,
        _check_quantization, _check_convolution,
    ):  # fmt: skip
        part(configuration)


def _check_choices(configuration):
    for setting in dataclasses.fields(configuration):
        allowed = setting.metadata["choices"]
        value = getattr(configuration, setting.name)
        several = isinstance(value, list)
        for one in value if several else [value]:
            if allowed and one not in (*allowed, setting.default):
                which = "some" if several else "one"
                refuse(setting.name, one, f"{which} of {list(allowed)}")


def _check_numbers(configuration):
    if not 0 < configuration.temperature < math.inf:
        refuse("temperature", configuration.temperature, "above 0 and finite")
    if not 0 <= configuration.alpha <= 1:
        refuse("alpha", configuration.alpha, "from 0 to 1")
    if not 0 <= configuration.dropout < 1:
        refuse("dropout", configuration.dropout, "0 or more and below 1")
    prune = configuration.prune
    if prune is not None and not 0 < prune < 1:
        refuse("prune", prune, "above 0 and below 1")
    if prune is not None and configuration.steps < 10:
        refuse(
            "steps", configuration.steps, "10 or more where `prune` is given"
        )
    for name in ABOVE_ZERO:
        value = getattr(configuration, name)
        if value is not None and not 0 < value < math.inf:
            refuse(name, value, "above 0 and finite")
    floor = configuration.teacher_floor
    if floor is not None and not 0 <= floor <= 1:
        refuse("teacher_floor", floor, "from 0 to 1")
    threshold = configuration.no_answer_threshold
    if not math.isfinite(threshold):
        refuse("no_answer_threshold", threshold, "finite")
    if configuration.max_length < 8:
        refuse("max_length", configuration.max_length, "8 or more")


def _check_reading(configuration):
    """Refuses what the files of the task, or of the run, have not."""
    task = configuration.task
    for setting in dataclasses.fields(configuration):
        value = getattr(configuration, setting.name)
        if value != setting.default and (
            setting.name in choices.NOT_OF_FILES.get(task, ())
        ):
            refuse(setting.name, value, f"left out for {task}")
    sources = [
        configuration.train,
        configuration.validation,
        configuration.test,
        configuration.unlabelled,
    ]
    given = [source.lower() for source in sources if source is not None]
    if configuration.delimiter is None or not given:
        return
    if not any(
        source.removesuffix(".gz").endswith(tuple(choices.DELIMITERS))
        for source in given
    ):
        which = "left out where no file is a .csv or .tsv"
        refuse("delimiter", configuration.delimiter, which)


def _check_augmentation(configuration):
    for name, method in (
        ("augment_tagger", "tang"),
        ("augment_masked_lm", "tinybert"),
        ("augment_word_vectors", "tinybert"),
    ):
        value = getattr(configuration, name)
        if value is not None and configuration.augment != method:
            refuse(name, value, f"left out unless `augment` is {method}")
    if (
        configuration.augment == "tinybert"
        and configuration.augment_masked_lm is None
    ):
        refuse(
            "augment_masked_lm",
            None,
            "the folder of a BERT-like checkpoint with a masked-LM head, "
            "such as google-bert/bert-base-uncased, where `augment` is "
            "tinybert",
        )


def _check_quantization(configuration):
    """Refuses rounding for a file that is not written."""
    quantization = configuration.quantization_aware
    if quantization is not None and quantization not in configuration.export:
        which = "one of those that `export` names, or left out"
        refuse("quantization_aware", quantization, which)


def _check_layers(configuration):
    """Refuses losses between layers that have no weight, steps or tokens."""
    weight = configuration.layer_weight
    weights = weight if isinstance(weight, list) else [weight]
    if not all(0 <= one < math.inf for one in weights):
        refuse("layer_weight", weight, "0 or more and finite")
    losses = configuration.layer_losses or []
    if configuration.layer_losses is not None and (
        not losses or len(set(losses)) < len(losses)
    ):
        refuse("layer_losses", losses, "one or more, all different")
    if isinstance(weight, list) and len(weight) != len(losses):
        many = f"one number, or {len(losses)}: one for each of {losses}"
        refuse("layer_weight", weight, many)
    steps = configuration.layer_steps
    if not 0 <= steps < math.inf:
        refuse("layer_steps", steps, "0 or more and finite")
    if configuration.layer_losses is None and steps:
        refuse("layer_steps", steps, "0 where `layer_losses` is not given")
    if configuration.layer_losses is not None and (
        configuration.tokens != "teacher"
    ):
        refuse(
            "tokens",
            configuration.tokens,
            "teacher where `layer_losses` is given: layers are compared "
            "token by token",
        )


def _check_steps(configuration):
    each = configuration.steps_per_execution
    for name in ("steps", "evaluate_every", "layer_steps"):
        if getattr(configuration, name) % each:
            many = f"a multiple of {each} steps a call"
            refuse(name, getattr(configuration, name), many)


def _check_lists(configuration):
    for name in ("seeds", "arms"):
        values = getattr(configuration, name)
        if not values or len(set(values)) < len(values):
            refuse(name, values, "one or more, all different")
    if not 0 <= min(configuration.seeds) <= max(configuration.seeds) < 2**32:
        refuse("seeds", configuration.seeds, "0 or more, and below 2**32")


def _check_tokens(configuration):
    """Refuses what tasks of tokens have not, and what only they have."""
    task, labels = configuration.task, configuration.labels
    if task in choices.WITHOUT_LABELS and labels is not None:
        refuse("labels", labels, f"left out: {task} has no names")
    loss = configuration.loss
    if task not in choices.TASKS_OF_LOSSES.get(loss, [task]):
        refuse("loss", loss, f"another one for {task}: of no class")
    of_rows = loss in choices.LOSSES_OF_ROWS and not configuration.chain
    if not of_rows or task not in choices.TASKS_OF_LOSSES["soft_cross_entropy"]:
        where = f"left out for {task} with the loss {loss}"
        where += " and a chain of tags" if configuration.chain else ""
        if configuration.temperature_by is not None:
            refuse("temperature_by", configuration.temperature_by, where)
        if configuration.probability_shift:
            refuse("probability_shift", True, where)
    per_token = task in choices.TASKS_OF_TOKENS
    stride, length = configuration.stride, configuration.max_length
    if stride is not None and not (per_token and 0 <= stride < length):
        which = f"0 or more, below {length}, and given for tasks of tokens"
        refuse("stride", stride, which)
    if configuration.chain and task != "token_tagging":
        refuse("chain", True, "left out but for token_tagging")
    if configuration.chain and loss != "soft_targets":
        refuse("loss", loss, "soft_targets where `chain` is on")
    if not per_token:
        return
    for name, allowed in (
        ("student", [one for one in choices.STUDENTS if one != "bag"]),
        ("augment", ["none"]),
        ("tokens", ["teacher"])
        if task == "question_answering"
        else (
            "tokens",
            [t for t in choices.TOKENS if t not in ("jieba", "mediapipe")],
        ),
    ):
        if getattr(configuration, name) not in allowed:
            which = f"one of {allowed} for {task}"
            refuse(name, getattr(configuration, name), which)


def _check_teachers(configuration):
    """Refuses what can't be meant of several teachers."""
    teachers = configuration.teachers
    weights = configuration.teacher_weights
    if configuration.teacher == [] or len(set(teachers)) < len(teachers):
        refuse("teacher", teachers, "one or more, all different")
    if len(teachers) > 1 and configuration.fine_tune_teacher:
        refuse(
            "fine_tune_teacher", True,
            "left out where there are several teachers: fine-tune each in a "
            "run of its own, and give the folders RUN/teacher",
        )  # fmt: skip
    if weights is None or weights == "validation" and len(teachers) > 1:
        return
    if len(teachers) < 2:
        refuse("teacher_weights", weights, "left out without several teachers")
    if (
        isinstance(weights, str)
        or len(weights) != len(teachers)
        or min(weights) < 0
        or not 0 < sum(weights) < math.inf
    ):
        which = f"'validation', or {len(teachers)} numbers, none below 0"
        refuse("teacher_weights", weights, which)


def _check_teacher_layers(configuration):
    """Refuses what a student of its teacher's layers can't be."""
    layers = configuration.teacher_layers
    if layers is None:
        if configuration.width is None:
            configuration.width = 64
        return
    if not layers or layers != sorted(set(layers)) or layers[0] < 0:
        refuse("teacher_layers", layers, "from 0, each above the one before")
    for name, needed in (
        ("student", ["bert"]),
        ("tokens", ["teacher"]),
        ("embeddings", ["random"]),  # The default: they are the teacher's.
        ("layers", [1, len(layers)]),
    ):
        value = getattr(configuration, name)
        if value not in needed:
            where = "where `teacher_layers` are given"
            refuse(name, value, f"{needed[-1]} or left out {where}")
    configuration.layers = len(layers)


def _check_heads(configuration):
    """Refuses heads that do not divide the width, where both are known."""
    heads, width = configuration.heads, configuration.width
    if heads is None and configuration.teacher_layers is None:
        heads = choices.HEADS
    if configuration.student not in choices.STUDENTS_WITH_HEADS or None in (
        heads,
        width,
    ):
        return
    if width % heads:
        refuse("heads", heads, f"a divisor of `width`, which is {width}")


def _check_convolution(configuration):
    """Refuses a convolution that the student has not, or of one token."""
    size, student = configuration.convolution, configuration.student
    if size is None:
        return
    if student not in choices.STUDENTS_WITH_CONVOLUTION:
        refuse("convolution", size, f"left out for the student {student}")
    if size < 2:
        refuse("convolution", size, "2 or more")


def _check_framework(configuration):
    """Refuses what a teacher that PyTorch runs can't be asked for."""
    if configuration.teacher_framework == "keras":
        return
    where = "where `teacher_framework` is torch: its answers alone are read"
    for name, needed in (
        ("fine_tune_teacher", (None, False)),
        ("teacher_layers", (None,)),
        ("layer_losses", (None,)),
        ("teacher_runtime", ("keras",)),
    ):
        value = getattr(configuration, name)
        if value not in needed:
            refuse(name, value, f"left out {where}")
    if configuration.embeddings == "teacher":
        refuse("embeddings", "teacher", f"another one {where}")
    if len(configuration.teachers) > 1:
        refuse("teacher", configuration.teachers, f"a single one {where}")

"""What a study varies: its cells, each a run with other settings."""

import math
from dataclasses import dataclass
from pathlib import Path

from keras_kd.configuration import LAYER_LOSSES
from keras_kd.configuration import LOSSES
from keras_kd.configuration import LOSSES_OF_ROWS
from keras_kd.configuration import STUDENTS
from keras_kd.configuration import TASKS
from keras_kd.configuration import ConfigurationError

KINDS = ("methods", "teacher", "size", "temperature")
METHODS = (
    "soft_targets", "logits_mse", "hidden_state_mse", "relational_distance",
    "contrastive",
)  # fmt: skip
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
# Shares of the epochs in which the teacher is fine-tuned.
QUALITIES = (0.125, 0.25, 0.5, 1.0)
LAYERS = (1, 2)
WIDTHS = (32, 64, 128)
OF_TEACHER = "teacher:"


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Args:
        name: The name of its folder.
        varied: Dictionary: what is shown of it in the table.
        changes: Dictionary: the settings that are its own.
    """

    name: str
    varied: dict
    changes: dict


def make_cells(kind, configuration, values=None):
    """The cells of a study.

    Args:
        kind: One of `KINDS`.
        configuration: `Configuration` that the cells change.
        values: List of strings: temperatures; methods, such as
            `soft_targets+hidden_state_mse`; sizes, such as `bigru:2:128`, or
            `teacher:0,2,5` for a student of these layers of the teacher;
            epochs of fine-tuning. `None` takes the usual ones. Where several
            teachers are configured, they are the values of `teacher`.

    Returns:
        List of `Cell`.

    Raises:
        ConfigurationError: Values of another form, or twice the same, or a
            study that makes no sense with the configuration.

    Example:

    >>> from keras_kd.configuration import Configuration
    >>> cells = make_cells("temperature", Configuration(), ["1", "4"])
    >>> [cell.name for cell in cells]
    ['temperature-1', 'temperature-4', 'temperature-4-unscaled']
    """
    make = {
        "methods": _methods,
        "teacher": _teachers,
        "size": _sizes,
        "temperature": _temperatures,
    }[kind]
    cells = list(make(configuration, values))
    names = [cell.name for cell in cells]
    if len(set(names)) < len(names) or not names:
        _refuse("one or more, all different", values)
    return cells


def shared_arms(kind, configuration):
    """The arms that all cells have in common, to be trained once."""
    if kind == "size":
        return ["teacher"]
    if kind != "teacher":
        return ["teacher", "alone"]
    of_teacher = configuration.teacher_layers is not None
    # Other teachers may have other tokens, which the student reads.
    return [] if len(configuration.teachers) > 1 or of_teacher else ["alone"]


def _methods(configuration, values):
    if values is None:
        between = configuration.tokens == "teacher"
        values = [m for m in METHODS if between or m in LOSSES]
        if configuration.task == "regression":
            values.remove("logits_mse")  # There it is what soft targets are.
    for value in values:
        names = value.split("+")
        logits = [name for name in names if name in LOSSES]
        between = [name for name in names if name in LAYER_LOSSES]
        if len(logits) > 1 or len(logits) + len(between) < len(names):
            allowed = (
                f"at most one of {list(LOSSES)}, and any of "
                f"{list(LAYER_LOSSES)}, with + between them"
            )
            _refuse(allowed, value)
        changes = {"loss": logits[0] if logits else "soft_targets"}
        if changes["loss"] not in LOSSES_OF_ROWS:
            changes |= {"temperature_by": None, "probability_shift": False}
        changes["layer_losses"] = between or None
        changes["layer_steps"] = 0
        if between and configuration.layer_steps:
            # Equal budgets: what comes before is part of the steps.
            changes["layer_steps"] = configuration.layer_steps
            changes["steps"] = configuration.steps - configuration.layer_steps
        yield Cell(value.replace("+", "-and-"), {"method": value}, changes)


def _teachers(configuration, values):
    teachers = configuration.teachers
    if len(teachers) > 1:
        if values is not None:
            _refuse("left out where several teachers are given", values)
        for number, name in enumerate(teachers, 1):
            yield Cell(
                f"teacher-{number}-{Path(name).name}",
                {"folder": name},
                {"teacher": name, "teacher_weights": None},
            )
        return
    epochs = [configuration.teacher_epochs * share for share in QUALITIES]
    for number in epochs if values is None else _numbers(values):
        yield Cell(
            f"epochs-{number:g}",
            {"epochs": number},
            {"teacher_epochs": number, "fine_tune_teacher": True},
        )


def _sizes(configuration, values):
    if configuration.teacher_layers is not None:
        raise ConfigurationError(
            "A study of sizes builds students of other layers. Received: "
            f"`teacher_layers` {configuration.teacher_layers}. Leave it out."
        )
    usual = [configuration.student, configuration.layers, configuration.width]
    if values is None:
        values = [f"{usual[0]}:{n}:{width}" for n in LAYERS for width in WIDTHS]
    for value in values:
        if value.startswith(OF_TEACHER):
            yield _teacher_layers(value)
            continue
        student, *numbers = value.split(":")
        right = all(number.isdecimal() for number in numbers)
        if student not in STUDENTS or len(numbers) > 2 or not right:
            allowed = "KIND, KIND:LAYERS, KIND:LAYERS:WIDTH or teacher:0,2,5"
            _refuse(allowed, value)
        layers, width = [*map(int, numbers), *usual[1 + len(numbers) :]]
        settings = {"student": student, "layers": layers, "width": width}
        yield Cell(f"{student}-{layers}-{width}", settings, settings)


def _teacher_layers(value):
    """A student of some layers of its teacher, as wide as it."""
    layers = value.removeprefix(OF_TEACHER).split(",")
    if not all(layer.isdecimal() for layer in layers):
        _refuse("teacher: and numbers of layers, from 0", value)
    name = f"teacher-{'-'.join(layers)}"
    changes = {
        "student": "bert",
        "layers": len(layers),
        "width": None,
        "teacher_layers": [int(layer) for layer in layers],
    }
    varied = {"student": name, "layers": len(layers), "width": None}
    return Cell(name, varied, changes)


def _temperatures(configuration, values):
    for name, value in (
        ("loss", ("soft_targets",)),
        ("task", [task for task in TASKS if task != "regression"]),
    ):
        if getattr(configuration, name) not in value:
            raise ConfigurationError(
                "Only soft targets have a temperature. Received: "
                f"`{name}` {getattr(configuration, name)!r}. Expected: {value}."
            )
    for number in TEMPERATURES if values is None else _numbers(values):
        for squared in (True, False):
            if number == 1 and not squared:
                continue  # The square of 1 is no factor.
            yield Cell(
                f"temperature-{number:g}" + ("" if squared else "-unscaled"),
                {"temperature": number, "T^2": "with" if squared else "no"},
                {
                    "temperature": number,
                    "scale_by_temperature_squared": squared,
                },
            )


def _numbers(values):
    for value in values:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            _refuse("numbers above 0", value)
        yield number


def _refuse(allowed, received):
    raise ConfigurationError(
        f"The values of the study must be {allowed}. Received: {received!r}."
    )

"""Which settings can be searched, and between what values."""

import dataclasses
from dataclasses import dataclass

from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration import setting_type

# What can be searched, and where, if a range is not given.
RANGES = {
    "temperature": "1:8:log",
    "alpha": "0:1",
    "layer_weight": "0.1:100:log",
    "loss": "soft_targets,logits_mse",
    "learning_rate": "1e-4:1e-2:log",
    "batch_size": "16,32,64",
    "dropout": "0:0.5",
    "student": "bigru,bilstm,attention,transformer",
    "layers": "1,2,3",
    "width": "32,64,128,256",
    "embedding_dim": "64,128,256",
}


@dataclass(frozen=True)
class Range:
    """The values that one setting may have in a search.

    Args:
        name: The setting, or `layer_weight.LOSS` for the weight of one of
            several losses between layers.
        ends: All values, or the lowest and the highest.
        between: Whether what lies between the ends counts.
        log: Whether ratios rather than differences are spread evenly.
    """

    name: str
    ends: tuple
    between: bool = False
    log: bool = False

    def add_to(self, space):
        """Adds the range to KerasTuner's `HyperParameters`."""
        if not self.between:
            space.Choice(self.name, list(self.ends))
            return
        add = space.Int if isinstance(self.ends[0], int) else space.Float
        add(self.name, *self.ends, sampling="log" if self.log else "linear")


def read_ranges(texts, configuration):
    """The ranges that texts such as `alpha` and `layers=1,2` mean.

    Args:
        texts: List of `NAME`, `NAME=LOW:HIGH`, `NAME=LOW:HIGH:log` or
            `NAME=A,B,C`.
        configuration: `Configuration` that they change.

    Returns:
        List of `Range`. The weights of several losses between layers have one
        each.

    Raises:
        ConfigurationError: Another setting, no range, or values that a
            configuration refuses.

    Example:

    >>> read_ranges(["temperature=1:4"], Configuration())
    [Range(name='temperature', ends=(1.0, 4.0), between=True, log=False)]
    """
    ranges = []
    for text in texts:
        name, _, values = text.partition("=")
        if name not in RANGES:
            raise ConfigurationError(
                f"`tune` must be some of {list(RANGES)}. Received: {name!r}."
            )
        found = _read(name, values or RANGES[name])
        losses = configuration.layer_losses or []
        if name == "layer_weight" and len(losses) > 1:
            ranges += [
                dataclasses.replace(found, name=f"{name}.{loss}")
                for loss in losses
            ]
        elif name == "layer_weight" and not losses:
            raise ConfigurationError(
                "`tune` has layer_weight, and there are no `layer_losses`. "
                "Give some, or leave it out."
            )
        else:
            ranges.append(found)
    names = [one.name for one in ranges]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(
            f"`tune` must be one or more, all different. Received: {texts}."
        )
    first = {one.name: one.ends[0] for one in ranges}
    for one in ranges:
        for value in one.ends:
            apply_values(configuration, {**first, one.name: value})
    return ranges


def apply_values(configuration, values):
    """A configuration with the values of some ranges, by name."""
    changes = {name: v for name, v in values.items() if "." not in name}
    weights = {
        name.partition(".")[2]: v for name, v in values.items() if "." in name
    }
    if weights:
        changes["layer_weight"] = [
            weights[loss] for loss in configuration.layer_losses
        ]
    return dataclasses.replace(configuration, **changes)


def _read(name, text):
    (setting,) = [
        field
        for field in dataclasses.fields(Configuration)
        if field.name == name
    ]
    kind, _ = setting_type(setting)
    numbers, log = text.split(":"), False
    between = len(numbers) > 1
    if between and numbers[-1] == "log":
        log = bool(numbers.pop())
    parts = numbers if between else text.split(",")
    try:
        ends = tuple(kind(part) for part in parts)
        if between:
            low, high = ends
            right = kind is not str and low < high and (low > 0 or not log)
        else:
            right = len(set(ends)) == len(ends)
    except ValueError:
        right = False
    if not right:
        raise ConfigurationError(
            f"A range of `{name}` must be LOW:HIGH or LOW:HIGH:log, of numbers "
            f"(above 0 with log), or values as A,B,C, as in {RANGES[name]}. "
            f"Received: {text!r}."
        )
    return Range(name, ends, between, log)

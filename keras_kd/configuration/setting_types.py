"""The types of settings, as a flag and as a JSON file have them."""

import numbers
import os
import typing

from keras_kd.configuration.errors import refuse


def setting_type(setting):
    """`(type of one value, whether it is a list)` of a dataclass field."""
    kind = setting.type
    if typing.get_origin(kind) is typing.Union:
        # The first is what a flag makes of a string.
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is list:
        return typing.get_args(kind)[0], True
    return kind, False


def list_type(setting):
    """Type of a value of the list that a field may hold instead of one value.

    `None` where it may not.
    """
    for kind in typing.get_args(setting.type):
        if typing.get_origin(kind) is list and not setting_type(setting)[1]:
            return typing.get_args(kind)[0]
    return None


def check_type(configuration, setting):
    """Refuses a value of another type, as a JSON file may have it."""
    value = getattr(configuration, setting.name)
    if value is None and setting.default is None:
        return
    kind, several = setting_type(setting)
    if list_type(setting) is not None and isinstance(value, list):
        if len(value) == 1 and isinstance(value[0], kind):
            (value,) = value
            setattr(configuration, setting.name, value)
        else:
            kind, several = list_type(setting), True
    allowed = {int: numbers.Integral, float: numbers.Real}.get(kind, kind)
    if int in typing.get_args(setting.type):  # A column by name or by number.
        allowed = (kind, numbers.Integral)
    if kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
        setattr(configuration, setting.name, value)
    values = value if several and isinstance(value, list) else [value]
    if several is not isinstance(value, list) or not all(
        isinstance(one, allowed) and (kind is bool or not isinstance(one, bool))
        for one in values
    ):
        name = f"a list of {kind.__name__}" if several else kind.__name__
        refuse(setting.name, value, name)
    # A number of NumPy can't be written to a JSON file.
    plain = [one.item() if hasattr(one, "item") else one for one in values]
    setattr(configuration, setting.name, plain if several else plain[0])

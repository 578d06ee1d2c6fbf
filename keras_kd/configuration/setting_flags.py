"""The settings of a run as flags: added, read, and named in messages."""

import argparse
import dataclasses
import re
import typing

from keras_kd.atomic_files import read_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration import list_type
from keras_kd.configuration import setting_type

# A group of flags reaches from its first setting to that of the next one.
GROUPS = {
    "data": "train",
    "augmentation": "augment",
    "teacher": "teacher",
    "student": "student",
    "distillation": "loss",
    "machine": "precision",
    "results": "export",
}
DESCRIPTIONS = {
    "data": "A COLUMN is a name or, in a table without a header, a number "
    "from 0.",
}
# What a flag takes, where its type does not say it.
METAVARS = {
    "train": "FILE",
    "validation": "FILE",
    "test": "FILE",
    "unlabelled": "FILE",
    "label_separator": "CHARACTER",
    "delimiter": "CHARACTER",
    "cache": "DIR",
    "augment_masked_lm": "DIR",
    "augment_word_vectors": "FILE",
    "teacher": "DIR",
    "teacher_weights": "WEIGHT",
    "teacher_epochs": "N",
    "teacher_floor": "SCORE",
    "temperature": "NUMBER",
    "alpha": "WEIGHT",
    "layer_map": "MAP",
    "layer_weight": "WEIGHT",
    "start_from": "PATH",
}
METAVARS_OF_TYPES = {int: "N", float: "RATE", str: "NAME"}
# What a help text says of a default that is not the one here.
OTHER_DEFAULT = re.compile(r"(?:;| \(|,)\s*(?:by )?default:? [^()]*\)?$")


def add_settings(parser, aliases=None, **defaults):
    """Adds a flag for each setting of `Configuration`, in groups.

    Args:
        parser: The parser of a command or a recipe.
        aliases: Dictionary from names of settings to a second flag of each.
        **defaults: Other defaults than the configuration's own.
    """
    titles = {first: title for title, first in GROUPS.items()}
    group = parser
    for setting in dataclasses.fields(Configuration):
        if setting.name in titles:
            title = titles[setting.name]
            group = parser.add_argument_group(title, DESCRIPTIONS.get(title))
        default = defaults.get(setting.name, _default(setting))
        alias = (aliases or {}).get(setting.name)
        _add_setting(group, setting, default, alias)
    parser.set_defaults(default_settings=defaults, flags=_setting_names())


def add_some_settings(parser, title, names, text):
    """Adds a group of flags for some settings, which a run has already.

    Args:
        parser: The parser of a command on a run.
        title: The group's title.
        names: Names of the settings.
        text: What is said of the group.
    """
    group = parser.add_argument_group(title, text)
    for setting in dataclasses.fields(Configuration):
        if setting.name in names:
            _add_setting(group, setting, None)
    parser.set_defaults(flags=set(names))


def resolve_settings(options):
    """The `Configuration` of parsed flags, above a file, above defaults.

    Args:
        options: Parsed options. `config` is a file of settings, or `None`.
    """
    given = {}
    file = getattr(options, "config", None)
    if file is not None:
        given = read_json(file)
        if not isinstance(given, dict):
            raise ConfigurationError(
                f"'{file}' holds a {type(given).__name__}. Expected a JSON "
                'object of settings, such as {"steps": 500}.'
            )
    given.update(typed_settings(options))
    values = {**options.default_settings, **given}
    if values.get("teacher_layers") is not None:
        # A recipe's sizes are not those of a copy of its teacher; those of one
        # that is narrower go together.
        sizes = {"layers", "width"}
        if "width" not in given:
            sizes |= {"heads", "intermediate"}
        for name in sizes - set(given):
            values.pop(name, None)
    return Configuration.from_dict(values)


def typed_settings(options):
    """The settings that stand on the command line itself, by name."""
    return {
        name: value
        for name, value in vars(options).items()
        if name in _setting_names()
    }


def with_flags(message, options):
    """A message that names flags where it named settings of Python.

    Args:
        message: The text, in which a setting is `` `name` `` or `name=value`.
        options: Parsed options. What a `config` file may have said, and no
            flag has, keeps the name that it has there.
    """
    names = getattr(options, "flags", set())
    if getattr(options, "config", None) is not None:
        names = names & set(typed_settings(options))

    def flag(match):
        name = match["quoted"] or match["given"]
        if name not in names:
            return match[0]
        return flag_of(name) + ("=" if match["given"] else "")

    return re.sub(r"`(?P<quoted>\w+)`|\b(?P<given>\w+)=", flag, message)


def flag_of(name):
    """The flag of a setting."""
    return "--" + name.replace("_", "-")


def column(text):
    """A column as it is typed: digits are its number, all else a name."""
    return int(text) if text.isascii() and text.isdigit() else text


def number(text):
    """A number as it is typed; a word stays what it is."""
    try:
        return float(text)
    except ValueError:
        return text


def _add_setting(group, setting, default, alias=None):
    kind, several = setting_type(setting)
    choices = setting.metadata["choices"]
    help = setting.metadata["help"]
    if default is not None:
        help = f"{OTHER_DEFAULT.sub('', help)} (default: {_shown(default)})"
    options = {
        # Only what the user typed: a --config file stands below it.
        "default": argparse.SUPPRESS,
        "help": help.replace("%", "%%"),
    }
    if kind is bool:
        options["action"] = argparse.BooleanOptionalAction
    else:
        options["type"] = kind
        options["choices"] = choices
        options["metavar"] = METAVARS.get(
            setting.name, METAVARS_OF_TYPES.get(kind, "VALUE")
        )
        # They are shown once: here, or by the text.
        if choices and not all(choice in help for choice in choices):
            options["metavar"] = None
    if {int, str} <= set(typing.get_args(setting.type)):
        options["type"], options["metavar"] = column, "COLUMN"
    if several:
        options["nargs"] = "*"
    if list_type(setting) is not None:
        options["nargs"] = "+"
    if list_type(setting) is float:
        options["type"] = number
    flags = [flag_of(setting.name), *([alias] if alias else [])]
    group.add_argument(*flags, dest=setting.name, **options)


def _shown(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value if isinstance(value, list) else [value]))


def _setting_names():
    return {setting.name for setting in dataclasses.fields(Configuration)}


def _default(setting):
    if setting.default is not dataclasses.MISSING:
        return setting.default
    return setting.default_factory()

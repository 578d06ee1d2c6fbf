"""The command line, `keras-kd`: distill, compare, tune, study, and the rest.

Every setting of `keras_kd.configuration.Configuration` is a flag.
"""

import argparse
import difflib
import re

from keras_kd.commands.benchmark import add_benchmark
from keras_kd.commands.export import add_export
from keras_kd.commands.guard import guarded
from keras_kd.commands.label import add_label
from keras_kd.commands.neighbours import add_neighbours
from keras_kd.commands.student import add_student
from keras_kd.commands.training import add_training
from keras_kd.version import __version__


def main(arguments=None):
    """Runs a command; returns the exit status."""
    parser = make_parser()
    options, rest = parser.parse_known_args(arguments)
    # "-5 degrees" is a text.
    flags = [text for text in rest if re.match(r"--?[A-Za-z][\w-]*(=|$)", text)]
    if rest and hasattr(options, "texts") and not flags:
        # argparse takes no texts after flags that follow the run.
        options.texts, rest = options.texts + rest, []
    if rest:
        hint = _near_flag(options.parser, flags[0]) if flags else ""
        text = " ".join(rest)
        options.parser.error(f"unrecognized arguments: {text}{hint}")
    return guarded(options.action, options)


def _near_flag(parser, flag):
    known = re.findall(r"--[\w-]+", parser.format_help())
    close = difflib.get_close_matches(flag.split("=")[0], known, 1)
    return f". Did you mean {close[0]}?" if close else ""


def make_parser():
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="keras-kd",
        description="Small text models from BERT-like teachers, for a phone.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")
    for add in (
        add_training, add_label, add_student, add_export, add_benchmark,
        add_neighbours,
    ):  # fmt: skip
        add(commands)
    return parser

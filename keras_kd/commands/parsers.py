"""Flags that several commands share."""

import argparse


def add_command(commands, name, text, action, description=None):
    """Adds a command, and gives its parser.

    Args:
        commands: What `add_subparsers` gave.
        name: What is typed.
        text: What it does, in a line.
        action: Function of the parsed options; gives the exit status, or
            nothing for 0.
        description: What `--help` says; by default the text.
    """
    command = commands.add_parser(
        name,
        help=text,
        description=description or text.capitalize() + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(action=action, parser=command)
    return command


def add_command_on_run(commands, name, text, action):
    """As `add_command`, of a command on the folder of a finished run."""
    command = add_command(commands, name, text, action)
    command.add_argument("run", help="folder of the run", metavar="RUN")
    add_traceback(command)
    return command


def add_run(parser, folder=None):
    """Adds the flags that every training has beside its settings.

    Args:
        parser: The parser of a command or a recipe.
        folder: In words, the folder that a run has by itself.
    """
    parser.add_argument(
        "--run",
        metavar="DIR",
        help="folder of the run" + (f" (default: {folder})" if folder else ""),
    )
    parser.add_argument(
        "--config", help="JSON file of settings; flags win", metavar="FILE"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the resolved settings, and stop",
    )
    add_traceback(parser)


def count(text):
    """The type of a flag that takes a whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more. Received: {text}")
    return number


def add_traceback(parser):
    """Adds the flag that `guarded` reads."""
    parser.add_argument(
        "--traceback", action="store_true", help="show where an error arose"
    )

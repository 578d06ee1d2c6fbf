"""The command line: `keras-kd distill | compare | evaluate | predict | export`.

Every setting of `keras_kd.configuration.Configuration` is a flag.
"""

import argparse
import dataclasses
import errno
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

from keras_kd.atomic_files import read_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration import setting_type
from keras_kd.version import __version__

FORMATS = ("saved_model", "float32", "float16", "dynamic")

DISTILL = """\
Distil a BERT-like teacher into a small student, train the same student
without the teacher beside it, and write a verified SavedModel and .tflite.

example:
  keras-kd distill --train reviews.csv --unlabelled more_reviews.txt \\
      --teacher sentence-transformers/all-MiniLM-L6-v2 --run runs/reviews

A run that was stopped goes on when the same command is given again.
"""


def main(arguments=None):
    """Runs a command; returns the exit status."""
    options = make_parser().parse_args(arguments)
    return guarded(options.action, options)


def guarded(action, options):
    """Runs an action; an error is one line on stderr and a status of 1.

    Args:
        action: Function of the parsed options.
        options: Parsed options. `--traceback` shows where an error arose.

    Returns:
        The exit status: 0, 1 after an error, 130 after Ctrl-C.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return action(options) or 0
    except KeyboardInterrupt:
        print(
            "\nStopped. Finished parts are kept: the same command goes on.",
            file=sys.stderr,
        )
        return 130
    except (
        ValueError, OSError, KeyError, RuntimeError, ImportError
    ) as error:  # fmt: skip
        if options.traceback:
            raise
        print(f"keras-kd: {explain(error)}", file=sys.stderr)
        return 1


def explain(error):
    """An error as a sentence that says what to do."""
    if isinstance(error, KeyError):
        return error.args[0]  # Its string is in quotes.
    # HDF5 leaves the number out, and has the system's words.
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(
        errno.ENOSPC
    ) in str(error):
        return (
            f"The disk is full: {error}. Nothing half-written is left, and "
            "finished parts are kept. Free some space, and give the same "
            "command again."
        )
    return error


def load_keras():
    """Imports Keras and its backend, without what they print at that.

    TensorFlow reports missing GPU drivers before any log level counts. What it
    printed is shown after all where the import fails.
    """
    with tempfile.TemporaryFile() as printed:
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            import keras  # noqa: F401

            failed = False
        except BaseException:
            failed = True
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if failed:
                printed.seek(0)
                sys.stderr.buffer.write(printed.read())


def make_parser():
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="keras-kd",
        description="Small text models from BERT-like teachers, for a phone.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="command")

    for name, text, seeds in (
        ("distill", "distil a student, and compare it", [0]),
        ("compare", "the same with three seeds, for a verdict", [0, 1, 2]),
    ):
        command = _add(commands, name, text, _distill, description=DISTILL)
        add_settings(command, seeds=seeds)
        command.add_argument("--run", help="folder of the run", metavar="DIR")
        command.add_argument(
            "--config", help="JSON file of settings; flags win", metavar="FILE"
        )
        command.add_argument(
            "--print-config",
            action="store_true",
            help="print the resolved settings, and stop",
        )

    command = _add(
        commands, "evaluate", "score a run's student on a file", _evaluate
    )
    command.add_argument("run", help="folder of the run", metavar="RUN")
    add_traceback(command)
    command.add_argument("--data", required=True, help="labelled rows")
    command.add_argument("--split", help="split, where --data is a tfds:NAME")
    command.add_argument(
        "--file", help="score this .tflite of the run instead of the student"
    )

    command = _add(commands, "predict", "the class of texts", _predict)
    command.add_argument("run", help="folder of the run", metavar="RUN")
    add_traceback(command)
    command.add_argument(
        "texts", nargs="*", help="texts; without any, a line each from stdin"
    )

    command = _add(
        commands, "export", "write and verify a run's student again", _export
    )
    command.add_argument("run", help="folder of the run", metavar="RUN")
    add_traceback(command)
    command.add_argument(
        "--format",
        choices=("saved_model", "litert"),
        default="litert",
        help="default: litert",
    )
    command.add_argument(
        "--quantize",
        choices=FORMATS[1:],
        default="dynamic",
        help="of a litert file (default: dynamic)",
    )
    return parser


def add_settings(parser, **defaults):
    """Adds a flag for each setting of `Configuration`.

    Args:
        parser: The parser of a command or a recipe.
        **defaults: Other defaults than the configuration's own.
    """
    for setting in dataclasses.fields(Configuration):
        kind, several = setting_type(setting)
        flag = "--" + setting.name.replace("_", "-")
        default = defaults.get(setting.name, _default(setting))
        options = {
            # Only what the user typed: a --config file stands below it.
            "default": argparse.SUPPRESS,
            "help": setting.metadata["help"].replace("%", "%%")
            + ("" if default is None else f" (default: {_shown(default)})"),
            "choices": setting.metadata["choices"],
        }
        if kind is bool:
            options.pop("choices")
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = kind
            options["metavar"] = None if options["choices"] else "X"
        if several:
            options["nargs"] = "*"
        parser.add_argument(flag, dest=setting.name, **options)
    add_traceback(parser)
    parser.set_defaults(default_settings=defaults)


def add_traceback(parser):
    """Adds the flag that `guarded` reads."""
    parser.add_argument(
        "--traceback", action="store_true", help="show where an error arose"
    )


def resolve_settings(options, file=None):
    """The `Configuration` of parsed flags, above a file, above defaults."""
    values = dict(options.default_settings)
    if file is not None:
        stored = read_json(file)
        if not isinstance(stored, dict):
            raise ConfigurationError(
                f"'{file}' holds a {type(stored).__name__}. Expected a JSON "
                'object of settings, such as {"steps": 500}.'
            )
        values.update(stored)
    names = {setting.name for setting in dataclasses.fields(Configuration)}
    values.update(
        {name: v for name, v in vars(options).items() if name in names}
    )
    return Configuration.from_dict(values)


def _default(setting):
    if setting.default is not dataclasses.MISSING:
        return setting.default
    return setting.default_factory()


def _shown(value):
    return " ".join(map(str, value)) if isinstance(value, list) else value


def _add(commands, name, text, action, description=None):
    command = commands.add_parser(
        name,
        help=text,
        description=description or text.capitalize() + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(action=action)
    return command


def _distill(options):
    configuration = resolve_settings(options, options.config)
    if options.print_config:
        print(json.dumps(configuration.to_dict(), indent=2))
        return
    for name in ("train", "teacher"):
        if getattr(configuration, name) is None:
            raise ConfigurationError(
                f"--{name} is needed. See `keras-kd distill --help`."
            )
    if options.run is None:
        raise ConfigurationError("--run is needed: the folder of the run.")
    load_keras()
    from keras_kd.distillation import distill

    distill(configuration, options.run, command=shown_command())


def shown_command():
    """The command line of this process, as one would type it."""
    program = [Path(sys.argv[0]).name]
    # After `python -m recipes.imdb` the first argument is the file's name.
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith(("keras_kd.", "recipes.")):
        program = ["python", "-m", spec.name.removesuffix(".__main__")]
    return shlex.join([*program, *sys.argv[1:]])


def _evaluate(options):
    from keras_kd.data.sources import read_examples

    student = _open_student(options.run)
    settings = student.run.configuration
    examples = read_examples(
        options.data,
        text=settings.text,
        label=settings.label,
        delimiter=settings.delimiter,
        split=options.split,
    )
    with tempfile.TemporaryDirectory() as folder:
        scores = student.score(examples, Path(folder) / "rows", options.file)
    print(json.dumps(scores, indent=2, ensure_ascii=False))


def _predict(options):
    student = _open_student(options.run)
    texts = options.texts or (line.rstrip("\n") for line in sys.stdin)
    for text in texts:
        ((label, probability),) = student.predict([text])
        print(f"{label}\t{probability:.3f}\t{text}")


def _export(options):
    load_keras()
    from keras_kd.distillation import export_again

    name = options.quantize if options.format == "litert" else options.format
    for report in export_again(options.run, [name]):
        print(json.dumps(report, indent=2))


def _open_student(folder):
    load_keras()
    from keras_kd.deployment import TrainedStudent
    from keras_kd.run_folder import RunFolder

    return TrainedStudent(RunFolder.open(folder))

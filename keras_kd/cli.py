"""The command line, `keras-kd`: distill, compare, tune, study, and the rest.

Every setting of `keras_kd.configuration.Configuration` is a flag.
"""

import argparse
import contextlib
import dataclasses
import errno
import functools
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

from keras_kd.benchmark_flags import add_benchmark
from keras_kd.benchmark_flags import run_benchmark
from keras_kd.configuration import QUANTIZATIONS
from keras_kd.configuration import ConfigurationError
from keras_kd.data.errors import DataError
from keras_kd.export.standard_error import held_back
from keras_kd.labelling_command import add_label
from keras_kd.neighbours_flags import DESCRIPTION as NEIGHBOURS
from keras_kd.neighbours_flags import add_neighbours
from keras_kd.neighbours_flags import print_neighbours
from keras_kd.setting_flags import add_settings
from keras_kd.setting_flags import resolve_settings
from keras_kd.setting_flags import with_flags
from keras_kd.studies.cells import KINDS
from keras_kd.studies.study_flags import add_study
from keras_kd.tuning.search_flags import add_search
from keras_kd.tuning.search_flags import read_search
from keras_kd.version import __version__

# What a shell gives a command that SIGPIPE has ended.
BROKEN_PIPE = 141

DISTILL = """\
Distil a BERT-like teacher into a small student, train the same student
without the teacher beside it, and write a verified SavedModel and .tflite.

example:
  keras-kd distill --train reviews.csv --unlabelled more_reviews.txt \\
      --teacher sentence-transformers/all-MiniLM-L6-v2 --run runs/reviews

A run that was stopped goes on when the same command is given again.
"""

TUNE = """\
Search for the settings that distil best, on targets that the teacher gives
once, and train the best ones again with fresh seeds.

example:
  keras-kd tune --train reviews.csv --teacher runs/reviews/teacher \\
      --tune temperature alpha layers=1,2 --trials 30 --run runs/search

A search that was stopped goes on when the same command is given again.
"""
STUDY = """\
Train students that differ in one thing, each in equal steps, and put them
into one table and one plot.

example:
  keras-kd study temperature --train reviews.csv \\
      --teacher runs/reviews/teacher --run runs/temperature

A study that was stopped goes on when the same command is given again.
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
        The exit status: 0, 1 after an error, 130 after Ctrl-C, 141 where
        nobody reads the output any more.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow leaves it off on CPUs without instructions for int8, where a
    # step of a recurrent student then takes twice its time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        status = action(options) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print(
            "\nStopped. Finished parts are kept: the same command goes on.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # `| head` has seen enough. Python would say so once more at the end,
        # when it flushes what is left.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (
        ValueError, OSError, KeyError, RuntimeError, ImportError
    ) as error:  # fmt: skip
        if options.traceback:
            raise
        print(f"keras-kd: {explain(error, options)}", file=sys.stderr)
        return 1


def explain(error, options=None):
    """An error as a sentence that says what to do.

    Args:
        error: The exception.
        options: Parsed options: our own errors name their flags.
    """
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
    if type(error).__module__.startswith("keras_kd."):
        return with_flags(str(error), options)
    return error


def load_keras():
    """Imports Keras and its backend, without what they print at that.

    TensorFlow reports missing GPU drivers before any log level counts.
    """
    with held_back():
        import keras  # noqa: F401


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
        command.usage = (
            f"keras-kd {name} --train FILE --teacher DIR --run DIR [settings]"
        )
        add_run(command)
        add_settings(command, seeds=seeds)

    command = _add(
        commands, "tune", "search for good settings", _tune, description=TUNE
    )
    command.usage = (
        "keras-kd tune --train FILE --teacher DIR --run DIR [--tune NAME ...] "
        "[settings]"
    )
    add_run(command)
    add_search(command)
    add_settings(command, seeds=[0, 1, 2])

    command = _add(
        commands, "study", "vary one thing, in equal steps", _study,
        description=STUDY,
    )  # fmt: skip
    command.usage = (
        "keras-kd study {methods,teacher,size,temperature} --train FILE "
        "--teacher DIR --run DIR [settings]"
    )
    add_study(command)
    add_run(command)
    add_settings(command, seeds=[0, 1, 2])

    add_label(commands)

    command = _add(
        commands, "evaluate", "score a run's student on a file", _evaluate
    )
    command.add_argument("run", help="folder of the run", metavar="RUN")
    add_traceback(command)
    command.add_argument(
        "--data", required=True, help="labelled rows", metavar="FILE"
    )
    command.add_argument(
        "--split", help="split, where --data is a tfds:NAME", metavar="NAME"
    )
    command.add_argument(
        "--file",
        help="score this .tflite of the run instead of the student",
        metavar="FILE",
    )

    command = _add(
        commands, "predict", "the student's answers for texts", _predict
    )
    command.add_argument("run", help="folder of the run", metavar="RUN")
    add_traceback(command)
    command.add_argument(
        "texts",
        nargs="*",
        help="texts; without any, a line each from stdin. Of a run on pairs: "
        "two texts each, or on a line with a tab between; of question "
        "answering: a question and a text",
    )

    command = _add(
        commands, "export", "write and verify a run's student again", _export
    )
    command.add_argument("run", help="folder of the run", metavar="RUN")
    add_traceback(command)
    command.add_argument(
        "--format",
        choices=("saved_model", "litert", "mediapipe", "huggingface"),
        default="litert",
        help="huggingface: of a bert student (default: litert)",
    )
    command.add_argument(
        "--quantize",
        choices=QUANTIZATIONS,
        default="dynamic",
        help="of a .tflite file (default: dynamic)",
    )
    command.add_argument(
        "--length",
        metavar="N",
        help="tokens that a .tflite file takes, or dynamic for any number, "
        "not with mediapipe (default: --max-length of the run)",
    )

    text = "time a run's teacher, student and files side by side"
    add_benchmark(_add(commands, "benchmark", text, _benchmark))

    command = _add(
        commands, "inspect", "print what a .tflite says of itself", _inspect
    )
    command.add_argument("file", help="the file", metavar="FILE")
    add_traceback(command)

    command = _add(
        commands, "neighbours", "the words that models have beside a word",
        _neighbours, description=NEIGHBOURS,
    )  # fmt: skip
    add_neighbours(command)
    add_traceback(command)
    return parser


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


def add_traceback(parser):
    """Adds the flag that `guarded` reads."""
    parser.add_argument(
        "--traceback", action="store_true", help="show where an error arose"
    )


def _add(commands, name, text, action, description=None):
    command = commands.add_parser(
        name,
        help=text,
        description=description or text.capitalize() + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(action=action)
    return command


def resolve_run(options, folder=lambda settings: None):
    """The settings and the folder that parsed flags come to, or prints them.

    Args:
        options: Parsed options, with those of `add_run` and `add_settings`.
        folder: Function from the `Configuration` to the folder of the run,
            where there is no `--run`.

    Returns:
        `(Configuration, folder)`; `None` where the settings were printed.

    Raises:
        ConfigurationError: Something that is needed was not given.
    """
    settings = resolve_settings(options)
    if options.print_config:
        print(json.dumps(settings.to_dict(), indent=2, ensure_ascii=False))
        return None
    for name in ("train", "teacher"):
        if getattr(settings, name) is None:
            raise ConfigurationError(
                f"--{name} is needed. See `keras-kd distill --help`."
            )
    folder = options.run or folder(settings)
    if folder is None:
        raise ConfigurationError("--run is needed: the folder of the run.")
    return settings, folder


def run_distill(options, folder=lambda settings: None):
    """Distils as parsed flags say; takes and gives what `resolve_run` does."""
    resolved = resolve_run(options, folder)
    if resolved is not None:
        load_keras()
        from keras_kd.distillation import distill

        distill(*resolved, command=shown_command())
    return resolved


def run_tune(options, folder=lambda settings: None):
    """Searches as parsed flags say; takes and gives what `resolve_run` does."""
    search = read_search(options)
    resolved = resolve_run(options, folder)
    if resolved is not None:
        load_keras()
        from keras_kd.tuning.tune import tune

        tune(*resolved, search, command=shown_command())
    return resolved


def _distill(options):
    run_distill(options)


def _tune(options):
    run_tune(options)


def run_study(options, kind, *values):
    """Makes a study as parsed flags say.

    Args:
        options: Parsed options.
        kind: What is studied.
        *values: Its values; without any the usual ones.
    """
    if kind not in KINDS:
        raise ConfigurationError(
            f"--study must be one of {list(KINDS)}. Received: {kind}."
        )
    resolved = resolve_run(options)
    if resolved is not None:
        load_keras()
        from keras_kd.studies.study import study

        study(kind, *resolved, values or None, command=shown_command())


def _study(options):
    run_study(options, options.kind, *options.values or ())


def shown_command():
    """The command line of this process, as one would type it."""
    program = [Path(sys.argv[0]).name]
    # After `python -m recipes.imdb` the first argument is the file's name.
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith(("keras_kd.", "recipes.")):
        program = ["python", "-m", spec.name.removesuffix(".__main__")]
    return shlex.join([*program, *sys.argv[1:]])


def _evaluate(options):
    student = _open_student(options.run)
    settings = dataclasses.replace(student.run.configuration, test=options.data)
    if options.split is not None:
        settings.test_split = options.split
    from keras_kd.run_sources import read_part

    examples = read_part(settings, "test")
    with tempfile.TemporaryDirectory() as folder:
        scores = student.score(examples, Path(folder) / "rows", options.file)
    print(json.dumps(scores, indent=2, ensure_ascii=False))


def _predict(options):
    student = _open_student(options.run)
    reads_pairs = student.run.configuration.text_pair is not None
    if not reads_pairs and student.task.name != "question_answering":
        texts = options.texts or (line.rstrip("\n") for line in sys.stdin)
    else:
        texts = _pairs(options.texts)
    for text in texts:
        ((answer, probability),) = student.predict([text])
        asked = [text] if isinstance(text, str) else text
        columns = [student.task.show(answer), *asked]
        if probability is not None:
            columns.insert(1, f"{probability:.3f}")
        print(*columns, sep="\t")


def _pairs(texts):
    """The pairs of texts that were typed, or stand on standard input."""
    if not texts:
        for number, line in enumerate(sys.stdin, 1):
            pair = tuple(line.rstrip("\n").split("\t"))
            if len(pair) != 2:
                raise DataError(
                    f"Line {number} has {len(pair)} columns. Expected two "
                    "texts with a tab between: the run is on pairs."
                )
            yield pair
    if len(texts) % 2:
        raise DataError(
            f"The run is on pairs of texts. Received: {len(texts)}. Give two "
            "texts each."
        )
    yield from zip(texts[::2], texts[1::2])


def _export(options):
    load_keras()
    if options.format == "huggingface":
        from keras_kd.huggingface_run import export_huggingface

        print(json.dumps(export_huggingface(options.run), indent=2))
        return
    from keras_kd.distillation import export_again

    name = options.format
    if name != "saved_model":
        prefix = None if name == "litert" else name
        parts = [prefix, options.quantize, options.length]
        name = "/".join(filter(None, parts))
    say = functools.partial(print, file=sys.stderr)
    for report in export_again(options.run, [name], say):
        print(json.dumps(report, indent=2))


def _benchmark(options):
    load_keras()
    run_benchmark(options)


def _inspect(options):
    from keras_kd.export.inspection import inspect_file

    for name, value in inspect_file(options.file).items():
        print(f"{name + ':':<12} {value}")


def _neighbours(options):
    load_keras()
    print_neighbours(options)


def _open_student(folder):
    load_keras()
    from keras_kd.deployment import TrainedStudent
    from keras_kd.run_folder import RunFolder

    return TrainedStudent(RunFolder.open(folder))

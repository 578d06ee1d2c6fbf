"""The commands that train: distill, compare, tune and study."""

import json
import shlex
import sys
from pathlib import Path

from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_command
from keras_kd.commands.parsers import add_run
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration.setting_flags import add_settings
from keras_kd.configuration.setting_flags import resolve_settings
from keras_kd.studies.cells import KINDS
from keras_kd.studies.study_flags import add_study
from keras_kd.tuning.search_flags import add_search
from keras_kd.tuning.search_flags import read_search

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


def add_training(commands):
    """Adds the commands."""
    for name, text, seeds in (
        ("distill", "distil a student, and compare it", [0]),
        ("compare", "the same with three seeds, for a verdict", [0, 1, 2]),
    ):
        command = add_command(
            commands, name, text, _distill, description=DISTILL
        )
        command.usage = (
            f"keras-kd {name} --train FILE --teacher DIR --run DIR [settings]"
        )
        add_run(command)
        add_settings(command, seeds=seeds)

    command = add_command(
        commands, "tune", "search for good settings", run_tune, description=TUNE
    )
    command.usage = (
        "keras-kd tune --train FILE --teacher DIR --run DIR [--tune NAME ...] "
        "[settings]"
    )
    add_run(command)
    add_search(command)
    add_settings(command, seeds=[0, 1, 2])

    command = add_command(
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
        from keras_kd.runs.distillation import distill

        distill(*resolved, command=shown_command())
    return resolved


def _distill(options):
    run_distill(options)


def run_tune(options):
    """Searches as parsed flags say."""
    search = read_search(options)
    resolved = resolve_run(options)
    if resolved is not None:
        load_keras()
        from keras_kd.tuning.tune import tune

        tune(*resolved, search, command=shown_command())


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

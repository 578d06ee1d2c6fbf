"""What every recipe is made of: its data, its modes, its settings."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from keras_kd.commands.guard import guarded
from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_run
from keras_kd.commands.training import run_distill
from keras_kd.commands.training import run_study
from keras_kd.commands.training import run_tune
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration.setting_flags import add_settings
from keras_kd.configuration.setting_flags import resolve_settings
from keras_kd.configuration.setting_flags import typed_settings
from keras_kd.data.errors import DataError
from keras_kd.runs.judgement import kept_arm
from keras_kd.tuning.search_flags import add_search
from recipes.recipe_steps import make_teacher
from recipes.recipe_steps import prepare_alone
from recipes.recipe_steps import score_further
from recipes.recipe_steps import write_parts
from recipes.teacher import find_teacher

MODES = {
    "prepare": None,
    "teacher": ["teacher"],
    "student": ["alone"],
    "both": ["teacher", "alone", "distilled"],
}
# A Transformer that begins at random numbers learns at a higher rate than one
# that was pretrained.
FRESH_LEARNING_RATE = 5e-4


@dataclass
class Recipe:
    """A data set as a command: `python -m recipes.NAME`.

    What is typed stands above a `--config` file, and that above the recipe.
    Of two things that are typed, a setting's own flag stands above `--data`,
    `--mode` and `--with-unlabelled`, which are short for several settings.

    Args:
        name: The name of the recipe's module.
        description: Its docstring.
        files: Dictionary from `"train"`, `"validation"`, `"test"` and
            `"unlabelled"` to the name of a file in the folder `--data`, or to
            several of which the first that is there is read. Each may end in
            `.gz`. With `"unlabelled"` there is a flag `--with-unlabelled`,
            without which it is not read.
        optional_files: The same, for files that may be missing.
        columns: Settings of the columns in these files.
        tfds: Settings where there is no `--data`, with `tfds:NAME` sources.
        also_test: Dictionary from the names of further test sets, which the
            student is scored on at the end, to `(file, split)`. The file may
            be missing.
        fresh_teacher: Kind of the vocabulary of a teacher that is made on the
            spot where none is given; `None` takes the small English one.
        add_flags: Function that adds flags to the parser.
        choose_rows: Function of the parsed options and the settings that gives
            the examples of some parts, where they are not simply those of the
            sources: a dictionary of iterables of `Example`.
        defaults: Settings other than the configuration's own.
    """

    name: str
    description: str
    files: dict = field(default_factory=dict)
    optional_files: dict = field(default_factory=dict)
    columns: dict = field(default_factory=dict)
    tfds: dict = field(default_factory=dict)
    also_test: dict = field(default_factory=dict)
    fresh_teacher: str | None = None
    add_flags: Callable | None = None
    choose_rows: Callable | None = None
    defaults: dict = field(default_factory=dict)

    def main(self, arguments=None):
        """Runs the recipe's command line; returns the exit status."""
        return guarded(self.run, self.make_parser().parse_args(arguments))

    def make_parser(self):
        """The parser of the recipe's flags, and of all settings."""
        program = f"python -m recipes.{self.name}"
        parser = argparse.ArgumentParser(
            prog=program,
            usage=f"{program} [--data DIR] [--run DIR] [settings]",
            description=self.description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--data", metavar="DIR", help="folder of the files")
        parser.add_argument(
            "--mode",
            choices=list(MODES),
            help="only read and count the data, the teacher alone, the student "
            "without one, or all of it (default: both)",
        )
        if "unlabelled" in self.files:
            parser.add_argument(
                "--with-unlabelled",
                action="store_true",
                help="let the teacher label the unlabelled texts too",
            )
        if self.add_flags is not None:
            self.add_flags(parser)
        add_run(
            parser,
            folder="saved_models/, with a name of the data, the student and "
            "its layers",
        )
        add_search(parser, tune=None)
        parser.add_argument(
            "--study",
            nargs="+",
            metavar=("KIND", "VALUE"),
            help="study methods, teacher, size or temperature instead, as "
            "keras-kd study does, with its values behind it",
        )
        teacher = None if self.fresh_teacher else find_teacher()
        add_settings(parser, teacher=teacher, **self.defaults)
        return parser

    def run(self, options):
        """Runs the recipe as its parsed flags say."""
        vars(options).update(self.read_short_flags(options))
        settings = resolve_settings(options)
        fresh = self.fresh_teacher is not None and settings.teacher is None
        if fresh:
            options.default_settings["teacher_learning_rate"] = (
                FRESH_LEARNING_RATE
            )
            vars(options).setdefault("fine_tune_teacher", True)
        if options.print_config:
            run_distill(options)
            return
        if settings.train is None:
            raise ConfigurationError("--data or --train is needed.")
        if options.tune is not None and options.study is not None:
            raise ConfigurationError(
                "--tune and --study are two runs. Received: both. Give one, "
                "and the other in a run of its own."
            )
        folder = Path(
            options.run
            or f"saved_models/{self.name}-{settings.student}-{settings.layers}"
        )
        options.run = str(folder)
        beside = folder.with_name(f"{folder.name}-data")
        further = self.further_tests(options, settings)
        load_keras()
        if self.choose_rows is not None:
            chosen = self.choose_rows(options, settings)
            vars(options).update(write_parts(chosen, settings, beside))
        if fresh:
            options.teacher = make_teacher(
                resolve_settings(options), self.fresh_teacher, beside
            )
        settings = resolve_settings(options)
        if options.mode == "prepare":
            prepare_alone(settings, folder)
            return
        if options.tune is not None:
            run_tune(options)
            return
        if options.study is not None:
            run_study(options, *options.study)
            return
        run_distill(options)
        if kept_arm(settings.arms):
            score_further(folder, further)

    def read_short_flags(self, options):
        """What `--data` and its like are short for, and what was typed."""
        typed = typed_settings(options)
        short = {}
        with_unlabelled = getattr(options, "with_unlabelled", False)
        if options.data is not None:
            options.default_settings.update(self.columns)
            for part, names in {**self.files, **self.optional_files}.items():
                needed = part in self.files
                if part in typed or (
                    needed and part == "unlabelled" and not with_unlabelled
                ):
                    continue
                file = find_file(options.data, names, needed)
                if file is not None:
                    short[part] = str(file)
        elif self.tfds and resolve_settings(options).train is None:
            tfds = dict(self.tfds)
            unlabelled = tfds.pop("unlabelled", None)
            if with_unlabelled:
                short["unlabelled"] = unlabelled
            options.default_settings.update(tfds)
        else:
            options.default_settings.update(self.columns)
        if MODES.get(options.mode) is not None:
            short["arms"] = MODES[options.mode]
        return {**short, **typed}

    def further_tests(self, options, settings):
        """Settings that read each further test set, by its name."""
        further = {}
        for name, (file, split) in self.also_test.items():
            if options.data is not None:
                path = find_file(options.data, file, required=False)
                if path is not None:
                    further[name] = {"test": str(path)}
            elif self.tfds and settings.test == self.tfds.get("test"):
                further[name] = {"test_split": split}
        return further


def find_file(folder, names, required=True):
    """The first of the files that is in a folder, or its `.gz`.

    Raises:
        DataError: None is there, and one is needed.
    """
    names = (names,) if isinstance(names, str) else names
    for name in names:
        for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
            if path.is_file():
                return path
    if not required:
        return None
    wanted = [each for name in names for each in (name, f"{name}.gz")]
    raise DataError(
        f"'{folder}' has neither {' nor '.join(wanted)}. Give the folder of "
        "the data set with --data."
    )

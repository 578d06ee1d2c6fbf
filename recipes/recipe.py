"""What every recipe is made of: its data, its modes, its settings."""

import argparse
import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from keras_kd.cli import add_run
from keras_kd.cli import guarded
from keras_kd.cli import load_keras
from keras_kd.cli import run_distill
from keras_kd.data.errors import DataError
from keras_kd.setting_flags import add_settings
from keras_kd.setting_flags import resolve_settings
from keras_kd.setting_flags import typed_settings
from recipes.quickstart import find_teacher

MODES = {
    "prepare": [],
    "teacher": ["teacher"],
    "student": ["alone"],
    "both": ["teacher", "alone", "distilled"],
}


@dataclass
class Recipe:
    """A data set as a command: `python -m recipes.NAME`.

    Args:
        description: The recipe's docstring.
        files: Dictionary from settings (`train`, `test`, ...) to the name of
            a file in the folder `--data`, or to several of which the first
            that is there is read. Each may end in `.gz`.
        optional_files: The same, for files that may be missing.
        unlabelled: File of texts without labels, for `--with-unlabelled`.
        columns: Settings of the columns in these files.
        tfds: Settings where no `--data` is given, with `tfds:NAME` sources.
        tfds_unlabelled: The source of texts without labels there.
        also_test: Further test sets by name, file and split, which the
            student is scored on at the end.
        fresh_teacher: Kind of the vocabulary of a teacher that is made on the
            spot where none is given; `None` takes the small English one.
        add_flags: Function that adds flags to the parser.
        prepare: Function `(options, settings, folder)` that writes files for
            the run and gives the settings that say where they are.
        defaults: Settings other than the configuration's own.
    """

    description: str
    files: dict = field(default_factory=dict)
    optional_files: dict = field(default_factory=dict)
    unlabelled: str | None = None
    columns: dict = field(default_factory=dict)
    tfds: dict | None = None
    tfds_unlabelled: str | None = None
    also_test: dict = field(default_factory=dict)
    fresh_teacher: str | None = None
    add_flags: Callable | None = None
    prepare: Callable | None = None
    defaults: dict = field(default_factory=dict)

    def main(self, arguments=None):
        """Runs the recipe's command line; returns the exit status."""
        return guarded(self.run, self.make_parser().parse_args(arguments))

    @property
    def name(self):
        """The name of the recipe's module."""
        return Path(sys.argv[0]).stem

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
            help="only read and tokenise the data, the teacher alone, the "
            "student without one, or all of it (default: both)",
        )
        if self.unlabelled is not None:
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
        teacher = None if self.fresh_teacher else find_teacher()
        add_settings(parser, teacher=teacher, **self.defaults)
        return parser

    def run(self, options):
        """Runs the recipe as its parsed flags say."""
        vars(options).update(self.sources(options))
        settings = resolve_settings(options)
        folder = Path(options.run or self.folder_of(settings))
        options.run = str(folder)
        if not options.print_config:
            self.write_files(options, folder.with_name(f"{folder.name}-data"))
        if options.mode == "prepare":
            return prepare_alone(resolve_settings(options), folder)
        if run_distill(options) is not None and self.also_test:
            self.score_also(options, folder)

    def write_files(self, options, folder):
        """Writes what the run needs beside its sources: files, a teacher."""
        if self.prepare is not None:
            settings = resolve_settings(options)
            vars(options).update(self.prepare(options, settings, folder))
        settings = resolve_settings(options)
        if self.fresh_teacher and settings.teacher is None:
            options.default_settings["teacher_learning_rate"] = 5e-4
            options.fine_tune_teacher = True
            options.teacher = make_teacher(settings, self.fresh_teacher, folder)

    def folder_of(self, settings):
        """The run's folder where none is given."""
        return f"saved_models/{self.name}-{settings.student}-{settings.layers}"

    def sources(self, options):
        """What `--data` and its like mean, as settings that were typed.

        They stand above a `--config` file, and below the settings' own flags.
        """
        typed = {}
        if options.data is not None:
            for setting, names in self.files.items():
                typed[setting] = str(find_file(options.data, names))
            for setting, names in self.optional_files.items():
                path = find_file(options.data, names, required=False)
                if path is not None:
                    typed[setting] = str(path)
        elif self.tfds:
            options.default_settings.update(self.tfds)
        if options.data is not None or not self.tfds:
            options.default_settings.update(self.columns)
        options.default_settings["arms"] = MODES["both"]
        if options.mode not in (None, "prepare"):
            typed["arms"] = MODES[options.mode]
        if getattr(options, "with_unlabelled", False):
            typed["unlabelled"] = self.tfds_unlabelled
            if options.data is not None:
                typed["unlabelled"] = str(
                    find_file(options.data, self.unlabelled)
                )
        return {**typed, **typed_settings(options)}

    def score_also(self, options, folder):
        """Prints the student's scores on further test sets."""
        from keras_kd.deployment import TrainedStudent
        from keras_kd.preparation import read_part
        from keras_kd.run_folder import RunFolder

        run = RunFolder.open(folder)
        if "distilled" not in run.configuration.arms:
            return
        student = TrainedStudent(run)
        metric = student.task.primary_metric
        for name, (file, split) in self.also_test.items():
            settings = dataclasses.replace(
                run.configuration,
                test=str(find_file(options.data, file))
                if options.data
                else run.configuration.test,
                test_split=split,
            )
            scores = student.score(
                read_part(settings, "test"), folder / f"{name}_rows"
            )
            print(
                f"Distilled student, {name}: {metric} {scores[metric]:.4f} on "
                f"{scores['rows']} rows"
            )


def prepare_alone(settings, folder):
    """Reads and tokenises the data of a run, and trains nothing."""
    load_keras()
    from keras_kd.compare import Comparison
    from keras_kd.run_folder import RunFolder

    comparison = Comparison(settings, RunFolder.start(folder, settings))
    comparison.prepare()
    for name, value in comparison.rows.counts.items():
        print(f"{name.replace('_', ' ')}: {value}")
    for warning in comparison.rows.warnings:
        print(f"Warning: {warning}")


def make_teacher(settings, tokens, folder):
    """Saves an untrained teacher for the labels of the training rows.

    Returns:
        The teacher's folder.
    """
    load_keras()
    from keras_kd.preparation import find_task
    from keras_kd.preparation import read_part
    from keras_kd.teachers.fresh import fresh_teacher
    from keras_kd.teachers.teacher import is_saved_teacher

    task = find_task(settings, None)
    path = Path(folder) / f"fresh-{tokens}-{task.num_outputs}"
    if not is_saved_teacher(path):
        texts = (
            text
            for example in read_part(settings, "train")
            for text in example.fields
        )
        fresh_teacher(
            texts,
            task.num_outputs,
            tokens,
            settings.vocabulary_size,
            max_length=settings.max_length,
            labels=task.labels,
        ).save(path)
    return str(path)


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
    raise DataError(
        f"'{folder}' has neither {' nor '.join(names)} nor {names[0]}.gz. Give "
        "the folder of the data set with --data."
    )

"""What the recipes of text classification share: files, modes, settings."""

import argparse
from pathlib import Path

from keras_kd.cli import add_settings
from keras_kd.cli import guarded
from keras_kd.cli import load_keras
from keras_kd.cli import resolve_settings
from keras_kd.cli import shown_command
from keras_kd.data.errors import DataError
from recipes.quickstart import find_teacher

ARMS = {
    "teacher": ["teacher"],
    "student": ["alone"],
    "both": ["teacher", "alone", "distilled"],
}


def run_recipe(description, tfds_name, files, unlabelled=None, **defaults):
    """Runs a recipe's command line.

    Args:
        description: The recipe's docstring.
        tfds_name: `tfds:NAME`, read where no `--data` is given.
        files: Dictionary from settings (`train`, `test`, ...) to file names.
        unlabelled: File name of unlabelled texts, or `None`.
        **defaults: Settings other than the configuration's own.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", metavar="DIR", help="folder of the files")
    parser.add_argument(
        "--run",
        metavar="DIR",
        help="folder of the run (default: saved_models/, with a name of the "
        "data, the student and its layers)",
    )
    parser.add_argument("--mode", choices=sorted(ARMS), default="both")
    if unlabelled is not None:
        parser.add_argument(
            "--with-unlabelled",
            action="store_true",
            help="let the teacher label the unlabelled texts too",
        )
    add_settings(parser, teacher=find_teacher(), **defaults)
    options = parser.parse_args()

    def run(options):
        fill_sources(options, tfds_name, files, unlabelled)

        load_keras()
        from keras_kd.distillation import distill

        settings = resolve_settings(options)
        name = tfds_name.removeprefix("tfds:").split("/")[0]
        folder = options.run or (
            f"saved_models/{name}-{settings.student}-{settings.layers}"
        )
        distill(settings, folder, shown_command())

    return guarded(run, options)


def fill_sources(options, tfds_name, files, unlabelled):
    """Puts the files, or the TFDS name, and the arms into the settings."""
    sources = options.default_settings
    sources["arms"] = ARMS[options.mode]
    if options.data is None:
        sources.update(train=tfds_name, test=tfds_name)
    else:
        for setting, name in files.items():
            sources[setting] = str(find_file(options.data, name))
    if unlabelled is not None and options.with_unlabelled:
        sources["unlabelled"] = (
            tfds_name
            if options.data is None
            else str(find_file(options.data, unlabelled))
        )


def find_file(folder, name):
    """The file of that name in a folder, or its `.gz`.

    Raises:
        DataError: Neither is there.
    """
    for path in (Path(folder) / name, Path(folder) / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(
        f"'{folder}' has neither {name} nor {name}.gz. Give the folder of the "
        "data set with --data."
    )

"""The commands on files: export writes them, inspect reads them."""

import functools
import json
import sys

from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_command
from keras_kd.commands.parsers import add_command_on_run
from keras_kd.commands.parsers import add_traceback
from keras_kd.configuration import QUANTIZATIONS
from keras_kd.configuration import ConfigurationError


def add_export(commands):
    """Adds the commands."""
    command = add_command_on_run(
        commands, "export", "write and verify a run's student again", _export
    )
    command.add_argument(
        "--format",
        choices=(
            "saved_model",
            "litert",
            "litert-text",
            "mediapipe",
            "huggingface",
        ),
        default="litert",
        help="litert-text: a .tflite that takes a string; huggingface: of a "
        "bert student, or a run of recipes.masked_lm (default: litert)",
    )
    command.add_argument(
        "--quantize",
        choices=QUANTIZATIONS,
        help="of a .tflite file (default: dynamic)",
    )
    command.add_argument(
        "--length",
        metavar="N",
        help="tokens that a .tflite file takes, or dynamic for any number, "
        "not with mediapipe and litert-text (default: --max-length of the run)",
    )

    command = add_command(
        commands, "inspect", "print what a .tflite says of itself", _inspect
    )
    command.add_argument("file", help="the file", metavar="FILE")
    add_traceback(command)


def _export(options):
    if options.format in ("saved_model", "huggingface"):
        for flag in ("quantize", "length"):
            if getattr(options, flag) is not None:
                raise ConfigurationError(
                    f"--{flag} is for a .tflite file. Received: "
                    f"{getattr(options, flag)}, with --format "
                    f"{options.format}. Leave it out."
                )
    load_keras()
    if options.format == "huggingface":
        print(json.dumps(_export_huggingface(options.run), indent=2))
        return
    from keras_kd.runs.distillation import export_again

    name = options.format
    if name != "saved_model":
        prefix = None if name == "litert" else name
        parts = [prefix, options.quantize or "dynamic", options.length]
        name = "/".join(filter(None, parts))
    say = functools.partial(print, file=sys.stderr)
    for report in export_again(options.run, [name], say):
        print(json.dumps(report, indent=2))


def _export_huggingface(folder):
    from keras_kd.language.huggingface_run import export_language_model
    from keras_kd.language.huggingface_run import is_language_model_run
    from keras_kd.runs.huggingface_run import export_huggingface

    if is_language_model_run(folder):
        return export_language_model(folder)
    return export_huggingface(folder)


def _inspect(options):
    from keras_kd.export.inspection import inspect_file

    for name, value in inspect_file(options.file).items():
        print(f"{name + ':':<12} {value}")

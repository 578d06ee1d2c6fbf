"""DistilBERT: a language model distilled on raw text, before any task.

    python -m recipes.masked_lm --teacher runs/masked_lm_head/model \\
        --student-layers 0,2,5 --data text.txt --run runs/distilled_lm

The student begins as the chosen layers of the teacher (counted from 0) and
learns the teacher's probabilities of masked words, the words themselves, and
the directions of the last hidden states. The same student trained without the
teacher stands beside it, in a table of perplexities on text that neither saw.
A run that was stopped goes on when the same command is given again. RUN/model
is a Hugging Face folder, and `--teacher RUN/model --student bert` of any other
recipe fine-tunes it.
"""

import argparse
import dataclasses
import sys

from keras_kd.commands.guard import guarded
from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_traceback
from keras_kd.configuration import setting_type
from keras_kd.configuration.setting_flags import flag_of
from keras_kd.language.masked_lm_settings import MaskedLMSettings

METAVARS = {int: "N", float: "NUMBER", str: "PATH"}


def make_parser():
    """The parser of the recipe's flags: one for each setting."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.masked_lm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--run", required=True, metavar="DIR")
    for setting in dataclasses.fields(MaskedLMSettings):
        kind, several = setting_type(setting)
        options = {"help": setting.metadata["help"], "default": setting.default}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = layer_numbers if several else kind
            options["metavar"] = "N,N,..." if several else METAVARS[kind]
        if setting.name in ("data", "teacher"):
            options["required"] = True
        elif setting.default is not None and kind is not bool:
            options["help"] += " (default: %(default)s)"
        parser.add_argument(flag_of(setting.name), **options)
    add_traceback(parser)
    return parser


def layer_numbers(text):
    """The numbers of layers that stand in a flag.

    >>> layer_numbers("0,2,5")
    [0, 2, 5]
    """
    return [int(number) for number in text.split(",")]


def run(options):
    """Distils as the parsed flags say; resumable."""
    settings = MaskedLMSettings(
        **{
            setting.name: getattr(options, setting.name)
            for setting in dataclasses.fields(MaskedLMSettings)
        }
    )
    load_keras()
    from keras_kd.language.masked_lm_distillation import MaskedLMDistillation
    from keras_kd.memory import keep_freed_memory

    keep_freed_memory()
    MaskedLMDistillation(settings, options.run).execute()


if __name__ == "__main__":
    arguments = make_parser().parse_args()
    sys.exit(guarded(run, arguments))

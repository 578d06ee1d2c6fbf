"""The command `keras-kd label`: its flags, and what it does."""

import argparse
import re

from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_command
from keras_kd.commands.parsers import add_run
from keras_kd.commands.training import resolve_run
from keras_kd.configuration.setting_flags import add_settings

DESCRIPTION = """\
Have the teacher label what a run needs, and train no student: `keras-kd
distill` with the same settings, or with the same --cache, data and teacher,
then asks it for nothing.

Several processes fill one cache, each with a share of the rows:
  keras-kd label --train reviews.csv --teacher teacher --run runs/reviews \\
      --shard 1/2 &
  keras-kd label --train reviews.csv --teacher teacher --run runs/reviews \\
      --shard 2/2

A process that was stopped goes on when the same command is given again.
"""


def add_label(commands):
    """Adds the command."""
    text = "fill the cache of teacher targets"
    command = add_command(commands, "label", text, _label, DESCRIPTION)
    command.usage = (
        "keras-kd label --train FILE --teacher DIR --run DIR "
        "[--shard I/N | --beam [NAME=VALUE ...]] [settings]"
    )
    add_run(command)
    how = command.add_mutually_exclusive_group()
    how.add_argument(
        "--shard",
        type=share,
        metavar="I/N",
        help="label the I-th of N shares only, where other processes label "
        "the others; the teacher must be trained",
    )
    how.add_argument(
        "--beam",
        nargs="*",
        metavar="NAME=VALUE",
        help="label with Apache Beam, with these of its options, such as "
        "runner=FlinkRunner (default: its local runner)",
    )
    # Here the teacher is all that there is.
    add_settings(command, aliases={"teacher_framework": "--framework"})


def share(text):
    """`I/N` as two numbers."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(
            f"expected I/N with I from 1 to N, as 1/4. Received: {text!r}"
        )
    return int(found[1]), int(found[2])


def _label(options):
    resolved = resolve_run(options)
    if resolved is not None:
        load_keras()
        from keras_kd.runs.labelling import label

        beam = options.beam
        if beam is not None:
            beam = [f"--{option}" for option in beam]
        label(*resolved, options.shard, beam)

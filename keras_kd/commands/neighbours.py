"""The command `keras-kd neighbours`."""

from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_command
from keras_kd.commands.parsers import add_traceback
from keras_kd.commands.parsers import count

DESCRIPTION = """\
Print the nearest words by the cosine of their vectors, in the word tables of a
run's student, of its teacher, and of the base model that this was trained from.

example:
  keras-kd neighbours --word lmao --word yeah runs/reviews
"""


def add_neighbours(commands):
    """Adds the command."""
    parser = add_command(
        commands, "neighbours", "the words that models have beside a word",
        _neighbours, DESCRIPTION,
    )  # fmt: skip
    add_traceback(parser)
    parser.add_argument(
        "runs", nargs="+", metavar="RUN",
        help="folders of runs, or of models of Hugging Face",
    )  # fmt: skip
    parser.add_argument(
        "--word", action="append", required=True, dest="words",
        metavar="WORD", help="a word; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=count, default=5, metavar="N",
        help="words beside each (default: 5)",
    )  # fmt: skip


def _neighbours(options):
    load_keras()
    from keras_kd.runs.neighbours import neighbours_table

    table = neighbours_table(options.words, options.runs, options.count)
    print("\n".join(table))

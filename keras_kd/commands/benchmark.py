"""The command `keras-kd benchmark`."""

from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_command
from keras_kd.commands.parsers import add_traceback
from keras_kd.commands.parsers import count


def add_benchmark(commands):
    """Adds the command."""
    text = "time teacher, students and files of runs side by side"
    parser = add_command(commands, "benchmark", text, _benchmark)
    parser.add_argument(
        "runs", help="folders of finished runs", nargs="+", metavar="RUN"
    )
    parser.add_argument(
        "--threads",
        type=count,
        default=1,
        help="threads of every model (default: 1)",
    )
    parser.add_argument(
        "--lengths",
        type=int,
        nargs="+",
        metavar="N",
        help="tokens of the rows (default: 32, and --max-length of the run)",
    )
    parser.add_argument(
        "--rows",
        type=count,
        default=50,
        help="rows of each length (default: 50)",
    )
    parser.add_argument(
        "--bert-base",
        action="store_true",
        help="ratios over a model of BERT-base's shape, not over the teacher",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="where table and plot go (default: the first run's folder)",
    )
    add_traceback(parser)


def _benchmark(options):
    load_keras()
    from keras_kd.runs.run_benchmark import benchmark

    benchmark(
        options.runs,
        options.lengths,
        options.threads,
        options.rows,
        options.bert_base,
        options.output,
    )

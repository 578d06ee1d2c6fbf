"""The command `keras-kd benchmark`."""

from keras_kd.commands.guard import load_keras
from keras_kd.commands.parsers import add_command_on_run


def add_benchmark(commands):
    """Adds the command."""
    text = "time a run's teacher, student and files side by side"
    parser = add_command_on_run(commands, "benchmark", text, _benchmark)
    parser.add_argument(
        "--threads",
        type=int,
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
        type=int,
        default=50,
        help="rows of each length (default: 50)",
    )


def _benchmark(options):
    load_keras()
    from keras_kd.run_benchmark import benchmark

    benchmark(options.run, options.lengths, options.threads, options.rows)

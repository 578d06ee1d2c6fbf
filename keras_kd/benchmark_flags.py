"""`keras-kd benchmark` as flags."""


def add_benchmark(parser):
    """Adds the run, and what is measured."""
    parser.add_argument("run", help="folder of the run", metavar="RUN")
    parser.add_argument(
        "--traceback", action="store_true", help="show where an error arose"
    )
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


def run_benchmark(options):
    """Measures as parsed flags say."""
    from keras_kd.run_benchmark import benchmark

    benchmark(options.run, options.lengths, options.threads, options.rows)

"""A search as flags, beside those of the run's settings."""

from keras_kd.tuning.pareto import OBJECTIVES
from keras_kd.tuning.ranges import RANGES
from keras_kd.tuning.search import ALGORITHMS
from keras_kd.tuning.search import TRIALS
from keras_kd.tuning.search import Search


def add_search(parser, tune=Search().tune):
    """Adds the flags of a `Search`, in a group.

    Args:
        parser: The parser of a command or a recipe.
        tune: What is searched where it is not said; `None` for nothing.
    """
    usual = Search()
    group = parser.add_argument_group(
        "search",
        "Settings that can be searched, with their ranges: "
        + ", ".join(f"{name}={text}" for name, text in RANGES.items())
        + ".",
    )
    group.add_argument(
        "--tune",
        nargs="+",
        default=tune,
        metavar="NAME",
        help="what is searched: NAME, or with a range of your own "
        "NAME=LOW:HIGH, NAME=LOW:HIGH:log, NAME=A,B,C (default: "
        f"{' '.join(tune or ['nothing'])})",
    )
    group.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        default=usual.algorithm,
        help=f"of KerasTuner (default: {usual.algorithm})",
    )
    group.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help=f"students that are trained (default: {TRIALS}, or one sweep of "
        "hyperband)",
    )
    group.add_argument(
        "--objectives",
        nargs="+",
        choices=tuple(OBJECTIVES),
        default=usual.objectives,
        help="what the best trials are listed by; the search itself goes by "
        "the validation score (default: score)",
    )
    group.add_argument(
        "--search-seed",
        type=int,
        default=usual.seed,
        metavar="N",
        help=f"seed of the search and of its trials (default: {usual.seed}); "
        "--seeds are those of the winner",
    )


def read_search(options):
    """The `Search` of parsed flags."""
    return Search(
        options.tune,
        options.algorithm,
        options.trials,
        options.objectives,
        options.search_seed,
    )

"""A study as flags, beside those of the run's settings."""

from keras_kd.studies.cells import KINDS


def add_study(parser):
    """Adds what is studied, and its values."""
    parser.add_argument(
        "kind",
        choices=KINDS,
        help="what differs: losses, teachers (several --teacher, or the "
        "epochs of fine-tuning), kinds and sizes of students, or temperatures "
        "with and without the factor T^2",
    )
    parser.add_argument(
        "--values",
        nargs="+",
        metavar="VALUE",
        help="temperatures, epochs, sizes such as bigru:2:128, or methods such "
        "as soft_targets+hidden_state_mse (default: some that are usual)",
    )

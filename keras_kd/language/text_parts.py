"""Which texts of a file are trained on, and which are kept for judging.

A teacher's head, its student and a general stage may read one file. Its first
texts are kept from the training of all of them: else the teacher would be
judged, and would teach, on texts that it has learned.
"""

from keras_kd.configuration import ConfigurationError

VALIDATION_TEXTS = 500
TEST_TEXTS = 500
VALIDATION_HELP = "first texts of the file, which checkpoints are chosen on"
TEST_HELP = "texts after these, which nothing is trained or chosen on"


def text_parts(texts, validation_texts, test_texts):
    """How many texts each part of a file has, for `read_windows`.

    Args:
        texts: How many are trained on; `None` is all that are left.
        validation_texts: How many checkpoints are chosen on.
        test_texts: How many judge, in the end.

    Raises:
        ConfigurationError: A part has none.

    Example:

    >>> text_parts(None, 500, 500)
    {'validation': 500, 'test': 500, 'train': None}
    """
    for flag, count in (
        ("--texts", texts),
        ("--validation-texts", validation_texts),
        ("--test-texts", test_texts),
    ):
        if count is not None and count < 1:
            raise ConfigurationError(
                f"{flag} must be above 0. Received: {count}."
            )
    return {
        "validation": validation_texts,
        "test": test_texts,
        "train": texts,
    }


def add_text_parts(parser):
    """Adds the flags of the texts that are kept from training.

    Args:
        parser: The parser of a recipe.
    """
    for name, default, text in (
        ("validation", VALIDATION_TEXTS, VALIDATION_HELP),
        ("test", TEST_TEXTS, TEST_HELP),
    ):
        parser.add_argument(
            f"--{name}-texts",
            type=int,
            default=default,
            metavar="N",
            help=f"{text} (default: %(default)s)",
        )

"""TNEWS: headlines of Chinese news in 15 classes (Xu et al. 2020, CLUE).

    python -m recipes.tnews --teacher google-bert/bert-base-chinese \\
        --data "$DATA/tnews"

`--data` is a folder with `train.tsv` and `dev.tsv` (columns `label` and
`text`); dev is the test set, and a part of train is kept for validation.
`--classes story,sports,house,car,game` keeps the rows of these classes alone.
Without `--teacher` a Transformer is trained on the spot: it knows nothing but
these rows, so look at its margin over the student alone before anything is
read from the comparison.
"""

import sys

from keras_kd.data.errors import DataError
from recipes.recipe import Recipe

PREFIX = "news_"


def add_flags(parser):
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="only these classes, with commas between: story,sports,...",
    )


def choose_rows(options, settings):
    """The rows of the chosen classes."""
    if options.classes is None:
        return {}
    names = options.classes.split(",")
    chosen = {PREFIX + name.strip().removeprefix(PREFIX) for name in names}
    return {
        part: rows_of_classes(settings, part, chosen)
        for part in ("train", "validation", "test")
        if getattr(settings, part) is not None
    }


def rows_of_classes(settings, part, chosen):
    """Yields the examples of the chosen classes.

    Raises:
        DataError: A class has no row.
    """
    from keras_kd.runs.run_sources import read_part

    found = set()
    for example in read_part(settings, part):
        found.add(example.label)
        if example.label in chosen:
            yield example
    if chosen - found:
        raise DataError(
            f"{getattr(settings, part)} has no row of the classes "
            f"{sorted(chosen - found)}. It has: {sorted(found - {None})}. "
            "Check --classes."
        )


RECIPE = Recipe(
    "tnews",
    __doc__,
    files={"train": "train.tsv", "test": "dev.tsv"},
    fresh_teacher="character",
    add_flags=add_flags,
    choose_rows=choose_rows,
    defaults={
        "tokens": "character",
        "vocabulary_size": 6000,
        "max_length": 64,
        "steps": 5000,
        "evaluate_every": 500,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

"""TNEWS: headlines of Chinese news in 15 classes (Xu et al. 2020, CLUE).

    python -m recipes.tnews --teacher google-bert/bert-base-chinese \\
        --tokens character --data "$DATA/tnews"

`--data` is a folder with `train.tsv` and `dev.tsv` (columns `label` and
`text`); dev is the test set, and a part of train is kept for validation.
`--classes story,sports,house,car,game` keeps the rows of these classes alone.
Without `--teacher` a Transformer is trained on the spot: it knows nothing but
these rows, so look at its margin over the student alone before anything is
read from the comparison.
"""

import sys
from pathlib import Path

from keras_kd.atomic_files import write_aside
from keras_kd.data.errors import DataError
from keras_kd.data.sources import read_examples
from recipes.recipe import Recipe

PREFIX = "news_"


def add_flags(parser):
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="only these classes, with commas between: story,sports,...",
    )


def prepare(options, settings, folder):
    """Writes the files of the chosen classes; returns where they are."""
    if options.classes is None:
        return {}
    chosen = [
        PREFIX + name.strip().removeprefix(PREFIX)
        for name in options.classes.split(",")
    ]
    changed = {"labels": chosen}
    for part in ("train", "test"):
        file = Path(folder) / f"{part}-{'-'.join(chosen)}.tsv"
        changed[part] = str(file)
        if not file.exists():
            keep_classes(getattr(settings, part), file, chosen)
    return changed


def keep_classes(source, file, chosen):
    """Writes the rows of the chosen classes.

    Raises:
        DataError: A class has no row.
    """
    found = set()
    with write_aside(file) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as lines:
            lines.write("label\ttext\n")
            for example in read_examples(source):
                if example.label in chosen:
                    found.add(example.label)
                    lines.write(f"{example.label}\t{example.fields[0]}\n")
        if set(chosen) - found:
            raise DataError(
                f"{source} has no row of the classes "
                f"{sorted(set(chosen) - found)}. Check --classes."
            )


RECIPE = Recipe(
    __doc__,
    files={"train": "train.tsv", "test": "dev.tsv"},
    fresh_teacher="character",
    add_flags=add_flags,
    prepare=prepare,
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

"""IMDB reviews, positive or negative (Maas et al. 2011).

    python -m recipes.imdb --student bigru --layers 2 --data "$DATA/imdb"

`--data` is a folder with `train.csv`, `test.csv` (columns `text` and `label`)
and, for `--with-unlabelled`, `unsup.txt`; each may end in `.gz`. Without it
the TFDS data set `imdb_reviews` is read. `--mode teacher` only fine-tunes the
teacher, `--mode student` trains the student without any, `both` is all of it.
Further students reuse the teacher of an earlier run with
`--teacher RUN/teacher`, and what it labelled with one `--cache`.
"""

import sys

from recipes.recipe import Recipe

RECIPE = Recipe(
    "imdb",
    __doc__,
    files={
        "train": "train.csv",
        "test": "test.csv",
        "unlabelled": "unsup.txt",
    },
    tfds={
        "train": "tfds:imdb_reviews/plain_text",
        "test": "tfds:imdb_reviews/plain_text",
        "unlabelled": "tfds:imdb_reviews/plain_text",
    },
    defaults={
        "validation_rows": 2000,
        "max_length": 256,
        "teacher_epochs": 1.0,
        "steps": 2500,
        "evaluate_every": 250,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

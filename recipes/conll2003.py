"""CoNLL-2003: names of persons, places and organisations in English news.

    python -m recipes.conll2003 --student bigru --data "$DATA/conll2003"

`--data` is a folder with `train.txt`, `valid.txt` and `test.txt`: a word a
line, its tag in the last column (Tjong Kim Sang and De Meulder 2003). Without
it the TFDS data set `conll2003` is read. The official split is used; scores
are F1 of whole entities.

A student of three of the teacher's layers ("T3"):

    python -m recipes.conll2003 --student bert --teacher-layers 0 2 5 \\
        --learning-rate 1e-4 --data "$DATA/conll2003"
"""

import sys

from recipes.recipe import Recipe

RECIPE = Recipe(
    "conll2003",
    __doc__,
    files={"train": "train.txt", "test": "test.txt"},
    optional_files={"validation": ("valid.txt", "dev.txt")},
    tfds={
        "train": "tfds:conll2003",
        "validation": "tfds:conll2003",
        "validation_split": "dev",
        "test": "tfds:conll2003",
        "text": "tokens",
        "label": "ner",
    },
    defaults={
        "task": "token_tagging",
        "max_length": 128,
        "width": 128,
        "steps": 5000,
        "evaluate_every": 250,
        "learning_rate": 2e-3,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

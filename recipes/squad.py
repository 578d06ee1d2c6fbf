"""SQuAD: questions whose answer is a part of a paragraph.

    python -m recipes.squad --student bert --teacher-layers 0 2 5 \\
        --learning-rate 1e-4 --data "$DATA/squad"

`--data` is a folder with SQuAD's JSON files, version 1.1 or 2.0 (Rajpurkar et
al. 2016 and 2018): `train-v1.1.json` and `dev-v1.1.json`, or those of v2.0.
Without it the TFDS data set `squad/v1.1` is read. The official dev set is the
test set here; a part of train, with all questions about a paragraph together,
is kept for validation. Scores are those of the official script.
"""

import sys

from recipes.recipe import Recipe

RECIPE = Recipe(
    "squad",
    __doc__,
    files={
        "train": ("train-v1.1.json", "train-v2.0.json"),
        "test": ("dev-v1.1.json", "dev-v2.0.json"),
    },
    tfds={
        "train": "tfds:squad/v1.1",
        "test": "tfds:squad/v1.1",
        "test_split": "validation",
    },
    defaults={
        "task": "question_answering",
        "validation_rows": 1000,
        "max_length": 384,
        "stride": 128,
        "teacher_epochs": 2.0,
        "width": 128,
        "steps": 10000,
        "evaluate_every": 500,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

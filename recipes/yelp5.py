"""Yelp reviews, one to five stars (Zhang et al. 2015).

    python -m recipes.yelp5 --student bigru --data "$DATA/yelp5"

`--data` is a folder with `train.csv` (or, where there is none, `dev.csv`) and
`test.csv`, with the columns `text` and `stars`. The classes are skewed, so
look at macro F1 and the table by class beside accuracy, or choose by
`--metric macro_f1`.
"""

import sys

from recipes.recipe import Recipe

RECIPE = Recipe(
    "yelp5",
    __doc__,
    files={"train": ("train.csv", "dev.csv"), "test": "test.csv"},
    columns={"label": "stars"},
    defaults={
        "max_length": 256,
        "teacher_epochs": 2.0,
        "steps": 2500,
        "evaluate_every": 250,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

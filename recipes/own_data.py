"""Your own labelled texts: a class, several labels, or a number for each.

    python -m recipes.own_data --train reviews.csv --unlabelled more.txt
    python -m recipes.own_data --data "$DATA/reviews"

`--data` is a folder with `train.csv` and, if you have them, `validation.csv`,
`test.csv` and `unlabelled.txt`; `--train`, `--test` and so on give files by
themselves, of any kind that is read. What stands in them is said by `--task`,
`--text`, `--text-pair` and `--label`.
"""

import sys

from recipes.recipe import Recipe

RECIPE = Recipe(
    "own_data",
    __doc__,
    files={"train": "train.csv"},
    optional_files={
        "validation": "validation.csv",
        "test": "test.csv",
        "unlabelled": "unlabelled.txt",
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

"""ChnSentiCorp: Chinese reviews, positive or negative (Tan and Zhang 2008).

    python -m recipes.chnsenticorp --teacher google-bert/bert-base-chinese \\
        --data "$DATA/chnsenticorp"

`--data` is a folder with `train.tsv`, `dev.tsv` and `test.tsv` (columns
`label` and `text`). Without `--teacher` a Transformer is trained on the spot:
it knows nothing but these rows, so look at its margin over the student alone
before anything is read from the comparison.
"""

import sys

from recipes.recipe import Recipe

RECIPE = Recipe(
    "chnsenticorp",
    __doc__,
    files={"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"},
    fresh_teacher="character",
    defaults={
        "tokens": "character",
        "vocabulary_size": 6000,
        "max_length": 256,
        "steps": 2500,
        "evaluate_every": 250,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

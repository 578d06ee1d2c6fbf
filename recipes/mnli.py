"""MNLI: does a premise entail, contradict or not touch a hypothesis
(Williams et al. 2018).

    python -m recipes.mnli --student bilstm --data "$DATA/MNLI"

`--data` is a folder with GLUE's `train.tsv`, `dev_matched.tsv` and
`dev_mismatched.tsv` (columns `sentence1`, `sentence2`, `gold_label`). Without
it the TFDS data set `glue/mnli` is read. The matched dev set is the test set;
the mismatched one is scored beside it. Other files of pairs have the same
form, such as SNLI's or SICK's:

    python -m recipes.mnli --train snli_train.tsv --test snli_test.tsv \\
        --text premise --text-pair hypothesis --label label
"""

import sys

from recipes.recipe import Recipe

RECIPE = Recipe(
    "mnli",
    __doc__,
    files={"train": "train.tsv", "test": "dev_matched.tsv"},
    also_test={"mismatched": ("dev_mismatched.tsv", "validation_mismatched")},
    columns={
        "text": "sentence1",
        "text_pair": "sentence2",
        "label": "gold_label",
    },
    tfds={
        "train": "tfds:glue/mnli",
        "test": "tfds:glue/mnli",
        "test_split": "validation_matched",
        "text": "premise",
        "text_pair": "hypothesis",
    },
    defaults={
        "validation_rows": 5000,
        "teacher_epochs": 2.0,
        "steps": 10000,
        "evaluate_every": 500,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

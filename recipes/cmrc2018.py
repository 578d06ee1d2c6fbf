"""CMRC 2018: Chinese questions whose answer is a part of a text.

    python -m recipes.cmrc2018 --teacher google-bert/bert-base-chinese \\
        --student bert --teacher-layers 0 5 11 --data "$DATA/cmrc2018"

`--data` is a folder with `cmrc2018_train.json`, `cmrc2018_dev.json` and
`cmrc2018_trial.json`, in SQuAD's form (Cui et al. 2019). Trained is on train,
or on dev where there is no train; tested is on dev, or then on trial. Scores
are those of the official script, by characters. Some answers do not stand
where the files say: what was repaired is counted in the report.

Without `--teacher` a Transformer is trained on the spot, with a vocabulary of
characters: it knows nothing but these rows, so look at its margin over the
student alone before anything is read from the comparison.
"""

import sys

from recipes.recipe import Recipe
from recipes.recipe import find_file

TRAIN, DEV, TRIAL = (
    f"cmrc2018_{part}.json" for part in ("train", "dev", "trial")
)


class Cmrc2018(Recipe):
    """The recipe, which tests on trial where it has to train on dev."""

    def read_short_flags(self, options):
        if options.data is not None:
            train = find_file(options.data, TRAIN, required=False)
            self.files = {"train": DEV, "test": TRIAL}
            if train is not None:
                self.files = {"train": TRAIN, "test": DEV}
        return super().read_short_flags(options)


RECIPE = Cmrc2018(
    "cmrc2018",
    __doc__,
    fresh_teacher="character",
    defaults={
        "task": "question_answering",
        "answer_scoring": "cmrc",
        "vocabulary_size": 6000,
        "max_length": 384,
        "stride": 128,
        "longest_answer": 50,
        "student": "transformer",
        "width": 128,
        "steps": 4000,
        "evaluate_every": 400,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

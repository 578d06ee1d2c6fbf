"""SQuAD: questions whose answer is a part of a paragraph.

    python -m recipes.squad --student bert --teacher-layers 0 2 5 \\
        --learning-rate 1e-4 --data "$DATA/squad"

`--data` is a folder with SQuAD's JSON files, version 1.1 or 2.0 (Rajpurkar et
al. 2016 and 2018): `train-v1.1.json` and `dev-v1.1.json`, or those of v2.0.
Without it the TFDS data set `squad/v1.1` is read. `--squad-version 2.0` takes
version 2.0, also where both are. The official dev set is the test set here; a
part of train, with all questions about a paragraph together, is kept for
validation. Scores are those of the official script.
"""

import sys

from recipes.recipe import Recipe
from recipes.recipe import find_file

VERSIONS = ("1.1", "2.0")


class Squad(Recipe):
    """The recipe, whose training and test files are of one version."""

    def read_short_flags(self, options):
        version = options.squad_version or VERSIONS[0]
        if options.squad_version is None and options.data is not None:
            there = (
                one
                for one in VERSIONS
                if find_file(options.data, f"train-v{one}.json", required=False)
            )
            version = next(there, version)
        self.files = {
            "train": f"train-v{version}.json",
            "test": f"dev-v{version}.json",
        }
        self.tfds = {
            "train": f"tfds:squad/v{version}",
            "test": f"tfds:squad/v{version}",
            "test_split": "validation",
        }
        return super().read_short_flags(options)


def add_flags(parser):
    """Adds the recipe's own flag."""
    parser.add_argument(
        "--squad-version",
        choices=VERSIONS,
        help="version of the data (default: 1.1, or the one that --data has)",
    )


RECIPE = Squad(
    "squad",
    __doc__,
    add_flags=add_flags,
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

"""SST-2: phrases of film reviews, positive or negative (Socher et al. 2013).

    python -m recipes.sst2 --student bigru --data "$DATA/glue/SST-2"

`--data` is a folder with GLUE's `train.tsv` and `dev.tsv` (columns `sentence`
and `label`). Without it the TFDS data set `glue/sst2` is read. GLUE's dev set
is the test set here, and nothing is chosen on it. The validation set is carved
from train: most rows there are phrases of other rows, so `--validation-rows`
whole sentences are taken, and every row that is part of one of them leaves the
training set. 0 and 1 become negative and positive, as TFDS has them.
"""

import dataclasses
import hashlib
import sys

from keras_kd.data.errors import DataError
from recipes.recipe import Recipe

NAMES = {"0": "negative", "1": "positive"}


def choose_rows(options, settings):
    """The training rows and the validation sentences."""
    from keras_kd.runs.run_sources import read_part

    if settings.test is None:
        raise DataError(
            "The rows of --train are phrases of one another: a part of them "
            "is no test. Give one with --test."
        )
    if settings.validation is not None:
        return {}
    examples = [with_name(row) for row in read_part(settings, "train")]
    training, validation = split_by_sentence(examples, settings.validation_rows)
    if not training:
        raise DataError(
            f"All {len(examples)} rows of --train are part of the "
            f"{settings.validation_rows} validation sentences. Give a smaller "
            "--validation-rows."
        )
    left_out = len(examples) - len(training) - len(validation)
    print(
        f"{len(validation)} sentences of {settings.train} are kept for "
        f"validation; {left_out} of its {len(examples)} rows are parts of "
        "them, and are left out."
    )
    return {
        "train": training,
        "validation": validation,
        "test": map(with_name, read_part(settings, "test")),
    }


def with_name(example):
    """The example, with the name of its class where it has GLUE's number."""
    name = NAMES.get(example.label, example.label)
    return dataclasses.replace(example, label=name)


def split_by_sentence(examples, count):
    """Splits rows so that no phrase of a validation sentence is trained on.

    Args:
        examples: List of `Example`.
        count: Number of validation sentences. One that stands there twice
            counts once.

    Returns:
        `(training examples, validation examples)`. A sentence is a row that is
        part of no other one.
    """
    words_of = [tuple(example.fields[0].split()) for example in examples]
    sentences, seen = [], set()
    for words in sorted(set(words_of), key=len, reverse=True):
        if words and words not in seen:
            sentences.append(words)
            seen |= phrases(words)
    chosen = set(sorted(sentences, key=_place)[:count])
    held_out = set().union(*map(phrases, chosen))
    rows = list(zip(words_of, examples))
    training = [example for words, example in rows if words not in held_out]
    validation = [example for words, example in rows if words in chosen]
    return training, validation


def phrases(words):
    """All runs of one or more of the words, the whole included."""
    return {
        words[start:end]
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
    }


def _place(words):
    """A place that depends on the words alone, not on the row's number."""
    return hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()


RECIPE = Recipe(
    "sst2",
    __doc__,
    files={"train": "train.tsv", "test": "dev.tsv"},
    columns={"text": "sentence"},
    tfds={
        "train": "tfds:glue/sst2",
        "test": "tfds:glue/sst2",
        "test_split": "validation",
        "text": "sentence",
    },
    choose_rows=choose_rows,
    defaults={
        "validation_rows": 1000,
        "max_length": 64,
        "teacher_epochs": 2.0,
        "steps": 6000,
        "evaluate_every": 250,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

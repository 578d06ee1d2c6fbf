"""SST-2: phrases of film reviews, positive or negative (Socher et al. 2013).

    python -m recipes.sst2 --student bigru --data "$DATA/glue/SST-2"

`--data` is a folder with GLUE's `train.tsv` and `dev.tsv` (columns `sentence`
and `label`). Without it the TFDS data set `glue/sst2` is read. GLUE's dev set
is the test set here, and nothing is chosen on it. The validation set is carved
from train: most rows there are phrases of other rows, so whole sentences are
taken, and every row that is part of one of them leaves the training set.
"""

import hashlib
import sys
from pathlib import Path

from keras_kd.atomic_files import write_aside
from recipes.recipe import Recipe

VALIDATION_SENTENCES = 1000


def prepare(options, settings, folder):
    """Writes `train.tsv` and `validation.tsv`; returns where they are."""
    if settings.validation is not None:
        return {}
    files = {
        part: Path(folder) / f"{part}.tsv" for part in ("train", "validation")
    }
    if not all(file.exists() for file in files.values()):
        from keras_kd.preparation import read_part

        rows = [
            (tuple(example.fields[0].split()), example.label)
            for example in read_part(settings, "train")
        ]
        parts = split_by_sentence(rows, VALIDATION_SENTENCES)
        for file, part in zip(files.values(), parts):
            with write_aside(file) as temporary:
                lines = [f"{' '.join(words)}\t{label}" for words, label in part]
                text = "\n".join(["sentence\tlabel", *lines, ""])
                temporary.write_text(text, "utf-8")
        print(
            f"{len(parts[1])} sentences are kept for validation; "
            f"{len(rows) - len(parts[0]) - len(parts[1])} of {len(rows)} rows "
            "are parts of them, and are left out."
        )
    return {part: str(file) for part, file in files.items()}


def split_by_sentence(rows, count):
    """Splits rows so that no phrase of a validation sentence is trained on.

    Args:
        rows: List of `(tuple of words, label)`.
        count: Number of validation sentences.

    Returns:
        `(training rows, validation rows)`. A sentence is a row that is part of
        no other one.
    """
    labels = dict(rows)
    sentences, seen = [], set()
    for words in sorted(labels, key=len, reverse=True):
        if words not in seen:
            sentences.append(words)
            seen |= phrases(words)
    chosen = sorted(sentences, key=_place)[:count]
    held_out = set().union(*map(phrases, chosen))
    training = [row for row in rows if row[0] not in held_out]
    return training, [(words, labels[words]) for words in chosen]


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
    __doc__,
    files={"train": "train.tsv", "test": "dev.tsv"},
    columns={"text": "sentence"},
    tfds={
        "train": "tfds:glue/sst2",
        "test": "tfds:glue/sst2",
        "test_split": "validation",
        "text": "sentence",
    },
    prepare=prepare,
    defaults={
        "max_length": 64,
        "teacher_epochs": 2.0,
        "steps": 6000,
        "evaluate_every": 250,
    },
)

if __name__ == "__main__":
    sys.exit(RECIPE.main())

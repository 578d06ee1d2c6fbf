"""Augmented examples, kept on disk from the moment they are made."""

import itertools
from pathlib import Path

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.data.example import Example

EXAMPLES_IN_A_FILE = 256


def augment_resumably(augmentation, examples, folder, progress=None):
    """Yields the augmented examples; what a killed run has made, it reads.

    A masked language model may take hours over many texts.

    Args:
        augmentation: `Augmentation`.
        examples: Iterable of `Example`: the same ones, each time.
        folder: Where they are kept. It is the caller's to remove, as soon as
            the rows made of them are written.
        progress: Function that is told how many examples were augmented.
    """
    examples = iter(examples)
    for start in itertools.count(step=EXAMPLES_IN_A_FILE):
        group = list(itertools.islice(examples, EXAMPLES_IN_A_FILE))
        if not group:
            return
        path = Path(folder) / f"{start}-{start + len(group)}.json"
        try:
            made = read_json(path)
        except FileNotFoundError:
            copies = augmentation.augment(group)
            made = [[copy.example_id, copy.fields] for copy in copies]
            write_json(path, made)
        for example_id, fields in made:
            # JSON has no tuples: one of a field's parts, where it has masks.
            yield Example(
                example_id,
                tuple(f if isinstance(f, str) else tuple(f) for f in fields),
            )
        if progress is not None:
            progress(len(group))

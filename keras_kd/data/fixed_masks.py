"""Masks that are drawn once, for a teacher whose targets are kept."""

import functools

import numpy as np

from keras_kd import batch
from keras_kd.data.batches import gather_inputs
from keras_kd.data.rows import open_or_write_rows
from keras_kd.data.rows import target_key

ROWS_AT_ONCE = 1024


def fixed_masks(folder, rows, masking, count, seed, fingerprint):
    """Rows with masks in them, `count` times each, written once.

    Masks that are drawn anew for every batch would be asked of a teacher anew,
    too. Here they are drawn `count` times, and the epochs take them in turn.

    Args:
        folder: Where to; opened if they stand there.
        rows: `Rows` of `keras_kd.data.text_windows`.
        masking: `keras_kd.data.masking.TokenMasking`.
        count: How many times.
        seed: Seed of the masks.
        fingerprint: Dictionary of what rows and masking are made of.

    Returns:
        `Rows`: all of the first masks, then all of the second, and so on. The
        columns are `token_ids` with the masks, `mask_positions`, `told` (what
        stood there), and a `target_key` of the first two.
    """

    def masked():
        for copy in range(count):
            for start in range(0, len(rows), ROWS_AT_ONCE):
                stop = min(start + ROWS_AT_ONCE, len(rows))
                positions = np.arange(start, stop)
                generator = np.random.default_rng([seed, copy, start])
                yield from _masked(rows, positions, masking, generator, copy)

    fingerprint = {**fingerprint, "count": count, "seed": seed}
    return open_or_write_rows(folder, masked, fingerprint)


def _masked(rows, positions, masking, generator, copy):
    token_ids, places, told = masking(
        rows.padded(batch.TOKEN_IDS, positions), generator
    )
    lengths = rows.lengths(batch.TOKEN_IDS, positions)
    for index, position in enumerate(positions):
        used = told[index] != batch.NO_TOKEN
        ids = token_ids[index, : lengths[index]].tolist()
        where = places[index, used].tolist()
        yield {
            "example_id": f"{rows.text('example_id', position)}#{copy}",
            "target_key": target_key(ids, where),
            batch.TOKEN_IDS: ids,
            batch.MASK_POSITIONS: where,
            "told": told[index, used].tolist(),
        }


def fixed_batch(rows, targets, names, size, positions, generator, epoch):
    """A batch `(x, y)` of masks that are fixed, with the teacher's targets.

    Args:
        rows: `Rows` of `fixed_masks`.
        targets: `keras_kd.teachers.cache.TeacherTargets` of these.
        names: The student's inputs.
        size: How many rows there are without masks.
        positions: Which of those.
        generator: Nothing is drawn.
        epoch: Which masks: the first ones come again after the last ones.
    """
    copies = len(rows) // size
    positions = np.asarray(positions) + (epoch % copies) * size
    inputs = gather_inputs(rows, positions, names)
    places = inputs[batch.MASK_POSITIONS].shape[1]
    told = rows.padded("told", positions, places, batch.NO_TOKEN)
    teacher = {
        name: values.padded(range(len(positions)), places)
        for name, values in targets.lookup(rows.keys(positions)).items()
    }
    return inputs, {batch.LABELS: told, batch.TEACHER: teacher}


def fixed_batches_of(rows, targets, model, size):
    """`fixed_batch` for `keras_kd.data.language_batches`."""
    names = batch.input_names(model)
    return functools.partial(fixed_batch, rows, targets, names, size)


def count_masks(rows, masking):
    """How many tokens are masked in all rows, at the most.

    Args:
        rows: `Rows` without masks.
        masking: `keras_kd.data.masking.TokenMasking`.
    """
    lengths = rows.lengths(batch.TOKEN_IDS)
    return int(np.maximum(np.round(masking.share * lengths), 1).sum())

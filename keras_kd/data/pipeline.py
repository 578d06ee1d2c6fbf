"""tf.data pipelines over rows."""

import tensorflow as tf

from keras_kd import batch
from keras_kd.data.batches import BatchPlan
from keras_kd.data.batches import by_length
from keras_kd.data.batches import gather_batch
from keras_kd.distribution import distribute_options


def training_batches(
    rows,
    model,
    batch_size,
    seed=0,
    targets=None,
    start_step=0,
    steps=None,
    length=None,
):
    """Training batches for `fit`, an endless stream of shuffled epochs.

    Args:
        rows: `keras_kd.data.rows.Rows`.
        model: The student; its inputs say what a batch holds.
        batch_size: Rows a batch.
        seed: Seed of the order.
        targets: Teacher targets to put into `y["teacher"]`, if any.
        start_step: First step, a number or a function that is asked when the
            iteration starts: `lambda: distiller.steps_made` goes on after a
            restored checkpoint where it stopped.
        steps: How many batches; `None` is without end (then give `fit`
            `steps_per_epoch`).
        length: Tokens that every batch is padded to, as XLA wants it; by
            default a batch is as wide as its longest row.

    Returns:
        A `tf.data.Dataset` of `(x, y)`.
    """
    plan = BatchPlan(rows.lengths(batch.TOKEN_IDS), batch_size, seed)
    first = [0]

    def rows_at(index):
        if index == 0:
            first[0] = start_step() if callable(start_step) else start_step
        return plan.rows_at(first[0] + index)

    return _dataset(rows, model, rows_at, targets, steps, length)


def evaluation_batches(rows, model, targets=None, tokens_per_batch=8192):
    """Every row once, in batches of like length, for `evaluate`."""
    groups = list(by_length(rows.lengths(batch.TOKEN_IDS), tokens_per_batch))
    return _dataset(rows, model, groups.__getitem__, targets, len(groups))


def _dataset(rows, model, rows_at, targets, count, length=None):
    """Batches 0, 1, 2, ...: `rows_at` says which rows each of them holds.

    Not by `from_generator`: on Python 3.11 it has the C library map every
    large block of the whole process anew from the kernel, which makes training
    on a CPU a third slower.
    """
    names = batch.input_names(model)
    # One batch says which types the others have; lengths vary.
    x, y = gather_batch(rows, [0], names, targets, length)
    like = tf.nest.flatten((x, y))

    def gather(index):
        positions = rows_at(int(index))
        one = gather_batch(rows, positions, names, targets, length)
        return tf.nest.flatten(one)

    def at(index):
        arrays = tf.numpy_function(gather, [index], [a.dtype for a in like])
        for array, example in zip(arrays, like):
            is_input = any(example is values for values in x.values())
            shape = [length] if is_input else example.shape[1:]
            array.set_shape([None, *shape])
        return tf.nest.pack_sequence_as((x, y), arrays)

    if count is None:
        numbers = tf.data.Dataset.counter()
    else:
        numbers = tf.data.Dataset.range(count)
    return distribute_options(numbers.map(at).prefetch(4))

"""tf.data pipelines over rows."""

import functools

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
    teacher=None,
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

    return _dataset(rows, model, rows_at, targets, steps, length, teacher)


def evaluation_batches(
    rows, model, targets=None, tokens_per_batch=8192, teacher=None
):
    """Every row once, in batches of like length, for `evaluate`."""
    groups = list(by_length(rows.lengths(batch.TOKEN_IDS), tokens_per_batch))
    return _dataset(
        rows, model, groups.__getitem__, targets, len(groups), teacher=teacher
    )


def _dataset(rows, model, rows_at, targets, count, length=None, teacher=None):
    """Batches 0, 1, 2, ...: `rows_at` says which rows each of them holds."""
    gather = functools.partial(
        gather_batch,
        rows,
        names=batch.input_names(model),
        targets=targets,
        length=length,
        teacher_names=() if teacher is None else batch.input_names(teacher),
    )
    return numbered_batches(
        lambda number: gather(rows_at(number)), gather([0]), count, length
    )


def inputs_of(x, y):
    """The arrays of a batch that are as long as its longest row."""
    return [*x.values(), *y.get(batch.TEACHER_INPUTS, {}).values()]


def numbered_batches(gather, like, count=None, length=None, ragged=inputs_of):
    """A data set of batches that NumPy makes by their numbers 0, 1, 2, ...

    Not by `from_generator`: on Python 3.11 it has the C library map every
    large block of the whole process anew from the kernel, which makes training
    on a CPU a third slower.

    Args:
        gather: Function from a number to `(x, y)`.
        like: One `(x, y)`, of the types that all others have too.
        count: How many batches; `None` is without end.
        length: Length of what is ragged, where it is fixed.
        ragged: Function from `(x, y)` to the list of its arrays `[batch,
            length]` whose length is another one in each batch.
    """
    flat, of_any_length = tf.nest.flatten(like), ragged(*like)

    def at(number):
        arrays = tf.numpy_function(
            lambda index: tf.nest.flatten(gather(int(index))),
            [number],
            [array.dtype for array in flat],
        )
        for array, example in zip(arrays, flat):
            is_ragged = any(example is values for values in of_any_length)
            shape = [length] if is_ragged else example.shape[1:]
            array.set_shape([None, *shape])
        return tf.nest.pack_sequence_as(like, arrays)

    if count is None:
        numbers = tf.data.Dataset.counter()
    else:
        numbers = tf.data.Dataset.range(count)
    return distribute_options(numbers.map(at).prefetch(4))

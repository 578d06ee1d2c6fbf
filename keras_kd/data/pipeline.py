"""tf.data pipelines over rows."""

import tensorflow as tf

from keras_kd import batch
from keras_kd.data.batches import BatchPlan
from keras_kd.data.batches import by_length
from keras_kd.data.batches import gather_batch


def training_batches(
    rows, model, batch_size, seed=0, targets=None, start_step=0, steps=None
):
    """Training batches for `fit`, an endless stream of shuffled epochs.

    Args:
        rows: `keras_kd.data.rows.Rows`.
        model: The student; its inputs say what a batch holds.
        batch_size: Rows a batch.
        seed: Seed of the order.
        targets: Teacher targets to put into `y["teacher"]`, if any.
        start_step: First step, a number or a function that is asked when the
            iteration starts: `lambda: int(distiller.optimizer.iterations)`
            goes on after a restored checkpoint where it stopped.
        steps: How many batches; `None` is without end (then give `fit`
            `steps_per_epoch`).

    Returns:
        A `tf.data.Dataset` of `(x, y)`.
    """
    plan = BatchPlan(rows.lengths(batch.TOKEN_IDS), batch_size, seed)

    def numbers():
        step = start_step() if callable(start_step) else start_step
        end = None if steps is None else step + steps
        while end is None or step < end:
            yield plan.rows_at(step)
            step += 1

    return _dataset(rows, model, numbers, targets, steps)


def evaluation_batches(rows, model, targets=None, tokens_per_batch=8192):
    """Every row once, in batches of like length, for `evaluate`."""
    groups = list(by_length(rows.lengths(batch.TOKEN_IDS), tokens_per_batch))
    return _dataset(rows, model, lambda: iter(groups), targets, len(groups))


def _dataset(rows, model, numbers, targets, cardinality):
    names = batch.input_names(model)

    def generate():
        for positions in numbers():
            yield gather_batch(rows, positions, names, targets)

    # One batch says which types the others have; lengths vary.
    x, y = gather_batch(rows, [0], names, targets)
    signature = (
        {name: tf.TensorSpec([None, None], "int32") for name in x},
        tf.nest.map_structure(
            lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype),
            y,
        ),
    )
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=signature
    )
    if cardinality is not None:
        dataset = dataset.apply(
            tf.data.experimental.assert_cardinality(cardinality)
        )
    return dataset.prefetch(4)

"""tf.data pipelines over rows."""

import functools

from keras_kd import batch
from keras_kd.data.batches import BatchPlan
from keras_kd.data.batches import by_length
from keras_kd.data.batches import gather_batch
from keras_kd.data.numbered_batches import inputs_of
from keras_kd.data.numbered_batches import numbered_batches


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
            restored checkpoint where it stopped (under mixed_float16 earlier
            by the steps that the loss scale left out).
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

    def ragged(x, y):
        arrays = inputs_of(x, y)
        if "label" in rows.columns and rows.is_ragged("label"):
            arrays.append(y[batch.LABELS])
        if batch.TOKEN_MASK in y:
            arrays.append(y[batch.TOKEN_MASK])
        per_token = getattr(targets, "per_token", ())
        return arrays + [y[batch.TEACHER][name] for name in per_token]

    return numbered_batches(
        lambda number: gather(rows_at(number)),
        gather([0]),
        count,
        length,
        ragged,
    )

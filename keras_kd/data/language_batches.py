"""tf.data pipelines of language models: a batch by its step, and each row."""

import functools

import numpy as np

from keras_kd import batch
from keras_kd.data.batches import WINDOW
from keras_kd.data.batches import BatchPlan
from keras_kd.data.batches import by_length
from keras_kd.data.batches import gather_inputs
from keras_kd.data.numbered_batches import inputs_of
from keras_kd.data.numbered_batches import numbered_batches

# So that every validation hides the same tokens.
VALIDATION_SEED = 0


def training_language_batches(
    rows, make, batch_size, seed=0, start_step=0, window=WINDOW
):
    """An endless stream of shuffled batches.

    Order, and what a batch draws at random, depend on the seed and the step
    alone: a run that was stopped goes on as if it had not been.

    Args:
        rows: `Rows` of `keras_kd.data.text_windows`.
        make: Function from `(positions, generator, epoch)` to `(x, y)`.
        batch_size: Rows a batch.
        seed: Seed of the order and of what is drawn.
        start_step: The first step.
        window: Batches among which rows are sorted by length; 1 for none.

    Returns:
        A `tf.data.Dataset` of `(x, y)`.
    """
    plan = BatchPlan(rows.lengths(batch.TOKEN_IDS), batch_size, seed, window)

    def gather(number):
        step = start_step + number
        generator = np.random.default_rng([seed, step])
        return make(plan.rows_at(step), generator, step // plan.steps_per_epoch)

    return numbered_batches(gather, gather(0), ragged=_ragged)


def evaluation_language_batches(rows, make, tokens_per_batch=4096):
    """Every row once, always with the same masks.

    Args:
        rows: As for `training_language_batches`.
        make: As there.
        tokens_per_batch: The most tokens in a batch, padding included.
    """
    groups = list(by_length(rows.lengths(batch.TOKEN_IDS), tokens_per_batch))

    def gather(number):
        generator = np.random.default_rng([VALIDATION_SEED, number])
        return make(groups[number], generator, 0)

    return numbered_batches(gather, gather(0), len(groups), ragged=_ragged)


def causal_batch(rows, names, positions, generator=None, epoch=0):
    """A batch `(x, y)` of a model that tells the next token, in NumPy.

    Args:
        rows: `Rows` of `keras_kd.data.text_windows`.
        names: The model's inputs.
        positions: Which rows.
        generator: Nothing is drawn.
        epoch: All are alike.
    """
    inputs = gather_inputs(rows, positions, names)
    ids = inputs[batch.TOKEN_IDS]
    lengths = rows.lengths(batch.TOKEN_IDS, positions)
    labels = np.full_like(ids, batch.NO_TOKEN)
    labels[:, :-1] = ids[:, 1:]
    labels[np.arange(ids.shape[1]) >= lengths[:, None] - 1] = batch.NO_TOKEN
    return inputs, {batch.LABELS: labels}


def causal_batches_of(rows, model):
    """`causal_batch` for `training_language_batches`."""
    return functools.partial(causal_batch, rows, batch.input_names(model))


def _ragged(x, y):
    teacher = y.get(batch.TEACHER, {})
    return [*inputs_of(x, y), y[batch.LABELS], *teacher.values()]

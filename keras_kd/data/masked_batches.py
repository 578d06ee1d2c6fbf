"""tf.data pipelines of masked language models."""

import functools

import numpy as np

from keras_kd import batch
from keras_kd.data.batches import BatchPlan
from keras_kd.data.batches import by_length
from keras_kd.data.masking import TokenMasking
from keras_kd.data.masking import masked_batch
from keras_kd.data.numbered_batches import inputs_of
from keras_kd.data.numbered_batches import numbered_batches

# So that every validation hides the same tokens.
VALIDATION_SEED = 0


def training_masked_batches(
    rows, model, tokenizer, batch_size, seed=0, start_step=0
):
    """An endless stream of shuffled batches, with masks drawn for each.

    Order and masks depend on the seed and the step alone: a run that was
    stopped goes on as if it had not been.

    Args:
        rows: `Rows` of `keras_kd.data.text_windows`.
        model: The model of `keras_kd.models.masked_lm.at_positions`.
        tokenizer: Its `Tokenizer`.
        batch_size: Rows a batch.
        seed: Seed of the order and of the masks.
        start_step: The first step.

    Returns:
        A `tf.data.Dataset` of `(x, y)`.
    """
    plan = BatchPlan(rows.lengths(batch.TOKEN_IDS), batch_size, seed)

    def gather(number):
        step = start_step + number
        generator = np.random.default_rng([seed, step])
        return masked(plan.rows_at(step), generator=generator)

    masked = _masked(rows, model, tokenizer)
    return numbered_batches(gather, gather(0), ragged=_ragged)


def evaluation_masked_batches(rows, model, tokenizer, tokens_per_batch=4096):
    """Every row once, always with the same masks."""
    groups = list(by_length(rows.lengths(batch.TOKEN_IDS), tokens_per_batch))
    masked = _masked(rows, model, tokenizer)

    def gather(number):
        generator = np.random.default_rng([VALIDATION_SEED, number])
        return masked(groups[number], generator=generator)

    return numbered_batches(gather, gather(0), len(groups), ragged=_ragged)


def _masked(rows, model, tokenizer):
    return functools.partial(
        masked_batch,
        rows,
        names=batch.input_names(model),
        masking=TokenMasking(tokenizer),
    )


def _ragged(x, y):
    return [*inputs_of(x, y), y[batch.LABELS]]

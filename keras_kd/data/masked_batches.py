"""Batches of masked language models."""

import functools

from keras_kd import batch
from keras_kd.data.language_batches import evaluation_language_batches
from keras_kd.data.language_batches import training_language_batches
from keras_kd.data.masking import TokenMasking
from keras_kd.data.masking import masked_batch


def masked_batches_of(rows, model, masking):
    """What makes the batches of a masked language model.

    Args:
        rows: `Rows` of `keras_kd.data.text_windows`.
        model: The model of `keras_kd.models.masked_lm.at_positions`.
        masking: `TokenMasking`.

    Returns:
        A function for `keras_kd.data.language_batches`.
    """
    make = functools.partial(
        masked_batch, rows, names=batch.input_names(model), masking=masking
    )
    return lambda positions, generator, epoch: make(
        positions, generator=generator
    )


def training_masked_batches(
    rows, model, tokenizer, batch_size, seed=0, start_step=0
):
    """An endless stream of shuffled batches, with masks drawn for each.

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
    make = masked_batches_of(rows, model, TokenMasking(tokenizer))
    return training_language_batches(rows, make, batch_size, seed, start_step)


def evaluation_masked_batches(rows, model, tokenizer, tokens_per_batch=4096):
    """Every row once, always with the same masks."""
    make = masked_batches_of(rows, model, TokenMasking(tokenizer))
    return evaluation_language_batches(rows, make, tokens_per_batch)

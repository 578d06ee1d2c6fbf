"""Masks for masked language models, drawn anew for every batch."""

import numpy as np

from keras_kd import batch
from keras_kd.data.batches import gather_inputs


class TokenMasking:
    """Says which tokens of a batch are to be told, and hides them.

    Of each row a share of the tokens is chosen, one at the least and none of
    the special ones. Of those, most become the mask token, some a random one,
    and some stay what they are, because no text that the model will read later
    has masks.

    Args:
        tokenizer: `keras_kd.data.tokenization.Tokenizer` with a mask token.
        share: Share of the tokens of a row that are chosen.
        masked: Share of these that become the mask token.
        random: Share of these that become a random token.
        token_weights: `[vocabulary]`, how likely each token is to be chosen
            beside others; all alike by default.

    Raises:
        ValueError: The tokenizer has no mask, or a share is out of range.

    Example:

    ```python
    masking = TokenMasking(tokenizer)
    hidden, positions, labels = masking(token_ids, np.random.default_rng(0))
    ```

    Source: Devlin et al. 2019, "BERT", section 3.1; Liu et al. 2019,
    "RoBERTa", section 4.1, for masks that are drawn anew.
    """

    def __init__(
        self, tokenizer, share=0.15, masked=0.8, random=0.1, token_weights=None
    ):
        if tokenizer.mask_id is None:
            raise ValueError(
                "A masked language model needs a tokenizer with a mask token. "
                f"Received: one of {tokenizer.vocabulary_size} tokens without "
                "one. Give the tokenizer that the model was pretrained with."
            )
        if not 0 < share <= 1 or min(masked, random) < 0 or masked + random > 1:
            raise ValueError(
                "`share` must be above 0 and at most 1, and `masked` and "
                "`random` 0 or more, and at most 1 together. Received: "
                f"share={share}, masked={masked}, random={random}."
            )
        special = tokenizer.special_ids
        self.mask_id = tokenizer.mask_id
        self.share = share
        self.masked = masked
        self.random = random
        size = tokenizer.vocabulary_size
        weights = np.ones(size) if token_weights is None else token_weights
        with np.errstate(divide="ignore"):  # A weight of 0: never.
            self._log_weights = np.log(np.asarray(weights, "float64"))
        self._log_weights[special] = -np.inf
        self._ordinary = np.setdiff1d(np.arange(size), special)

    def __call__(self, token_ids, generator):
        """Hides tokens of some rows.

        Args:
            token_ids: `[batch, length]` integers, padding on the right.
            generator: `numpy.random.Generator`.

        Returns:
            `(token_ids, positions, labels)`: the rows with hidden tokens;
            `[batch, places]` where these are, in order; and what stood there,
            `NO_TOKEN` where a row has fewer of them than another one.
        """
        scores = self._log_weights[token_ids]
        ordinary = np.isfinite(scores).sum(axis=1)
        counts = np.minimum(
            np.maximum(np.round(self.share * ordinary), 1), ordinary
        ).astype(int)
        # The highest of these are drawn without putting back, by weight.
        scores = scores + generator.gumbel(size=token_ids.shape)
        places = max(int(counts.max(initial=0)), 1)
        order = np.argsort(-scores, axis=1)[:, :places]
        used = np.arange(places) < counts[:, None]
        # In order of the text; those of no use come last.
        order = np.sort(np.where(used, order, token_ids.shape[1]), axis=1)
        used = order < token_ids.shape[1]
        positions = np.where(used, order, 0).astype("int32")
        told = np.take_along_axis(token_ids, positions, axis=1)
        drawn = generator.random(positions.shape)
        other = generator.choice(self._ordinary, positions.shape)
        hidden = np.where(
            drawn < self.masked,
            self.mask_id,
            np.where(drawn < self.masked + self.random, other, told),
        )
        result = np.array(token_ids)
        rows = np.broadcast_to(
            np.arange(len(token_ids))[:, None], positions.shape
        )
        result[rows[used], positions[used]] = hidden[used]
        return result, positions, np.where(used, told, batch.NO_TOKEN)


def masked_batch(rows, positions, names, masking, generator):
    """A batch `(x, y)` of a masked language model, in NumPy.

    Args:
        rows: `Rows` of `keras_kd.data.text_windows`.
        positions: Which rows.
        names: The model's inputs, `mask_positions` among them.
        masking: `TokenMasking`.
        generator: `numpy.random.Generator`.
    """
    inputs = gather_inputs(
        rows,
        positions,
        [name for name in names if name != batch.MASK_POSITIONS],
    )
    inputs[batch.TOKEN_IDS], places, labels = masking(
        inputs[batch.TOKEN_IDS], generator
    )
    inputs[batch.MASK_POSITIONS] = places
    return inputs, {batch.LABELS: labels.astype("int32")}

"""The bag student: averages of word and of bigram embeddings."""

import keras
from keras import layers
from keras import ops

from keras_kd import batch
from keras_kd.models.heads import classification_head
from keras_kd.models.heads import masked_pool
from keras_kd.models.recurrent import token_inputs

# The hash of a bigram. The sum of both products stays below 2^31 for ids below
# `LARGEST_ID`. The primes are the best of 60 random pairs on made-up bigrams,
# with word frequencies as in texts: no more collisions than chance.
FIRST_FACTOR, SECOND_FACTOR = 22_783, 8_443
LARGEST_ID = 65_521
MODULUS = 1_000_003


def bag_student(
    vocabulary_size,
    num_outputs,
    embedding_dim=64,
    bigram_buckets=16_384,
    hidden_dim=64,
    num_layers=1,
    dropout=0.2,
):
    """Builds a student that averages embeddings: the fastest there is.

    The mean of the words' embeddings, beside the mean of the embeddings of
    pairs of neighbours (half as wide), goes through a small dense network.
    There is nothing in it that runs over positions one after another. The
    pairs tell "not good" from "good"; they are hashed into buckets inside the
    graph, so the inputs are those of any other student, and pairs that share
    a bucket share an embedding. Stock Keras layers only: the saved model
    loads wherever Keras does.

    Args:
        vocabulary_size: Rows of the embedding table.
        num_outputs: Number of logits.
        embedding_dim: Width of the word embeddings; that of the bigrams is
            half of it.
        bigram_buckets: Rows of the bigrams' table; 0 for a bag of words.
        hidden_dim: Width of the dense layers.
        num_layers: Number of dense layers below the logits.
        dropout: Rate at which whole words and bigrams are dropped, and of
            each dense layer's input.

    Returns:
        A functional `keras.Model`: int32 `token_ids` and `padding_mask`, both
        `[batch, length]`, to logits `[batch, num_outputs]`.

    Raises:
        ValueError: Less than one layer, or a number of buckets that the hash
            can't fill.

    Example:

    >>> student = bag_student(1000, 2, embedding_dim=8, bigram_buckets=64)
    >>> student.output.shape
    (None, 2)

    Source: Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic
    Methods for Text Classification"; the hashed bigrams are those of Joulin et
    al. 2016, "Bag of Tricks for Efficient Text Classification".
    """
    if num_layers < 1:
        raise ValueError(f"`num_layers` must be 1 or more, not {num_layers}.")
    if not 0 <= bigram_buckets <= MODULUS:
        raise ValueError(
            f"`bigram_buckets` must be between 0 and {MODULUS}. Received: "
            f"{bigram_buckets}. 0 means no bigrams."
        )

    def mean_embedding(ids, mask, rows, width, name):
        x = layers.Embedding(rows, width, name=f"{name}_embedding")(ids)
        # One decision for a whole word, as in Iyyer et al.
        x = layers.Dropout(
            dropout, noise_shape=(None, None, 1), name=f"{name}_dropout"
        )(x)
        return masked_pool(x, mask, "mean")

    inputs = token_inputs()
    token_ids, mask = inputs[batch.TOKEN_IDS], inputs[batch.PADDING_MASK]
    x = mean_embedding(token_ids, mask, vocabulary_size, embedding_dim, "token")
    if bigram_buckets:
        bigrams = mean_embedding(
            hash_bigrams(token_ids, vocabulary_size, bigram_buckets),
            mask[:, :-1] * mask[:, 1:],
            bigram_buckets,
            max(1, embedding_dim // 2),
            "bigram",
        )
        x = layers.Concatenate(name="pooled")([x, bigrams])
    for index in range(num_layers):
        x = layers.Dropout(dropout, name=f"dropout_{index}")(x)
        x = layers.Dense(
            hidden_dim, activation="relu", name=f"dense_layer_{index}"
        )(x)
    logits = classification_head(x, num_outputs, dropout)
    return keras.Model(inputs, logits, name=f"bag_{num_layers}")


def hash_bigrams(token_ids, vocabulary_size, buckets):
    """Gives the bucket of each pair of neighbours, `[batch, length - 1]`.

    $$ h(a, b) = ((22783 a + 8443 b) \\bmod 1000003) \\bmod buckets $$

    Nothing in it exceeds 2^31 - 1, so it is exact in int32 and equal on every
    backend and in LiteRT. In a vocabulary of more than 65,521 tokens the ids
    are taken modulo 65,521 first: tokens that far apart are one to the hash.

    Args:
        token_ids: int32 `[batch, length]`, symbolic or not.
        vocabulary_size: Ids are below this number.
        buckets: Number of buckets.
    """
    if vocabulary_size > LARGEST_ID:
        token_ids = ops.mod(token_ids, LARGEST_ID)
    first = token_ids[:, :-1] * FIRST_FACTOR
    # A sum, written as a difference: Keras turns the addition of a row to a
    # batch of one into BiasAdd, which LiteRT does not have for integers.
    mixed = first - token_ids[:, 1:] * -SECOND_FACTOR
    return ops.mod(ops.mod(mixed, MODULUS), buckets)

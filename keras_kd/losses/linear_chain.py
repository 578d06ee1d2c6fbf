"""A conditional random field over the tags of a sentence, from its logits.

The logits of a token are the potentials of its tag after each tag before it,
$\\psi_t(i, j)$, `[batch, length, (1 + tags) * tags]`; the first `tags` of them
are of a sentence's first word. A dense layer gives them, so that a model with
this head is made of stock layers. Tokens of `mask` 0, such as further pieces of
a word, are no part of the chain.

$$p(y) = \\frac{1}{Z} \\exp \\sum_t \\psi_t(y_{t-1}, y_t)$$

Source: Lafferty, McCallum and Pereira 2001; Ma and Hovy 2016, "End-to-end
Sequence Labeling via Bi-directional LSTM-CNNs-CRF", equation 1, where the
potentials depend on the word as they do here.
"""

import math

import keras
from keras import ops

from keras_kd.batch import NO_TOKEN

# The logarithm of what can't be. Twice that is still a float16.
IMPOSSIBLE = -1e4


def tag_count(width):
    """The number of tags whose potentials are so many numbers.

    Raises:
        ValueError: There is no such number.
    """
    tags = (math.isqrt(1 + 4 * width) - 1) // 2
    if tags < 1 or tags * (tags + 1) != width:
        raise ValueError(
            "The logits of a linear chain are (1 + tags) * tags. Received: "
            f"{width}. Build the student with the task's `student_outputs`."
        )
    return tags


def forward_states(logits, mask):
    """Logarithms of the sums over all ways to each tag, token by token.

    Args:
        logits: `[batch, length, (1 + tags) * tags]`.
        mask: `[batch, length]`, 1 on the tokens of the chain.

    Returns:
        `[length, batch, 1 + tags]`, after each token; state 0 is the start.
    """
    tokens, unpack = _by_token(logits, mask)

    def step(state, token):
        potential, counts = unpack(token)
        # A sum over the tags before each tag.
        after = ops.logsumexp(state[:, :, None] + potential, axis=1)
        after = ops.concatenate([impossible, after], axis=1)
        state = ops.where(counts, after, state)
        return state, state

    zeros = ops.zeros_like(unpack(tokens[0])[0][:, :, 0])
    impossible = zeros[:, :1] + IMPOSSIBLE
    start = ops.concatenate([zeros[:, :1], zeros[:, 1:] + IMPOSSIBLE], axis=1)
    return ops.scan(step, start, tokens)[1]


def backward_states(logits, mask):
    """The same from the end: of all ways on from each state, before a token."""
    tokens, unpack = _by_token(logits, mask)

    def step(state, token):
        potential, counts = unpack(token)
        before = ops.logsumexp(potential + state[:, None, 1:], axis=2)
        state = ops.where(counts, before, state)
        return state, state

    end = ops.zeros_like(unpack(tokens[0])[0][:, :, 0])
    return ops.scan(step, end, tokens, reverse=True)[1]


def log_marginals(logits, mask):
    """The logarithm of each token's probability of each tag.

    Args:
        logits: `[batch, length, (1 + tags) * tags]`.
        mask: `[batch, length]`, 1 on the tokens of the chain. What is given
            for the others has no meaning.

    Returns:
        `[batch, length, tags]`.
    """
    forward = forward_states(logits, mask)
    backward = backward_states(logits, mask)
    onward = ops.concatenate(
        [backward[1:], ops.zeros_like(backward[:1])], axis=0
    )
    # Normalised here once more, which takes rounding out.
    scores = ops.log_softmax((forward + onward)[:, :, 1:], axis=-1)
    return ops.transpose(scores, (1, 0, 2))


@keras.saving.register_keras_serializable(package="keras_kd")
def chain_cross_entropy(labels, logits):
    """Minus the log-likelihood of a sentence's tags, for each of its words.

    $$L = \\frac{1}{n}
      \\left( \\log Z - \\sum_t \\psi_t(y_{t-1}, y_t) \\right)$$

    Divided by the words, it weighs as the cross-entropy of tokens does.

    Args:
        labels: `[batch, length]`; `NO_TOKEN` where a token is no part of the
            chain.
        logits: `[batch, length, (1 + tags) * tags]`.

    Returns:
        `[batch]`.
    """
    logits = ops.convert_to_tensor(logits)
    labels = ops.cast(labels, "int32")
    mask = ops.not_equal(labels, NO_TOKEN)
    log_partition = ops.logsumexp(forward_states(logits, mask)[-1], axis=-1)

    def remember(before, label):
        now = ops.where(ops.not_equal(label, NO_TOKEN), label + 1, before)
        return now, now

    tags = tag_count(logits.shape[-1])
    first = ops.zeros_like(labels[:, 0])
    states = ops.scan(remember, first, ops.transpose(labels))[1]
    before = ops.concatenate([first[None], states[:-1]], axis=0)
    chosen = ops.transpose(before) * tags + ops.maximum(labels, 0)
    scores = ops.take_along_axis(logits, chosen[:, :, None], axis=-1)[:, :, 0]
    counts = ops.cast(mask, logits.dtype)
    return ops.divide_no_nan(
        log_partition - ops.sum(scores * counts, axis=-1),
        ops.sum(counts, axis=-1),
    )


def _by_token(logits, mask):
    """Time first, in one tensor: Keras scans no two of unknown length.

    Returns:
        `[length, batch, ...]`, and the function from one token's to its
        potentials, `[batch, 1 + tags, tags]`, and mask, `[batch, 1]` booleans.
    """
    tags = tag_count(logits.shape[-1])
    mask = ops.cast(ops.cast(mask, "bool"), logits.dtype)
    tokens = ops.concatenate([logits, mask[:, :, None]], axis=-1)

    def unpack(token):
        potentials = ops.reshape(token[:, :-1], (-1, 1 + tags, tags))
        return potentials, token[:, -1:] > 0

    return ops.transpose(tokens, (1, 0, 2)), unpack

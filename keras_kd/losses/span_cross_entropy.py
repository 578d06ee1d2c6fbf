"""The loss on labels of spans: where an answer starts, and where it ends."""

import keras
from keras import ops

from keras_kd.batch import ENDS
from keras_kd.batch import NO_TOKEN
from keras_kd.batch import STARTS

# A logit that no softmax sees.
LEFT_OUT = -1e9


def over_tokens(logits, counts):
    """`[batch, length, outputs]` as `[batch, outputs, length]`, some left out.

    Args:
        logits: `[batch, length, outputs]`.
        counts: `[batch, length]`, true or 1 on the tokens that count; `None`
            for all.
    """
    logits = ops.transpose(logits, (0, 2, 1))
    if counts is None:
        return logits
    counts = ops.expand_dims(ops.cast(counts, "bool"), 1)
    return ops.where(counts, logits, ops.cast(LEFT_OUT, logits.dtype))


@keras.saving.register_keras_serializable(package="keras_kd")
def span_cross_entropy(labels, logits):
    """The cross-entropy of an answer's first and last token, one value a row.

    $$L = -\\frac{1}{2} \\left( \\log \\frac{e^{s_a}}{\\sum_i e^{s_i}} +
      \\log \\frac{e^{t_b}}{\\sum_i e^{t_i}} \\right)$$

    over the tokens $i$ that an answer may stand at, with start logits $s$, end
    logits $t$, and the answer from $a$ to $b$.

    Args:
        labels: `[batch, length]`: 1 where an answer starts, 2 where it ends, 3
            where it does both, else 0; `NO_TOKEN` where none can stand.
        logits: `[batch, length, 2]`: start and end.

    Returns:
        `[batch]`.

    Example:

    >>> values = span_cross_entropy([[-1, 1, 2]], [[[9.0, 9.0], [1.0, 0.0],
    ...                                             [1.0, 0.0]]])
    >>> round(float(values[0]), 4)
    0.6931

    Source: Devlin et al. 2019, section 4.2.
    """
    labels = ops.cast(labels, "int32")
    logits = over_tokens(
        ops.convert_to_tensor(logits), ops.not_equal(labels, NO_TOKEN)
    )
    labels = ops.maximum(labels, 0)
    wanted = ops.stack([labels % ENDS, labels // ENDS * STARTS], axis=1)
    log_probability = ops.log_softmax(logits, axis=-1)
    return -ops.mean(
        ops.sum(ops.cast(wanted, logits.dtype) * log_probability, axis=-1),
        axis=-1,
    )

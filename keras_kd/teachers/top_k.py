"""What is kept of a language model's logits: the best k, and the rest."""

import keras
from keras import ops

from keras_kd.losses.top_k_soft_targets import REST
from keras_kd.losses.top_k_soft_targets import TOP_IDS
from keras_kd.losses.top_k_soft_targets import TOP_LOGITS
from keras_kd.losses.top_k_soft_targets import log_sum_of_rest

TOP_K_OUTPUTS = (TOP_LOGITS, TOP_IDS, REST)
# Of one masked token: a logit of 2 bytes and an id of 4 each, and the rest.
BYTES_OF_EACH, BYTES_OF_REST = 6, 2


@keras.saving.register_keras_serializable(package="keras_kd")
class TopKLogits(keras.layers.Layer):
    """The k best logits, their classes, and the others in one number.

    Logits are given below the best one, which is 0, and in float16: a number
    near 0 has most digits. Classes are float32, exact up to 16,777,216, since
    that is what targets are kept in.

    Args:
        k: How many; less than there are classes.
        temperature: At which the rest is added up.
        **kwargs: As in Keras.

    Returns:
        Dictionary of `top_logits` and `top_ids`, `[..., k]`, and `rest`,
        `[...]`: the logarithm of the sum of `exp(logit / temperature)`.

    Raises:
        ValueError: There are not so many classes.

    Example:

    >>> outputs = TopKLogits(1, temperature=1.0)(ops.array([[0.0, 2.0, 0.0]]))
    >>> float(outputs["top_ids"][0, 0]), round(float(outputs["rest"][0]), 2)
    (1.0, -1.31)
    """

    def __init__(self, k, temperature, **kwargs):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.k = k
        self.temperature = temperature

    def build(self, shape):
        if not 1 <= self.k < shape[-1]:
            raise ValueError(
                f"`k` must be from 1 to {shape[-1] - 1}, below the number of "
                f"classes. Received: {self.k}."
            )

    def call(self, logits):
        logits = logits - ops.max(logits, axis=-1, keepdims=True)
        top, ids = ops.top_k(logits, self.k)
        rest = log_sum_of_rest(logits / self.temperature, ids)
        return {
            TOP_LOGITS: ops.cast(top, "float16"),
            TOP_IDS: ops.cast(ids, "float32"),
            REST: ops.cast(rest, "float16"),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "k": self.k,
            "temperature": self.temperature,
        }


def top_k_teacher(model, k, temperature):
    """A language model that gives `TopKLogits` of its logits.

    Args:
        model: Functional `keras.Model` that gives logits alone.
        k, temperature: As in `TopKLogits`.
    """
    return keras.Model(model.input, TopKLogits(k, temperature)(model.output))


def cache_bytes(tokens, k):
    """The size of the targets of so many tokens."""
    return tokens * (k * BYTES_OF_EACH + BYTES_OF_REST)

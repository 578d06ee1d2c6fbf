"""A convolution over neighbouring tokens, before the layers of a student."""

from keras import layers
from keras import ops


def convolve_tokens(x, padding_mask, size, dropout):
    """Adds to each token what it says together with its neighbours.

    One or two layers of attention, trained for some thousand steps, hardly
    learn in which order words stand; a convolution sees it at once. It is a
    dense layer on the tokens of a window, side by side, which is exported,
    quantised and pruned as others are:

    $$h_i = \\mathrm{LayerNorm}(x_i + \\mathrm{gelu}(W [x_{i-a}; \\ldots;
      x_i; \\ldots; x_{i+b}] + c)), \\quad a = \\lfloor k / 2 \\rfloor, \\;
      b = k - 1 - a$$

    Args:
        x: `[batch, length, width]`, the embeddings.
        padding_mask: `[batch, length]`, 1 on real tokens. Padding is 0 in a
            window, so that a text gives the same however far it is padded.
        size: k, the tokens of a window, 2 or more; `None` leaves `x` as it is.
        dropout: Rate on what is added.

    Returns:
        `[batch, length, width]`.

    Raises:
        ValueError: A window of less than two tokens.

    Source: Kim 2014, "Convolutional Neural Networks for Sentence
    Classification", equation 2; added to what was there as in He et al. 2016.
    """
    if size is None:
        return x
    if size < 2:
        raise ValueError(
            f"`convolution` must be 2 tokens or more, or None. Received: {size}"
        )
    real = ops.cast(ops.expand_dims(padding_mask, -1), x.dtype)
    around = [[0, 0], [size // 2, size - 1 - size // 2], [0, 0]]
    padded = ops.pad(x * real, around)
    windows = ops.concatenate(
        [padded[:, i : (i + 1 - size) or None] for i in range(size)], axis=-1
    )
    near = layers.Dense(
        x.shape[-1], activation="gelu", name="token_convolution"
    )(windows)
    near = layers.Dropout(dropout, name="token_convolution_dropout")(near)
    x = layers.Add(name="token_convolution_add")([x, near])
    return layers.LayerNormalization(
        epsilon=1e-12, name="token_convolution_layer_norm"
    )(x)

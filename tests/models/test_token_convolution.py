"""The convolution over tokens against an oracle in NumPy."""

import math

import keras
import numpy as np
import pytest

from keras_kd.models.token_convolution import convolve_tokens

LENGTH, WIDTH = 6, 4


def make(size):
    tensors = keras.Input((None, WIDTH)), keras.Input((None,), dtype="int32")
    return keras.Model(tensors, convolve_tokens(*tensors, size, 0.3))


def gelu(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def oracle(x, size, weights):
    """One text without padding, in float64."""
    kernel, bias, gamma, beta = weights
    out = np.zeros_like(x)
    for position in range(len(x)):
        window = []
        for other in range(position - size // 2, position - size // 2 + size):
            inside = 0 <= other < len(x)
            window.append(x[other] if inside else np.zeros(WIDTH))
        added = x[position] + gelu(np.concatenate(window) @ kernel + bias)
        centred = added - added.mean()
        scaled = centred / np.sqrt((centred**2).mean() + 1e-12)
        out[position] = scaled * gamma + beta
    return out


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_against_the_oracle(size):
    model = make(size)
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=w.shape) for w in model.weights]
    model.set_weights(weights)
    x = generator.normal(size=(3, LENGTH, WIDTH)).astype("float32")
    lengths = np.array([LENGTH, 3, 1])
    mask = (np.arange(LENGTH) < lengths[:, None]).astype("int32")
    received = model.predict_on_batch((x, mask))
    for row, length in enumerate(lengths):
        expected = oracle(np.float64(x[row, :length]), size, weights)
        np.testing.assert_allclose(
            received[row, :length], expected, rtol=1e-4, atol=1e-5
        )


def test_none_leaves_the_tokens_as_they_are():
    x = keras.Input((None, WIDTH))
    assert convolve_tokens(x, None, None, 0.3) is x

"""Recurrent layers without a loop, beside Keras' own."""

import keras
import numpy as np
import pytest

from keras_kd.export.unrolled_recurrence import UnrolledRecurrence
from keras_kd.export.unrolled_recurrence import with_unrolled_recurrence
from keras_kd.models.recurrent import recurrent_student

LENGTH = 7


def make_layer(kind, **options):
    layer = keras.layers.Bidirectional(
        kind(5, return_sequences=True, **options)
    )
    layer.build((1, None, 3))
    generator = np.random.default_rng(0)
    # Biases are zeros at first, and would not be missed.
    layer.set_weights(
        [generator.normal(0, 0.7, x.shape) for x in layer.get_weights()]
    )
    return layer


@pytest.mark.parametrize("kind", [keras.layers.GRU, keras.layers.LSTM])
@pytest.mark.parametrize("length", [0, 1, 4, LENGTH, None])
def test_it_gives_what_keras_gives(kind, length):
    layer = make_layer(kind)
    x = np.random.default_rng(1).normal(size=(1, LENGTH, 3)).astype("float32")
    if length is None:
        mask, real = None, LENGTH
        expected = layer(x).numpy()
    else:
        mask, real = np.arange(LENGTH)[np.newaxis] < length, length
        # Keras is asked about the text alone: what a mask does is not its word.
        expected = np.zeros((1, 0, 10))
        if length:
            expected = layer(x[:, :length]).numpy()
    received = UnrolledRecurrence(layer)(x, mask=mask).numpy()
    np.testing.assert_allclose(received[:, :real], expected, atol=1e-6)
    assert not np.any(received[:, real:])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_a_student_of_two_layers(cell):
    student = recurrent_student(
        20, 3, cell=cell, num_layers=2, units=4, embedding_dim=3
    )
    unrolled = with_unrolled_recurrence(student)
    ids = np.array([[5, 6, 7, 8, 0, 0, 0]])
    features = {"token_ids": ids, "padding_mask": (ids > 0).astype("int32")}
    np.testing.assert_allclose(unrolled(features), student(features), atol=1e-6)
    kinds = [type(layer) for layer in unrolled.layers]
    assert kinds.count(UnrolledRecurrence) == 2
    assert keras.layers.Bidirectional not in kinds


def test_a_model_without_loops_is_left_alone(linear_student):
    assert with_unrolled_recurrence(linear_student) is linear_student


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.GRU(4, name="lone"),
        keras.layers.Bidirectional(
            keras.layers.GRU(4, activation="relu", return_sequences=True),
            name="lone",
        ),
    ],
)
def test_other_recurrent_layers_are_refused(layer):
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, layer(inputs))
    with pytest.raises(ValueError, match="Received: .'lone'"):
        with_unrolled_recurrence(model)

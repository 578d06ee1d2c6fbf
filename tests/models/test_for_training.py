"""What is trained faster: RNNs in blocks have Keras' numbers and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.distiller import Distiller
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models import for_training as module
from keras_kd.models.bag import bag_student
from keras_kd.models.block_gru import BlockGRU
from keras_kd.models.block_lstm import BlockLSTM
from keras_kd.models.for_training import faster_class
from keras_kd.models.for_training import for_training
from keras_kd.models.recurrent import recurrent_student

ROWS, LENGTH, WIDTH, UNITS = 5, 9, 3, 4
CELLS = [keras.layers.GRU, keras.layers.LSTM]


def bidirectional(cell, **options):
    layer = keras.layers.Bidirectional(
        cell(UNITS, return_sequences=True, **options)
    )
    layer.build((None, None, WIDTH))
    generator = np.random.default_rng(0)
    for weight in layer.weights:
        if weight.name != "seed_generator_state":
            weight.assign(generator.normal(size=weight.shape))
    return layer


def right_padded(lengths):
    return np.arange(LENGTH) < np.array(lengths)[:, None]


def states_and_gradients(layer, own, mask):
    generator = np.random.default_rng(1)
    x = tf.constant(generator.normal(size=(ROWS, LENGTH, WIDTH)), "float32")
    weights = [weight.value for weight in own.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(x)
        states = layer(x, mask=mask)
        if mask is not None:  # Keras repeats the last states in the padding.
            states *= tf.cast(mask, "float32")[..., None]
        loss = tf.reduce_sum(states**3)
    return [states, *tape.gradient(loss, [x, *weights])]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("lengths", [None, [9, 1, 5, 8, 2], [0, 3, 4, 2, 1]])
@pytest.mark.parametrize("graph", [True, False])
def test_states_and_gradients_are_those_of_keras(
    cell, lengths, use_bias, graph
):
    layer = bidirectional(cell, use_bias=use_bias)
    mask = None if lengths is None else tf.constant(right_padded(lengths))
    block = faster_class(layer)(layer)
    if graph:
        block = tf.function(block)
    expected = states_and_gradients(layer, layer, mask)
    received = states_and_gradients(block, layer, mask)
    for one, other in zip(received, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert all(np.abs(values).max() > 1e-3 for values in expected)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("graph", [True, False])
def test_padding_elsewhere_is_an_error(cell, graph):
    layer = bidirectional(cell)
    block = faster_class(layer)(layer)
    call = tf.function(block) if graph else block
    x, mask = tf.zeros((1, 4, WIDTH)), tf.constant([[False, True, True, True]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="on the right of"):
        call(x, mask=mask)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.1},
        {"recurrent_dropout": 0.1},
        {"activation": "relu"},
        {"dtype": "mixed_bfloat16"},
        {"activity_regularizer": "l2"},
    ],
    ids=str,
)
def test_layers_that_differ_are_left_to_keras(cell, options):
    assert faster_class(bidirectional(cell, **options)) is None


def test_which_layers_are_replaced():
    assert faster_class(bidirectional(keras.layers.GRU)) is BlockGRU
    assert faster_class(bidirectional(keras.layers.LSTM)) is BlockLSTM
    assert (
        faster_class(bidirectional(keras.layers.GRU, reset_after=False)) is None
    )
    assert faster_class(keras.layers.GRU(3, return_sequences=True)) is None


def test_model_without_any_stays_itself():
    student = bag_student(20, 2, embedding_dim=4)
    assert for_training(student) is student


def test_rows_unknown_and_known_in_one_process():
    """What XLA compiles is shared by all students of the same widths."""
    x = np.random.default_rng(0).normal(size=(7, LENGTH, WIDTH))
    signature = [tf.TensorSpec([None, None, WIDTH])]
    for signature in (signature, None):
        layer = bidirectional(keras.layers.GRU)
        block = tf.function(BlockGRU(layer), input_signature=signature)
        variable = layer.trainable_weights[0].value
        with tf.GradientTape() as tape:
            states = block(tf.constant(x, "float32"))
        assert np.abs(tape.gradient(states, variable)).max() > 0
        np.testing.assert_allclose(states, layer(x), atol=1e-5)


def test_policy_is_that_of_the_layer():
    layers = [bidirectional(cell) for cell in CELLS]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        blocks = [faster_class(layer)(layer) for layer in layers]
    finally:
        keras.config.set_dtype_policy(before)
    assert [block.compute_dtype for block in blocks] == ["float32"] * 2


def make_distiller(cell, **options):
    keras.utils.set_random_seed(0)
    student = recurrent_student(
        20, 2, cell, units=4, embedding_dim=4, dropout=0.3
    )
    distiller = Distiller(student, losses=[SoftTargets(2.0)], **options)
    distiller.compile(keras.optimizers.Adam(0.01))
    return distiller


@pytest.mark.parametrize(
    "quantization", [None, pytest.param("dynamic", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_training_is_that_of_keras_loops(
    monkeypatch, cell, quantization, tmp_path
):
    generator = np.random.default_rng(0)
    x = {
        "token_ids": generator.integers(1, 20, (ROWS, LENGTH)).astype("int32"),
        "padding_mask": right_padded([9, 1, 5, 8, 2]).astype("int32"),
    }
    logits = generator.normal(size=(ROWS, 2)).astype("float32")
    weights = []
    for replace in (for_training, lambda model: model):
        monkeypatch.setattr(module, "for_training", replace)
        distiller = make_distiller(cell, quantization=quantization)
        for _ in range(3):
            distiller.train_on_batch(x, {"teacher": {"logits": logits}})
        weights.append(distiller.student.get_weights())
        distiller.student.save(tmp_path / "student.keras")
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    kinds = {type(layer).__module__.split(".")[0] for layer in loaded.layers}
    assert kinds == {"keras"}

"""Encoders that are trained in fewer operations: Keras' numbers, gradients."""

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.distiller import Distiller
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models import for_training as module
from keras_kd.models.for_training import faster_class
from keras_kd.models.for_training import for_training
from keras_kd.models.students import build_student
from keras_kd.models.trained_encoder import TrainedEncoder
from keras_kd.models.trained_encoder import draw

ROWS, LENGTH, WIDTH = 3, 7, 8
MASK = np.arange(LENGTH) < np.array([7, 1, 4])[:, None]


def encoder(**options):
    options = {"num_heads": 2, "layer_norm_epsilon": 1e-3, **options}
    layer = keras_hub.layers.TransformerEncoder(16, **options)
    layer.build((None, None, WIDTH))
    generator = np.random.default_rng(0)
    for weight in layer.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    return layer


def random_states(layer):
    return [v for v in layer.variables if v.name == "seed_generator_state"]


def states_and_gradients(layer, own, training=True, **masks):
    generator = np.random.default_rng(1)
    x = tf.constant(generator.normal(size=(ROWS, LENGTH, WIDTH)), "float32")
    weights = [
        weight.value
        for weight in own.trainable_weights
        if "key/bias" not in weight.path  # Softmax takes it away.
    ]
    with tf.GradientTape() as tape:
        tape.watch(x)
        states = layer(x, training=training, **masks)
        loss = tf.reduce_sum(states**3)
    return [states, *tape.gradient(loss, [x, *weights])]


def assert_same(received, expected):
    for one, other in zip(received, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, atol=2e-5)
    assert all(np.abs(values).max() > 1e-2 for values in expected)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("masks", [(), ("padding",), ("padding", "attention")])
def test_states_and_gradients_are_those_of_the_layer(activation, graph, masks):
    layer = encoder(activation=activation)
    upper = np.tri(LENGTH, dtype=bool)[None].repeat(ROWS, axis=0)
    given = {"padding": MASK, "attention": upper}
    given = {f"{name}_mask": tf.constant(given[name]) for name in masks}
    other = TrainedEncoder(layer)
    if graph:
        other = tf.function(other)
    expected = states_and_gradients(layer, layer, **given)
    assert_same(states_and_gradients(other, layer, **given), expected)


def test_gradients_of_what_dropout_has_drawn():
    """Central differences, with the same draws each time."""
    layer = encoder(dropout=0.4)
    other = TrainedEncoder(layer)
    states = random_states(layer)
    start = [np.array(state) for state in states]
    x = np.random.default_rng(1).normal(size=(ROWS, LENGTH, WIDTH))
    way = np.random.default_rng(2).normal(size=x.shape)

    def loss(x):
        for state, value in zip(states, start):
            state.assign(value)
        return tf.reduce_sum(other(x, training=True) ** 2 * way)

    x = tf.constant(x, "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    gradient = tape.gradient(value, x)
    along = np.random.default_rng(3).normal(size=x.shape).astype("float32")
    along /= np.linalg.norm(along)
    step = 1e-2 * along
    slope = (loss(x + step) - loss(x - step)) / 2e-2
    assert abs(slope) > 1
    np.testing.assert_allclose(
        tf.reduce_sum(gradient * along), slope, rtol=0.01
    )


def test_dropout_keeps_the_mean_and_its_share():
    layer = encoder(dropout=0.25)
    dropout = layer._self_attention_dropout
    kept, scale = (
        np.asarray(part) for part in draw(tf.constant([1000, 333]), dropout)
    )
    assert kept.shape == (1000, 333) and set(np.unique(kept)) == {0.0, 1.0}
    assert scale == pytest.approx(4 / 3)
    # Five standard deviations.
    assert abs(kept.mean() - 0.75) < 5 * (0.25 * 0.75 / kept.size) ** 0.5
    again, _ = draw(tf.constant([1000, 333]), dropout)
    assert abs(np.corrcoef(kept.ravel(), np.ravel(again))[0, 1]) < 0.01
    rows = np.corrcoef(kept[:, :-1].ravel(), kept[:, 1:].ravel())[0, 1]
    assert abs(rows) < 0.01


def test_states_of_dropout_go_on_as_in_keras():
    layers = [encoder(dropout=0.1), encoder(dropout=0.1)]
    x = tf.zeros((ROWS, LENGTH, WIDTH))
    counts = []
    for call, layer in zip((layers[0], TrainedEncoder(layers[1])), layers):
        for training in (True, False, True):
            call(x, training=training)
        counts.append([int(state[1]) for state in random_states(layer)])
    assert counts[0] == counts[1] and sum(counts[0]) == 6


def test_without_training_nothing_is_dropped():
    layer = encoder(dropout=0.5)
    received = states_and_gradients(TrainedEncoder(layer), layer, False)
    assert_same(received, states_and_gradients(layer, layer, False))


@pytest.mark.parametrize(
    "options",
    [
        {"normalize_first": True},
        {"dtype": "mixed_bfloat16"},
        {"dropout": 1},
        {"num_heads": 3},
        {"activity_regularizer": "l2"},
    ],
    ids=str,
)
def test_layers_that_differ_are_left_to_keras(options):
    assert faster_class(encoder(**options)) is None
    assert faster_class(encoder()) is TrainedEncoder


def test_a_model_that_reads_the_scores_is_left_to_keras():
    states = keras.Input((None, WIDTH))
    layer = keras_hub.layers.TransformerEncoder(16, num_heads=2)
    outputs = layer(states, return_attention_scores=True)
    model = keras.Model(states, outputs)
    assert for_training(model) is model


@pytest.mark.parametrize(
    "kind, options",
    [
        ("transformer", {"layer_losses": False}),
        ("bert", {"layer_losses": False}),
        ("bert", {"layer_losses": True}),
        ("transformer", {"quantization": "dynamic"}),
    ],
)
def test_training_is_that_of_keras_layers(kind, options, monkeypatch):
    from keras_kd.losses.hidden_state_mse import HiddenStateMSE

    options = dict(options)
    generator = np.random.default_rng(0)
    names = ("token_ids", "padding_mask", "segment_ids")
    arrays = (
        generator.integers(1, 20, (ROWS, LENGTH)) * MASK,
        MASK,
        np.zeros_like(MASK),
    )
    x = {name: array.astype("int32") for name, array in zip(names, arrays)}
    logits = generator.normal(size=(ROWS, 2)).astype("float32")
    with_layers = options.pop("layer_losses", False)
    weights = []
    for replace in (for_training, lambda model: model):
        monkeypatch.setattr(module, "for_training", replace)
        keras.utils.set_random_seed(0)
        student, teacher = (
            build_student(kind, 20, 2, 2, 8, dropout=0, heads=2)
            for _ in range(2)
        )
        losses = [SoftTargets(2.0)]
        if with_layers:
            losses.append(HiddenStateMSE(layers=[(1, 1)]))
        distiller = Distiller(
            student, teacher if with_layers else None, losses, **options
        )
        distiller.compile(keras.optimizers.SGD(0.1))
        own = {name: x[name] for name in student.input}
        targets = {} if with_layers else {"teacher": {"logits": logits}}
        for _ in range(3):
            distiller.train_on_batch(own, targets)
        weights.append(student.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)

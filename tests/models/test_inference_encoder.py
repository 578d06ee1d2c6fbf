"""Encoders that are not trained: the same numbers in fewer operations."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_kd.inference import keras_runtime
from keras_kd.models.inference_encoder import InferenceEncoder
from keras_kd.models.inference_encoder import for_inference
from keras_kd.models.layer_outputs import layer_outputs

ROWS, LENGTH = 4, 9


@pytest.fixture
def features():
    generator = np.random.default_rng(0)
    lengths = np.array([9, 1, 4, 7])
    mask = (np.arange(LENGTH) < lengths[:, None]).astype("int32")
    return {
        "token_ids": generator.integers(1, 50, (ROWS, LENGTH)) * mask,
        "segment_ids": generator.integers(0, 2, (ROWS, LENGTH)) * mask,
        "padding_mask": mask,
    }


def backbone(**options):
    model = keras_hub.models.BertBackbone(
        vocabulary_size=50,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
        max_sequence_length=16,
        **options,
    )
    randomize(model)
    return model


def randomize(model):
    generator = np.random.default_rng(1)
    for weight in model.trainable_weights:
        # Not small: every part of a layer has to matter.
        weight.assign(generator.normal(size=weight.shape))


def assert_same(model, features, replaced, atol=1e-5):
    fast = for_inference(model)
    kinds = [type(layer) for layer in fast._flatten_layers()]
    assert kinds.count(InferenceEncoder) == replaced
    expected, received = model(features), fast(features)
    if not isinstance(expected, dict):
        expected, received = {"logits": expected}, {"logits": received}
    assert list(expected) == list(received)
    for name, values in expected.items():
        values = np.asarray(values)
        assert np.asarray(received[name]).dtype == values.dtype
        np.testing.assert_allclose(received[name], values, atol=atol)
        assert np.ptp(values) > 0.1


@pytest.mark.parametrize("activation", ["gelu", "relu", "tanh"])
def test_the_outputs_are_those_of_the_layer(features, activation):
    states = keras.Input((None, 8))
    mask = keras.Input((None,), dtype="int32")
    layer = keras_hub.layers.TransformerEncoder(
        16, num_heads=4, activation=activation, layer_norm_epsilon=1e-3
    )
    model = keras.Model([states, mask], layer(states, padding_mask=mask))
    randomize(model)
    x = np.random.default_rng(2).normal(size=(ROWS, LENGTH, 8))
    inputs = [x.astype("float32"), features["padding_mask"]]
    assert_same(model, inputs, replaced=1)
    unmasked = keras.Model(states, layer(states))
    assert_same(unmasked, inputs[0], replaced=1)
    seen = keras.Input((None, None), dtype="bool")
    both = layer(states, padding_mask=mask, attention_mask=seen)
    before = np.tri(LENGTH, dtype=bool)[None].repeat(ROWS, axis=0)
    masked = keras.Model([states, mask, seen], both)
    assert_same(masked, [*inputs, before], replaced=1)


def test_a_kerashub_model_and_a_model_in_a_model(features):
    model = backbone()
    assert_same(model, features, replaced=2)
    classifier = keras_hub.models.BertTextClassifier(model, num_classes=3)
    randomize(classifier)
    assert_same(classifier, features, replaced=2)


def test_padding_makes_no_difference(features):
    fast = for_inference(backbone())
    whole = np.asarray(fast(features)["sequence_output"])
    alone = fast({name: x[2:3, :4] for name, x in features.items()})
    np.testing.assert_allclose(
        whole[2:3, :4], alone["sequence_output"], atol=1e-5
    )


def test_a_runtime_sees_what_is_trained_meanwhile(features):
    model = backbone()
    names, predict = keras_runtime(model)
    before = predict(features)["sequence_output"]
    for weight in model.trainable_weights:
        weight.assign(-0.5 * weight)
    after = predict(features)["sequence_output"]
    np.testing.assert_allclose(
        after, model(features)["sequence_output"], atol=1e-5
    )
    assert np.abs(after - before).max() > 0.1


def test_its_states_and_attention_are_seen(features):
    model = backbone()
    names = ["hidden_states/1", "hidden_states/2", "attention_scores/2"]
    expected = layer_outputs(model, names)(features)
    received = layer_outputs(for_inference(model), names)(features)
    for name in names:
        np.testing.assert_allclose(received[name], expected[name], atol=1e-5)


def test_other_models_are_given_back():
    half = backbone(dtype="mixed_bfloat16")
    assert for_inference(half) is half
    states = keras.Input((None, 8))
    others = [
        keras_hub.layers.TransformerEncoder(16, **{"num_heads": 2, **options})
        for options in (
            {"normalize_first": True},
            {"num_heads": 3},
            {"activity_regularizer": "l2"},
        )
    ]
    for layer in (keras.layers.Dense(2), *others):
        model = keras.Model(states, layer(states))
        assert for_inference(model) is model
    subclassed = _Subclassed()
    assert for_inference(subclassed) is subclassed


class _Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder = keras_hub.layers.TransformerEncoder(16, num_heads=2)

    def call(self, x):
        return self.encoder(x)


def test_a_mask_that_keras_hands_on():
    """Padding is said by the embedding alone, to both layers."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None,), dtype="int32", name="token_ids")
    states = keras.layers.Embedding(9, 4, mask_zero=True)(inputs)
    for _ in range(2):
        states = keras_hub.layers.TransformerEncoder(8, 2)(states)
    model = keras.Model(inputs, states)
    ids = np.array([[3, 5, 2, 0, 0], [1, 2, 3, 4, 5]])
    expected, result = (
        keras.ops.convert_to_numpy(one(ids))[ids != 0]
        for one in (model, for_inference(model))
    )
    np.testing.assert_allclose(result, expected, atol=1e-5)

"""The blocks of KerasHub's backbones, and of models with a `Sequential`."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_kd.models.layer_outputs import block_count
from keras_kd.models.layer_outputs import layer_outputs
from keras_kd.models.recurrent import recurrent_student

SIZES = {
    "vocabulary_size": 9,
    "num_layers": 2,
    "hidden_dim": 8,
    "intermediate_dim": 16,
}
HEADS = {**SIZES, "num_heads": 2}
GROUPED = {**SIZES, "num_query_heads": 2, "num_key_value_heads": 1}
ENCODER_DECODERS = {"BartBackbone": HEADS, "T5Backbone": HEADS}
BACKBONES = {
    "BertBackbone": HEADS,
    "RobertaBackbone": HEADS,
    "DistilBertBackbone": HEADS,
    "AlbertBackbone": {**HEADS, "embedding_dim": 4},
    "ElectraBackbone": {
        **{n: v for n, v in HEADS.items() if n != "vocabulary_size"},
        "vocab_size": 9,
        "embedding_dim": 4,
    },
    "DebertaV3Backbone": HEADS,
    "FNetBackbone": SIZES,
    "GPT2Backbone": HEADS,
    "LlamaBackbone": GROUPED,
    **ENCODER_DECODERS,
}
TEXT = {
    "token_ids": [[1, 2, 3, 0], [4, 5, 0, 0]],
    "padding_mask": [[1, 1, 1, 0], [1, 1, 0, 0]],
    "segment_ids": [[0, 0, 1, 0], [0, 1, 0, 0]],
}
# Another length than that of the text which is read.
WRITTEN = {
    "decoder_token_ids": [[6, 7, 8], [2, 3, 0]],
    "decoder_padding_mask": [[1, 1, 1], [1, 1, 0]],
}
INPUTS = {**TEXT, **{f"encoder_{n}": x for n, x in TEXT.items()}, **WRITTEN}


def backbone(family):
    keras.utils.set_random_seed(0)
    return getattr(keras_hub.models, family)(**BACKBONES[family])


def inputs_of(model):
    return {name: np.array(INPUTS[name], "int32") for name in model.input}


def calls(model):
    """The tensors that each call of the model's own layers reads and gives.

    Of ALBERT one layer is called again and again.
    """
    if hasattr(model, "encoder_transformer_layers"):
        layers = [
            *model.encoder_transformer_layers,
            *model.decoder_transformer_layers,
        ]
    else:
        layers = keras.tree.flatten(model.transformer_layers)
    return [
        (node.input_tensors[0], node.output_tensors[0])
        for layer in layers
        for node in layer._inbound_nodes
    ]


@pytest.mark.parametrize("family", BACKBONES)
def test_hidden_states_are_those_of_the_backbones_own_layers(family):
    model = backbone(family)
    tensors = calls(model)
    blocks = 4 if family in ENCODER_DECODERS else 2
    assert len(tensors) == blocks == block_count(model)
    expected = keras.Model(
        model.input, [tensors[0][0], *(given for _, given in tensors)]
    )(inputs_of(model))
    names = [f"hidden_states/{i}" for i in range(blocks + 1)]
    observed = layer_outputs(model, [*names, "embeddings"])(inputs_of(model))
    for name, states in zip([*names, "embeddings"], [*expected, expected[0]]):
        np.testing.assert_allclose(observed[name], states, atol=1e-6)
    # No two of them are alike: a number that is off by one is seen.
    for before, after in zip(expected[: blocks // 2], expected[1:]):
        assert np.abs(np.asarray(before) - np.asarray(after)).max() > 1e-3


def test_encoder_blocks_come_before_those_of_the_decoder():
    model = backbone("BartBackbone")
    outer = keras.Model(model.input, model(model.input))
    names = ["hidden_states/2", "hidden_states/4"]
    attention = ["attention_probabilities/1", "attention_probabilities/3"]
    observed = layer_outputs(outer, [*names, *attention])(inputs_of(model))
    for name, output in zip(names, ("encoder", "decoder")):
        np.testing.assert_allclose(
            observed[name], observed[f"{output}_sequence_output"], atol=1e-6
        )
    # A decoder's own tokens, of which none attends to a later one.
    encoder, decoder = (np.asarray(observed[name]) for name in attention)
    assert (encoder.shape, decoder.shape) == ((2, 2, 4, 4), (2, 2, 3, 3))
    assert np.triu(decoder, k=1).max() == 0 < np.triu(encoder, k=1).max()


@pytest.mark.parametrize(
    "family", ["DebertaV3Backbone", "FNetBackbone", "LlamaBackbone"]
)
def test_attention_of_another_class_is_refused(family):
    with pytest.raises(ValueError, match="no output 'queries/1'") as error:
        layer_outputs(backbone(family), ["queries/1"])
    message = str(error.value)
    assert "2 blocks; attention can be read of none" in message
    assert "'hidden_states/0' to 'hidden_states/2'" in message
    assert "attention_scores" not in message


def in_a_model(*layers, mask_zero=False):
    """Token ids through embeddings and a `Sequential` with some layers."""
    keras.utils.set_random_seed(0)
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    states = keras.layers.Embedding(9, 8, mask_zero=mask_zero)(tokens)
    inner = keras.Sequential(layers, name="inner")
    states = keras.layers.GlobalAveragePooling1D()(inner(states))
    return keras.Model({"token_ids": tokens}, keras.layers.Dense(2)(states))


def encoders(count):
    return [keras_hub.layers.TransformerEncoder(8, 2) for _ in range(count)]


def recurrent_layers():
    return [
        keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))
        for _ in range(2)
    ]


@pytest.mark.parametrize("mask_zero", [False, True])
@pytest.mark.parametrize("make", [lambda: encoders(3), recurrent_layers])
def test_layers_of_a_sequential_are_blocks_of_their_own(make, mask_zero):
    layers = make()
    model = in_a_model(*layers, mask_zero=mask_zero)
    assert block_count(model) == len(layers)
    names = [f"hidden_states/{i}" for i in range(len(layers) + 1)]
    path = f"layers/inner/{layers[0].name}"
    tokens = np.array(TEXT["token_ids"])
    observed = layer_outputs(model, [*names, path])({"token_ids": tokens})
    states = model.layers[1](tokens)
    for name, layer in zip(names, [None, *layers]):
        states = states if layer is None else layer(states)
        np.testing.assert_allclose(observed[name], states, atol=1e-6)
    np.testing.assert_array_equal(observed[path], observed[names[1]])
    np.testing.assert_allclose(
        observed["logits"], model({"token_ids": tokens}), atol=1e-6
    )


def test_a_model_that_is_a_sequential():
    model = keras.Sequential([keras.Input((4, 8), name="states"), *encoders(2)])
    states = np.random.default_rng(0).normal(size=(2, 4, 8)).astype("float32")
    observed = layer_outputs(model, ["hidden_states/1"])(states)
    np.testing.assert_allclose(
        observed["hidden_states/1"], model.layers[0](states), atol=1e-6
    )


class Mixer(keras.layers.Layer):
    """A layer with attention, or with something else in its place."""

    def __init__(self, with_attention, **kwargs):
        super().__init__(**kwargs)
        self.mixing = keras.layers.Dense(8)
        if with_attention:
            self.mixing = keras.layers.MultiHeadAttention(2, 4)

    def call(self, states):
        if isinstance(self.mixing, keras.layers.Dense):
            return self.mixing(states)
        return self.mixing(states, value=states)


def test_layers_of_one_kind_are_blocks_together():
    # As in Qwen3.5, of which every fourth layer has attention.
    model = in_a_model(Mixer(False), Mixer(True), Mixer(False))
    assert block_count(model) == 3
    assert (
        "attention_scores/2"
        in layer_outputs(model, ["attention_scores/2"]).output
    )
    with pytest.raises(ValueError, match=r"attention can be read of \[2\]"):
        layer_outputs(model, ["attention_scores/1"])


def test_pooling_by_attention_leaves_the_recurrent_layers_the_blocks():
    student = recurrent_student(9, 2, num_layers=2, units=3)
    states = student.get_layer("recurrent_layer_1").output
    pooled = keras.layers.Attention()([states[:, :1], states])
    assert block_count(keras.Model(student.input, pooled)) == 2


def test_layers_called_with_keywords():
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    states = keras.layers.Embedding(9, 8)(inputs=tokens)
    mask = keras.ops.not_equal(tokens, 0)
    layer = encoders(1)[0]
    states = layer(padding_mask=mask, inputs=states)
    pooled = keras.layers.Dropout(0.1)(inputs=states[:, 0])
    model = keras.Model(
        {"token_ids": tokens}, keras.layers.Dense(2)(inputs=pooled)
    )
    outer = keras.Model(model.input, model(inputs=model.input))
    names = ["hidden_states/0", "queries/1", "pooled"]
    observed = layer_outputs(outer, names).output
    assert observed["hidden_states/0"].shape == (None, None, 8)
    assert observed["queries/1"].shape == (None, None, 2, 4)
    assert observed["pooled"].shape == (None, 8)


def test_a_model_without_blocks_is_offered_none():
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    states = keras.layers.Embedding(9, 8)(tokens)
    model = keras.Model({"token_ids": tokens}, states)
    assert block_count(model) == 0
    for name in ("hidden_states/0", "attention_scores/1", "pooled"):
        with pytest.raises(ValueError, match="It has 0 blocks") as error:
            layer_outputs(model, [name])
        there = str(error.value).partition("Take")[2]
        assert "layers/" in there
        for kind in ("hidden_states", "attention", "pooled"):
            assert kind not in there

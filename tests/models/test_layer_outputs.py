"""What layers give, by name: KerasHub's models, nested ones, students."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_kd.models.layer_outputs import block_count
from keras_kd.models.layer_outputs import layer_outputs
from keras_kd.models.recurrent import recurrent_student
from keras_kd.models.transformer import transformer_student

INPUTS = {
    "token_ids": np.array([[1, 2, 3, 0], [4, 5, 0, 0]], "int32"),
    "padding_mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0]], "int32"),
}
SEGMENTS = {**INPUTS, "segment_ids": np.zeros((2, 4), "int32")}


@pytest.fixture
def student():
    keras.utils.set_random_seed(0)
    return transformer_student(9, 2, num_layers=3, hidden_dim=8, num_heads=2)


@pytest.fixture
def classifier():
    """KerasHub's, in which the backbone is a model inside of a model."""
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=9,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    return keras_hub.models.BertTextClassifier(backbone, num_classes=3)


def values(model, names, inputs=INPUTS, training=False):
    outputs = layer_outputs(model, names)(inputs, training=training)
    return {name: np.asarray(output) for name, output in outputs.items()}


def test_the_models_own_outputs_stay(student, classifier):
    for model, inputs in ((student, INPUTS), (classifier, SEGMENTS)):
        observed = values(
            model, ["hidden_states/1", "attention_scores/2"], inputs
        )
        np.testing.assert_array_equal(observed["logits"], model(inputs))


def test_hidden_states_are_those_of_the_layers(student):
    names = [f"hidden_states/{i}" for i in range(4)]
    observed = values(student, [*names, "embeddings"])
    layers = ["embeddings_dropout"] + [
        f"transformer_layer_{i}" for i in range(3)
    ]
    expected = keras.Model(
        student.input, [student.get_layer(name).output for name in layers]
    )(INPUTS)
    for name, states in zip(names, expected):
        np.testing.assert_array_equal(observed[name], states)
    np.testing.assert_array_equal(observed["embeddings"], expected[0])


def softmax(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_attention_is_that_of_the_definition(student):
    kinds = ("attention_scores", "attention_probabilities")
    kinds += ("queries", "keys", "values")
    observed = values(
        student, [f"{kind}/2" for kind in kinds] + ["hidden_states/1"]
    )
    scores, probabilities, queries, keys, attended = (
        observed[f"{kind}/2"] for kind in kinds
    )
    attention = student.get_layer("transformer_layer_1")._self_attention_layer
    states = observed["hidden_states/1"]
    for got, dense in (
        (queries, attention.query_dense),
        (keys, attention.key_dense),
        (attended, attention.value_dense),
    ):
        expected = np.einsum("btd,dnh->btnh", states, dense.kernel)
        np.testing.assert_allclose(got, expected + dense.bias, atol=1e-6)
    expected = np.einsum("btnh,bsnh->bnts", queries, keys) / np.sqrt(4)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    mask = INPUTS["padding_mask"][:, None, None, :]
    expected = softmax(np.where(mask, scores, -1e9))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert (probabilities[:, :, :, 3] == 0).all()


def test_layers_inside_of_a_model_inside(classifier):
    path = "layers/bert_backbone/transformer_layer_1"
    observed = values(classifier, ["hidden_states/2", path], SEGMENTS)
    expected = classifier.backbone(SEGMENTS)["sequence_output"]
    np.testing.assert_array_equal(observed["hidden_states/2"], expected)
    np.testing.assert_array_equal(observed[path], expected)
    assert block_count(classifier) == 2


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("RobertaBackbone", {}),
        ("DistilBertBackbone", {}),
        ("XLMRobertaBackbone", {}),
        ("ElectraBackbone", {"embedding_dim": 8, "vocab_size": 9}),
        ("AlbertBackbone", {"embedding_dim": 4}),
    ],
)
def test_every_bert_like_backbone(family, settings):
    sizes = {
        "num_layers": 2,
        "num_heads": 2,
        "hidden_dim": 8,
        "intermediate_dim": 16,
        **settings,
    }
    if "vocab_size" not in sizes:
        sizes["vocabulary_size"] = 9
    model = getattr(keras_hub.models, family)(**sizes)
    inputs = {name: SEGMENTS[name] for name in model.input}
    observed = values(model, ["hidden_states/2", "queries/1"], inputs)
    outputs = model(inputs)
    if isinstance(outputs, dict):
        outputs = outputs["sequence_output"]
    np.testing.assert_array_equal(observed["hidden_states/2"], outputs)
    assert observed["queries/1"].shape == (2, 4, 2, 4)


def test_causal_decoders():
    model = keras_hub.models.GPT2Backbone(
        vocabulary_size=9,
        num_layers=2,
        num_heads=2,
        hidden_dim=8,
        intermediate_dim=16,
    )
    observed = values(model, ["attention_probabilities/1"])
    # No token attends to a later one.
    probabilities = observed["attention_probabilities/1"]
    assert np.triu(probabilities, k=1).max() == 0
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-6)


def test_recurrent_students_have_blocks_too():
    student = recurrent_student(9, 2, num_layers=2, units=3)
    names = ["hidden_states/0", "hidden_states/2", "pooled"]
    observed = values(student, names)
    assert observed["hidden_states/0"].shape[:2] == (2, 4)
    assert observed["hidden_states/2"].shape == (2, 4, 6)
    kernel, bias = student.get_layer("logits").weights
    np.testing.assert_allclose(
        observed["pooled"] @ kernel + bias, student(INPUTS), atol=1e-6
    )


def test_in_training_the_dropout_is_the_models_own():
    keras.utils.set_random_seed(0)
    student = transformer_student(
        9, 2, num_layers=1, hidden_dim=8, num_heads=2, dropout=0.5
    )
    states = [v for v in student.variables if "seed" in v.path]
    before = [np.array(state) for state in states]
    expected = np.asarray(student(INPUTS, training=True))
    for state, value in zip(states, before):
        state.assign(value)
    observed = values(student, ["attention_scores/1", "pooled"], training=True)
    np.testing.assert_array_equal(observed["logits"], expected)
    assert len(layer_outputs(student, ["pooled"]).variables) == len(
        student.variables
    )


def test_the_model_is_left_as_it_was(student):
    config, before = student.get_config(), student(INPUTS)
    values(student, ["attention_scores/1", "values/3"])
    assert student.get_config() == config
    np.testing.assert_array_equal(student(INPUTS), before)
    attention = student.get_layer("transformer_layer_0")._self_attention_layer
    assert "_compute_attention" not in vars(attention)


@pytest.mark.parametrize(
    "name",
    ["hidden_states/4", "attention_scores/0", "hidden", "layers/nothing"],
)
def test_unknown_names_say_what_there_is(student, name):
    with pytest.raises(ValueError, match="no output") as error:
        layer_outputs(student, [name])
    for word in (f"'{name}'", "3 blocks", "'pooled'", "'token_embedding'"):
        assert word in str(error.value)


def test_attention_of_a_model_without_any():
    student = recurrent_student(9, 2)
    with pytest.raises(ValueError, match="1 blocks; .* read of none"):
        layer_outputs(student, ["queries/1"])

"""The attention student against an oracle in NumPy."""

import keras
import numpy as np
import pytest

from keras_kd.models.attention import attention_student

VOCABULARY, WIDTH, HEADS, LENGTH = 20, 6, 2, 7


def make(**options):
    settings = {"num_layers": 2, "hidden_dim": WIDTH, "num_heads": HEADS}
    model = attention_student(
        VOCABULARY, 3, **{**settings, "max_length": LENGTH, **options}
    )
    generator = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(generator.normal(scale=0.7, size=variable.shape))
    return model


def rows(count=4, length=LENGTH):
    generator = np.random.default_rng(2)
    lengths = np.array([length, 1, *generator.integers(2, length, count - 2)])
    mask = (np.arange(length) < lengths[:, None]).astype("int32")
    tokens = generator.integers(1, VOCABULARY, (count, length)).astype("int32")
    return {"token_ids": tokens, "padding_mask": mask}


def weights_by_name(model):
    return {v.path: np.array(v.value, "float64") for v in model.variables}


def normalized(x, weights, name):
    x = x - x.mean()
    x = x / np.sqrt((x**2).mean() + 1e-12)
    return x * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def attended(states, weights, name):
    """Multi-head attention over real tokens, one position at a time."""
    parts = {
        part: np.einsum("td,dnh->nth", states, weights[f"{name}/{part}/kernel"])
        + weights[f"{name}/{part}/bias"][:, None, :]
        for part in ("query", "key", "value")
    }
    out = np.zeros_like(states)
    for head in range(HEADS):
        query, key, value = (parts[p][head] for p in ("query", "key", "value"))
        for position in range(len(states)):
            scores = key @ query[position] / np.sqrt(WIDTH / HEADS)
            shares = np.exp(scores - scores.max())
            mixed = (shares / shares.sum()) @ value
            kernel = weights[f"{name}/attention_output/kernel"][head]
            out[position] += mixed @ kernel
    return out + weights[f"{name}/attention_output/bias"]


def oracle(tokens, weights):
    """The logits of one text without padding, in float64."""
    states = np.stack(
        [
            normalized(
                weights["token_embedding/embeddings"][token]
                + weights["position_embedding/embeddings"][position],
                weights,
                "embeddings_layer_norm",
            )
            for position, token in enumerate(tokens)
        ]
    )
    for index in range(2):
        added = states + attended(states, weights, f"attention_layer_{index}")
        states = np.stack(
            [normalized(x, weights, f"layer_norm_{index}") for x in added]
        )
    return states.mean(0) @ weights["logits/kernel"] + weights["logits/bias"]


# Without dropout Keras takes another way to the same attention.
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_against_the_oracle(dropout):
    model = make(dropout=dropout)
    features = rows()
    received = model(features, training=False)
    weights = weights_by_name(model)
    lengths = features["padding_mask"].sum(1)
    assert lengths[1] == 1 and len(set(lengths)) > 2
    for row, length in enumerate(lengths):
        expected = oracle(features["token_ids"][row, :length], weights)
        np.testing.assert_allclose(received[row], expected, rtol=2e-5)


def test_there_is_no_feed_forward_network():
    model = make()
    attention = 4 * (WIDTH * WIDTH + WIDTH)
    norm = 2 * WIDTH
    tables = (VOCABULARY + LENGTH) * WIDTH + norm
    head = WIDTH * 3 + 3
    assert model.count_params() == tables + 2 * (attention + norm) + head


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_long_rows_and_rows_without_tokens_are_finite(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = make(max_length=512)
    finally:
        keras.config.set_dtype_policy("float32")
    features = rows(length=512)
    features["padding_mask"][-1] = 0
    logits = keras.ops.convert_to_numpy(model(features, training=False))
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


def test_one_layer_is_the_default():
    model = attention_student(VOCABULARY, 2, hidden_dim=4)
    names = [layer.name for layer in model.layers]
    assert "attention_layer_0" in names and "attention_layer_1" not in names
    table = model.get_layer("position_embedding").embeddings
    assert tuple(table.shape) == (512, 4)

"""Narrower copies: exact where they can be, nearer than chance elsewhere."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_kd.models.bert import bert
from keras_kd.models.bert_student import bert_student
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.initialization import encoder_layers
from keras_kd.models.narrow_weights import Basis
from keras_kd.models.narrow_weights import narrow_product
from keras_kd.models.narrow_weights import narrow_scores
from keras_kd.models.narrowing import narrow_from_teacher
from keras_kd.models.transformer import transformer_student

VOCABULARY, OUTPUTS, LAYERS, LENGTH = 40, 3, 3, 9


def spread(model, seed=3, scale=0.3):
    """Weights that all matter."""
    generator = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(
            variable + generator.normal(scale=scale, size=variable.shape)
        )
    return model


def features(model, seed=0, rows=12):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, LENGTH + 1, rows)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype("int32")
    shape = (rows, LENGTH)
    tokens = generator.integers(1, VOCABULARY, shape).astype("int32") * mask
    segments = generator.integers(0, 2, shape).astype("int32") * mask
    inputs = {
        "token_ids": tokens,
        "segment_ids": segments,
        "padding_mask": mask,
    }
    return {tensor.name: inputs[tensor.name] for tensor in model.inputs}


def run(model, inputs):
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def wide_bert(seed=3):
    model = bert_student(
        VOCABULARY, OUTPUTS, LAYERS, 16, 4, 24, max_length=LENGTH
    )
    return spread(model, seed)


# === Where a copy loses nothing ===


def rotation(size, generator):
    return np.linalg.qr(generator.normal(size=(size, size)))[0]


def blown_up(small):
    """A BERT twice as wide that computes what the small one does.

    Each unit of the hidden states is there twice, so that normalisation sees
    the same mean and variance. Heads are twice as wide, and hide their columns
    behind a rotation; feed-forward neurons and pooled units that do nothing
    stand between the others.
    """
    generator = np.random.default_rng(1)
    width = small.get_layer("pooled_dense").units
    layer = encoder_layers(small)[0]
    heads, inner = layer.num_heads, layer.intermediate_dim
    wide = bert_student(
        VOCABULARY, OUTPUTS, len(encoder_layers(small)), 2 * width, heads,
        2 * inner, max_length=LENGTH,
    )  # fmt: skip

    def twice(weight):  # What is added to hidden states.
        return np.concatenate([weight, weight], axis=-1)

    def reading(kernel):
        return np.concatenate([kernel, kernel]) / 2

    def put(path, values):
        for variable in wide.variables:
            if variable.path == path:
                variable.assign(values)
                return
        raise KeyError(path)

    weights = {v.path: v.numpy() for v in small.variables}
    for path, weight in weights.items():
        if "embedding" in path or "layer_norm" in path:
            put(path, twice(weight))
    for number in range(len(encoder_layers(small))):
        name = f"transformer_layer_{number}/self_attention_layer"
        size = width // heads
        turns = [rotation(2 * size, generator) for _ in range(heads)]
        others = [rotation(2 * size, generator) for _ in range(heads)]
        for part, by, scale in (
            ("query", turns, 2**0.5),  # Scores divide by a larger root.
            ("key", turns, 1.0),
            ("value", others, 1.0),
        ):
            kernel = reading(weights[f"{name}/{part}/kernel"]) * scale
            bias = weights[f"{name}/{part}/bias"] * scale
            put(f"{name}/{part}/kernel", np.stack([
                np.pad(kernel[:, n], ((0, 0), (0, size))) @ by[n]
                for n in range(heads)
            ], axis=1))  # fmt: skip
            put(f"{name}/{part}/bias", np.stack([
                np.pad(bias[n], (0, size)) @ by[n] for n in range(heads)
            ]))  # fmt: skip
        output = twice(weights[f"{name}/attention_output/kernel"])
        put(f"{name}/attention_output/kernel", np.stack([
            others[n].T @ np.pad(output[n], ((0, size), (0, 0)))
            for n in range(heads)
        ]))  # fmt: skip
        put(
            f"{name}/attention_output/bias",
            twice(weights[f"{name}/attention_output/bias"]),
        )
        name = f"transformer_layer_{number}/feedforward"
        first, second = f"{name}_intermediate_dense", f"{name}_output_dense"
        order = generator.permutation(2 * inner)
        noise = generator.normal(size=(2 * width, inner))
        kernel = np.c_[reading(weights[f"{first}/kernel"]), noise]
        bias = np.r_[weights[f"{first}/bias"], np.ones(inner)]
        output = twice(weights[f"{second}/kernel"])
        output = np.r_[output, np.zeros_like(output)]
        put(f"{first}/kernel", kernel[:, order])
        put(f"{first}/bias", bias[order])
        put(f"{second}/kernel", output[order])
        put(f"{second}/bias", twice(weights[f"{second}/bias"]))
    order = generator.permutation(2 * width)
    noise = generator.normal(size=(2 * width, width))
    kernel = np.c_[reading(weights["pooled_dense/kernel"]), noise]
    bias = np.r_[weights["pooled_dense/bias"], np.ones(width)]
    head = np.r_[weights["logits/kernel"], np.zeros((width, OUTPUTS))]
    put("pooled_dense/kernel", kernel[:, order])
    put("pooled_dense/bias", bias[order])
    put("logits/kernel", head[order])
    put("logits/bias", weights["logits/bias"])
    return wide


@pytest.fixture(scope="module")
def small_and_wide():
    keras.utils.set_random_seed(0)
    small = spread(
        bert_student(VOCABULARY, OUTPUTS, 2, 8, 2, 12, max_length=LENGTH)
    )
    # A rotation of the states can keep one scale, and not several.
    for layer in small._flatten_layers():
        if isinstance(layer, keras.layers.LayerNormalization):
            gamma, beta = layer.get_weights()
            layer.set_weights([np.full_like(gamma, 1.3), beta])
    return small, blown_up(small)


def test_a_teacher_with_half_its_width_to_spare_is_copied_exactly(
    small_and_wide,
):
    small, wide = small_and_wide
    inputs = features(small)
    expected = run(small, inputs)
    np.testing.assert_allclose(run(wide, inputs), expected, atol=1e-4)
    copy = narrow_from_teacher(
        wide, [0, 1], 8, 2, 12, sample=features(wide, seed=5, rows=40)
    )
    assert copy.count_params() == small.count_params()
    np.testing.assert_allclose(run(copy, inputs), expected, atol=2e-3)
    assert expected.std(axis=0).min() > 0.05
    # Without a sample of texts, too: random tokens reach all states.
    copy = narrow_from_teacher(wide, [0, 1], 8, 2, 12)
    np.testing.assert_allclose(run(copy, inputs), expected, atol=2e-3)


def test_with_the_teachers_sizes_it_is_the_teacher():
    teacher = wide_bert()
    inputs = features(teacher)
    copy = narrow_from_teacher(teacher, range(LAYERS), 16)
    np.testing.assert_array_equal(run(copy, inputs), run(teacher, inputs))
    for own, weight in zip(copy.get_weights(), teacher.get_weights()):
        np.testing.assert_array_equal(own, weight)


def test_neurons_alone_are_chosen_at_the_teachers_width():
    teacher = wide_bert()
    copy = narrow_from_teacher(teacher, [0, 1, 2], 16, intermediate_dim=20)
    inputs = features(teacher)
    for own, source in zip(encoder_layers(copy), encoder_layers(teacher)):
        norm, before = (
            layer._self_attention_layer_norm.get_weights()
            for layer in (own, source)
        )
        np.testing.assert_array_equal(norm, before)
        kernel, given = (
            layer._feedforward_intermediate_dense.get_weights()[0]
            for layer in (own, source)
        )
        # Columns of the teacher's, in their order.
        columns = [
            np.flatnonzero((given == column[:, None]).all(axis=0))[0]
            for column in kernel.T
        ]
        assert len(columns) == 20 and sorted(columns) == columns
    error = np.abs(run(copy, inputs) - run(teacher, inputs)).mean()
    scale = run(teacher, inputs).std()
    assert 0 < error < 0.3 * scale


# === Where it does: nearer than a student that begins at random ===


def hidden_states(model, inputs):
    layers = encoder_layers(model)
    # A layer's inputs are the states and the mask.
    outputs = [layers[0].input[0], *(layer.output for layer in layers)]
    states = keras.Model(model.input, outputs)(inputs, training=False)
    return [keras.ops.convert_to_numpy(x).astype("float64") for x in states]


def attention_of(model, inputs):
    mask = inputs["padding_mask"].astype(bool)[:, None, :]
    states = hidden_states(model, inputs)
    found = []
    for layer, x in zip(encoder_layers(model), states):
        attention = layer._self_attention_layer
        _, probabilities = attention(
            x.astype("float32"),
            x.astype("float32"),
            attention_mask=mask,
            return_attention_scores=True,
        )
        found.append(keras.ops.convert_to_numpy(probabilities))
    return found


@pytest.fixture(scope="module")
def three():
    """A teacher, a narrower copy, a student at random, and texts."""
    keras.utils.set_random_seed(0)
    teacher = wide_bert()
    # A table of few directions, as trained ones have.
    table = teacher.get_layer("token_embedding")
    left, size, right = np.linalg.svd(
        table.get_weights()[0], full_matrices=False
    )
    table.set_weights([left * size * 0.7 ** np.arange(16) * 3 @ right])
    # Attention that is far from even.
    for layer in encoder_layers(teacher):
        query = layer._self_attention_layer.query_dense
        query.set_weights([3 * weight for weight in query.get_weights()])
    copy = narrow_from_teacher(
        teacher, [0, 1, 2], 12, sample=features(teacher, seed=5, rows=60)
    )
    fresh = bert_student(
        VOCABULARY, OUTPUTS, LAYERS, 12, 4, 18, max_length=LENGTH
    )
    return teacher, copy, fresh, features(teacher)


def basis_of(teacher, copy):
    """The basis, from the word tables alone: an oracle for `Basis`."""
    wide, narrow = (
        model.get_layer("token_embedding").get_weights()[0]
        for model in (teacher, copy)
    )
    return np.linalg.lstsq(wide, narrow, rcond=None)[0]


class TestNearer:
    def test_sizes(self, three):
        teacher, copy, fresh, _ = three
        assert copy.count_params() == fresh.count_params()
        layer = encoder_layers(copy)[0]
        assert (layer.num_heads, layer.intermediate_dim) == (4, 18)

    def test_all_tables_are_projected_on_one_orthonormal_basis(self, three):
        teacher, copy, _, _ = three
        basis = basis_of(teacher, copy)
        np.testing.assert_allclose(basis.T @ basis, np.eye(12), atol=1e-3)
        for name in ("position_embedding", "segment_embedding"):
            wide, narrow = (
                model.get_layer(name).get_weights()[0]
                for model in (teacher, copy)
            )
            np.testing.assert_allclose(narrow, wide @ basis, atol=1e-3)

    def test_hidden_states(self, three):
        teacher, copy, fresh, inputs = three
        basis = basis_of(teacher, copy)
        real = inputs["padding_mask"].astype(bool)
        for expected, near, far in zip(
            *(hidden_states(model, inputs) for model in (teacher, copy, fresh))
        ):
            expected = expected[real] @ basis
            total = (expected**2).mean()
            near = ((near[real] - expected) ** 2).mean() / total
            far = ((far[real] - expected) ** 2).mean() / total
            assert near < 0.4
            assert near < 0.25 * far

    def test_attention(self, three):
        teacher, copy, fresh, inputs = three
        real = inputs["padding_mask"].astype(bool)
        errors = np.array([
            [
                np.abs(one - expected).transpose(0, 2, 1, 3)[real].mean()
                for one in others
            ]
            for expected, *others in zip(
                *(attention_of(one, inputs) for one in (teacher, copy, fresh))
            )
        ])  # fmt: skip
        assert errors[0, 0] < 0.6 * errors[0, 1]
        # Further up the errors of the states below count, too.
        near, far = errors.mean(axis=0)
        assert near < 0.8 * far

    def test_logits(self, three):
        teacher, copy, fresh, inputs = three
        expected = run(teacher, inputs)
        near, far = (
            np.abs(run(model, inputs) - expected).mean()
            for model in (copy, fresh)
        )
        assert near < 0.5 * far


@pytest.mark.parametrize(
    ("make", "heads"),
    [
        (lambda: transformer_student(VOCABULARY, OUTPUTS, 2, 16, 4), 2),
        (
            lambda: keras_hub.models.RobertaTextClassifier(
                keras_hub.models.RobertaBackbone(
                    VOCABULARY, 2, 4, 16, 24, max_sequence_length=LENGTH
                ),
                num_classes=OUTPUTS,
            ),
            4,
        ),
    ],
    ids=["transformer", "keras_hub_roberta"],
)
def test_other_teachers(make, heads):
    teacher = spread(make())
    inputs = features(teacher)
    copy = narrow_from_teacher(
        teacher, [0, 1], 8, heads, sample=features(teacher, seed=5, rows=40)
    )
    assert encoder_layers(copy)[0].num_heads == heads
    expected = run(teacher, inputs)
    near, far = (
        np.abs(one - expected).mean()
        for one in (run(copy, inputs), expected.mean(axis=0))
    )
    # Half the width, and still better than the same answer for all.
    assert near < far
    other = narrow_from_teacher(teacher, [1], 8, heads, num_outputs=5)
    assert other.output.shape == (None, 5)
    assert np.isfinite(run(other, inputs)).all()


# === The arithmetic ===


def test_basis_keeps_the_mean_and_the_principal_components():
    generator = np.random.default_rng(0)
    states = generator.normal(size=(200, 8)) * 0.5 ** np.arange(8)
    states = states @ rotation(8, generator) + 0.4
    basis = Basis([states], 5).matrix
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-12)
    mean = states.mean(axis=1)
    np.testing.assert_allclose(
        (states @ basis).mean(axis=1) * (5 / 8) ** 0.5, mean, rtol=1e-9
    )
    # Of the rest, no 4 directions hold more than these do.
    rest = states - mean[:, None]
    kept = np.linalg.norm(rest @ basis) ** 2
    best = (np.linalg.svd(rest, compute_uv=False)[:4] ** 2).sum()
    np.testing.assert_allclose(kept, best, rtol=1e-9)


def test_narrow_scores_are_the_best_of_their_rank():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(50, 6))
    query, key = generator.normal(size=(2, 6, 4))
    scores = inputs @ query @ (inputs @ key).T / 4**0.5
    narrow = [inputs @ one for one in narrow_scores(inputs, query, key, 3)]
    received = narrow[0] @ narrow[1].T / 3**0.5
    left, size, right = np.linalg.svd(scores)
    best = left[:, :3] * size[:3] @ right[:3]
    np.testing.assert_allclose(received, best, atol=1e-9)


def test_narrow_product_is_the_best_of_its_rank():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(50, 6))
    first, second = generator.normal(size=(6, 4)), generator.normal(size=(4, 7))
    narrow = narrow_product(inputs, first, second, 2)
    assert narrow[0].shape == (6, 2) and narrow[1].shape == (2, 7)
    left, size, right = np.linalg.svd(inputs @ first @ second)
    best = left[:, :2] * size[:2] @ right[:2]
    np.testing.assert_allclose(inputs @ narrow[0] @ narrow[1], best, atol=1e-9)


# === Refusals ===


class TestRefusals:
    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ((17,), "`hidden_dim` from 2 to 16.*hidden_dim=17"),
            ((1,), "`hidden_dim` from 2 to 16"),
            ((12, 8), "`num_heads` of 4 at the most"),
            ((12, 5), "`num_heads` of 4 at the most, dividing 12"),
            ((12, 2), "heads no wider than 4, so `num_heads` of 3 or more"),
            ((12, 4, 25), "`intermediate_dim` from 1 to 24"),
        ],
    )
    def test_sizes(self, sizes, message):
        teacher = bert_student(
            VOCABULARY, OUTPUTS, 1, 16, 4, 24, max_length=LENGTH
        )
        with pytest.raises(ValueError, match=message):
            narrow_from_teacher(teacher, [0], *sizes)

    def test_layers(self):
        teacher = bert_student(VOCABULARY, OUTPUTS, 1, 16, 4)
        with pytest.raises(ValueError, match="from 0 to 0, each above"):
            narrow_from_teacher(teacher, [1], 8)

    def test_masked_lm_head(self):
        config = {
            "model_type": "bert",
            "vocab_size": VOCABULARY,
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 12,
            "max_position_embeddings": 16,
        }
        teacher = bert(read_settings(config), "masked_lm")
        with pytest.raises(ValueError, match="`task_head=None`"):
            narrow_from_teacher(teacher, [0], 4)

    def test_layers_that_normalise_first(self):
        inputs = keras.Input((None,), dtype="int32", name="token_ids")
        x = keras.layers.Embedding(9, 8, name="token_embedding")(inputs)
        x = keras_hub.layers.TransformerEncoder(9, 2, normalize_first=True)(x)
        model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
        with pytest.raises(ValueError, match="TransformerEncoder.*normalise"):
            narrow_from_teacher(model, [0], 4)

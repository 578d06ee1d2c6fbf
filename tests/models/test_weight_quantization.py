"""Rounded weights: the grid, gradients that pass, states that go on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd.distiller import Distiller
from keras_kd.distribution import strategy_by_name
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models.random_states import random_states
from keras_kd.models.students import build_student
from keras_kd.models.weight_quantization import WeightQuantization
from keras_kd.models.weight_quantization import is_large_table

VOCABULARY, LENGTH = 600, 7
# Recurrent layers take long to trace.
KINDS = (
    "bigru",
    pytest.param("bilstm", marks=pytest.mark.slow),
    "attention",
    pytest.param("transformer", marks=pytest.mark.slow),
    "bag",
)


def make_student(kind="bigru", dropout=0.0):
    keras.utils.set_random_seed(0)
    return build_student(kind, VOCABULARY, 2, 1, 8, 8, dropout, LENGTH)


def make_batch(rows=6):
    generator = np.random.default_rng(0)
    x = {
        "token_ids": generator.integers(1, VOCABULARY, (rows, LENGTH)),
        "padding_mask": np.ones((rows, LENGTH)),
    }
    x = {name: values.astype("int32") for name, values in x.items()}
    logits = generator.normal(size=(rows, 2)).astype("float32")
    return x, {"teacher": {"logits": logits}}


def make_distiller(student, quantization, **options):
    distiller = Distiller(
        student, losses=[SoftTargets(2.0)], quantization=quantization
    )
    distiller.compile(keras.optimizers.SGD(0.5), **options)
    return distiller


def rounded(values, bits, axis):
    """The definition, in float64."""
    values = np.asarray(values, "float64")
    scale = np.abs(values).max(axis, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.round(values / scale) * scale


def applied(model, quantization):
    with WeightQuantization(model, quantization).applied():
        return {weight.path: weight.numpy() for weight in model.weights}


class TestGrid:
    @pytest.mark.parametrize(
        ("quantization", "bits", "axis"),
        [
            ("dynamic", 8, (0, 1)),
            ("int8-embedding", 8, 1),
            ("int4-embedding", 4, 1),
            ("int2-embedding", 2, 1),
        ],
    )
    def test_tables_and_kernels_of_a_gru(self, quantization, bits, axis):
        student = make_student()
        for path, value in applied(student, quantization).items():
            before = next(w for w in student.weights if w.path == path).numpy()
            if path.endswith("embeddings"):
                expected = rounded(before, bits, axis)
                assert np.abs(value - before).max() > 0
            elif path.endswith("kernel"):
                expected = rounded(before, 8, 0)
                assert np.abs(value - before).max() > 0
            else:
                expected = before
            np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-8)

    @pytest.mark.parametrize("kind", KINDS)
    def test_rounded_ones_stay_what_they_are(self, kind):
        student = make_student(kind)
        once = applied(student, "dynamic")
        for weight in student.weights:
            weight.assign(once[weight.path])
        for path, value in applied(student, "dynamic").items():
            np.testing.assert_allclose(value, once[path], rtol=1e-6)

    @pytest.mark.parametrize(
        ("equation", "shape", "output", "axis"),
        [
            ("abc,cde->abde", (3, 4), (None, 2, 3), 0),
            ("abcd,cde->abe", (3, 4, 5), (None, 6), (0, 1)),
        ],
    )
    def test_scale_for_each_output_of_an_attention(
        self, equation, shape, output, axis
    ):
        inputs = keras.Input(shape)
        layer = keras.layers.EinsumDense(equation, output)
        model = keras.Model(inputs, layer(inputs))
        (value,) = applied(model, "dynamic").values()
        np.testing.assert_allclose(
            value, rounded(layer.kernel.numpy(), 8, axis), rtol=1e-5, atol=1e-8
        )

    def test_small_tables_have_no_scales_of_rows(self):
        inputs = keras.Input((3,), dtype="int32")
        x = keras.layers.Embedding(512, 4)(inputs)
        assert not is_large_table(keras.Model(inputs, x).layers[1])
        model = keras.Model(inputs, keras.layers.Dense(1)(x))
        table = model.weights[0].numpy()
        for quantization, stays in (
            ("int4-embedding", True),
            ("dynamic", False),
        ):
            value = applied(model, quantization)[model.weights[0].path]
            assert np.array_equal(value, table) == stays

    def test_zeros_stay_zeros(self):
        student = make_student()
        student.set_weights([np.zeros_like(w) for w in student.get_weights()])
        for value in applied(student, "int4-embedding").values():
            np.testing.assert_array_equal(value, np.zeros_like(value))


class TestTraining:
    @pytest.mark.parametrize("kind", KINDS)
    def test_gradients_are_those_at_the_rounded_weights(self, kind):
        quantization = "int4-embedding"
        student, (x, y) = make_student(kind), make_batch()
        before, twin = student.get_weights(), make_student(kind)
        with WeightQuantization(student, quantization).applied():
            rounded_ones = student.get_weights()
        twin.set_weights(rounded_ones)
        losses = [
            make_distiller(model, name).train_on_batch(x, y)[0]
            for model, name in ((student, quantization), (twin, None))
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        moved = False
        # SGD: what a weight moves by is its gradient.
        for own, first, other, second in zip(
            student.get_weights(), before, twin.get_weights(), rounded_ones
        ):
            np.testing.assert_allclose(own - first, other - second, atol=2e-6)
            moved = moved or np.abs(own - first).max() > 1e-4
        assert moved

    @pytest.mark.parametrize("accumulation_steps", [1, 2])
    def test_what_layers_add_to_the_loss_stays(self, accumulation_steps):
        results, gradients = [], []
        x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
        y = {"teacher": {"logits": x[:, :2]}}
        for quantization in ("dynamic", None):
            keras.utils.set_random_seed(0)
            inputs = keras.Input((4,))
            hidden = keras.layers.Dense(3, activity_regularizer="l2")(inputs)
            hidden = keras.layers.ActivityRegularization(l1=0.1)(hidden)
            model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
            with WeightQuantization(model, "dynamic").applied():
                rounded_ones = model.get_weights()
            if quantization is None:
                model.set_weights(rounded_ones)
            before = model.get_weights()
            distiller = make_distiller(
                model, quantization, accumulation_steps=accumulation_steps
            )
            logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
            distiller.train_on_batch(x, y)
            results.append(logs["loss"] - logs["soft_targets_loss"])
            gradients.append(
                [a - b for a, b in zip(model.get_weights(), before)]
            )
        assert results[0] == pytest.approx(results[1], rel=1e-4)
        assert results[0] > 0.1
        for one, other in zip(*gradients):
            np.testing.assert_allclose(one, other, atol=1e-5)

    def test_dropout_goes_on(self):
        masks = []
        for quantization in (None, "dynamic"):
            student = make_student("attention", dropout=0.5)
            x, y = make_batch()
            distiller = make_distiller(student, quantization)
            states = []
            for _ in range(3):
                distiller.train_on_batch(x, y)
                states.append([s.numpy() for s in random_states(student)])
            masks.append(np.array(states))
        np.testing.assert_array_equal(*masks)
        assert (masks[0][0] != masks[0][1]).any()

    def test_statistics_of_a_normalisation_are_kept(self):
        inputs = keras.Input((4,), name="x")
        x = keras.layers.BatchNormalization()(keras.layers.Dense(3)(inputs))
        model = keras.Model(inputs, x)
        before = model.layers[2].moving_mean.numpy()
        quantization = WeightQuantization(model, "dynamic")
        values = np.random.default_rng(0).normal(size=(8, 4)) + 3
        quantization.run(lambda: model(values.astype("float32"), training=True))
        assert (model.layers[2].moving_mean.numpy() != before).all()

    def test_predictions_are_those_of_the_rounded_student(self):
        student, (x, _) = make_student(), make_batch()
        distiller = make_distiller(student, "int4-embedding")
        received = distiller.predict(x, verbose=0)
        plain = student.predict_on_batch(x)
        with distiller.deployed_weights():
            expected = student.predict_on_batch(x)
        np.testing.assert_allclose(received, expected, atol=1e-6)
        assert np.abs(received - plain).max() > 1e-5

    def test_micro_batches_are_the_same_step(self):
        results = []
        for pieces in (1, 3):
            student, (x, y) = make_student("bag"), make_batch()
            distiller = make_distiller(
                student, "dynamic", accumulation_steps=pieces
            )
            distiller.train_on_batch(x, y)
            results.append(student.get_weights())
        for one, other in zip(*results):
            np.testing.assert_allclose(one, other, atol=1e-6)

    def test_replicas_learn_as_one(self):
        results = []
        for name in ("mirrored", "none"):
            with strategy_by_name(name).scope():
                student, (x, y) = make_student("bag"), make_batch()
                distiller = make_distiller(student, "dynamic")
            batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(6)
            distiller.fit(batches, epochs=2, verbose=0)
            results.append(student.get_weights())
        for one, other in zip(*results):
            np.testing.assert_allclose(one, other, atol=1e-6)

    @pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
    def test_weights_are_rounded_before_they_are_cast(self, policy):
        keras.config.set_dtype_policy(policy)
        try:
            student = make_student("bag")
            distiller = make_distiller(student, "dynamic")
        finally:
            keras.config.set_dtype_policy("float32")
        x, y = make_batch()
        seen = []
        table = student.get_layer("token_embedding").embeddings
        quantization = WeightQuantization(student, "dynamic")
        quantization.run(lambda: seen.append(np.array(table.value)))
        with quantization.applied():
            np.testing.assert_allclose(seen[0], table.numpy(), rtol=1e-6)
        assert np.isfinite(distiller.train_on_batch(x, y)).all()

    def test_saved_distiller_rounds_again(self, tmp_path):
        distiller = make_distiller(make_student(), "int4-embedding")
        x, _ = make_batch()
        distiller.save(tmp_path / "distiller.keras")
        loaded = keras.saving.load_model(tmp_path / "distiller.keras")
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), distiller.predict(x, verbose=0)
        )
        assert loaded.quantization == "int4-embedding"


class TestBadInput:
    @pytest.mark.parametrize("quantization", ["float16", "int8", ""])
    def test_other_quantizations(self, quantization):
        with pytest.raises(ValueError, match="one of .'dynamic', 'int8-emb"):
            WeightQuantization(make_student(), quantization)

    def test_nothing_to_round(self):
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.layers.LayerNormalization()(inputs))
        with pytest.raises(ValueError, match="no table and no kernel"):
            WeightQuantization(model, "dynamic")

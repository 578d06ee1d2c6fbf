"""The contract of a batch: names, picked inputs, targets, weights."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import batch
from keras_kd.distiller import Distiller

X = {
    "padding_mask": np.array([[1.0, 1.0]]),
    "segment_ids": np.array([[10.0, 20.0]]),
    "token_ids": np.array([[100.0, 200.0]]),
}


def difference_model(structure):
    """`token_ids - padding_mask`, so that exchanged inputs are seen."""
    inputs = {
        name: keras.Input((2,), name=name)
        for name in ("token_ids", "padding_mask")
    }
    output = layers.Subtract()([inputs["token_ids"], inputs["padding_mask"]])
    return keras.Model(structure(inputs), output, name="difference")


@pytest.mark.parametrize(
    "structure", [dict, lambda inputs: list(inputs.values())]
)
def test_a_model_gets_its_inputs_by_name_and_no_others(structure):
    model = difference_model(structure)
    selected = batch.select_inputs(model, X)
    assert set(selected) == {"token_ids", "padding_mask"}
    np.testing.assert_array_equal(model(selected), [[99.0, 199.0]])


def test_a_model_with_a_lone_input():
    tensor = keras.Input((2,), name="token_ids")
    model = keras.Model(tensor, layers.Rescaling(2.0)(tensor))
    np.testing.assert_array_equal(
        model(batch.select_inputs(model, X)), [[200.0, 400.0]]
    )


def test_what_is_no_dictionary_is_passed_on():
    model = difference_model(dict)
    array = np.zeros((1, 2))
    assert batch.select_inputs(model, array) is array


def test_a_missing_input_is_named():
    with pytest.raises(KeyError) as error:
        batch.select_inputs(
            difference_model(dict), {"token_ids": X["token_ids"], "ids": 0}
        )
    message = str(error.value)
    assert "'difference' needs the inputs" in message
    assert "Received: ['ids', 'token_ids']" in message
    assert "Missing: ['padding_mask']" in message


def test_a_lone_output_is_the_logits():
    array = np.zeros((1, 2))
    assert batch.named_outputs(array) == {"logits": array}
    named = {"start_logits": array, "end_logits": array}
    assert batch.named_outputs(named) is named


def test_plain_targets_are_labels():
    labels = np.array([0, 1])
    assert batch.split_targets(labels) == {"labels": labels}
    assert batch.split_targets(None) == {}
    targets = {"labels": labels, "teacher": {"logits": 0}}
    assert batch.split_targets(targets) is targets


def test_unknown_targets_are_named_with_the_remedy():
    with pytest.raises(KeyError) as error:
        batch.split_targets({"labels": 0, "logits": 1})
    assert "Received also: ['logits']" in str(error.value)
    assert "under 'teacher'" in str(error.value)


def test_the_weights_that_keras_repeats_for_each_target():
    weights = np.array([1.0, 0.5])
    assert batch.row_weights(None) is None
    assert batch.row_weights(weights) is weights
    repeated = {"teacher": {"logits": weights}, "labels": weights}
    assert batch.row_weights(repeated) is weights
    assert batch.row_weights({}) is None


class TestAnyValueWhereThereIsNoLabel:
    def train(self, loss, labels, weight, metrics):
        keras.utils.set_random_seed(0)
        tensor = keras.Input((2,), name="token_ids")
        student = keras.Model(tensor, layers.Dense(3)(tensor))
        distiller = Distiller(student)
        distiller.compile("sgd", loss=loss, metrics=metrics)
        logs = distiller.train_on_batch(
            {"token_ids": np.array([[1.0, 2.0], [3.0, -1.0]])},
            {"labels": labels, "label_weight": np.array(weight)},
            return_dict=True,
        )
        return [*logs.values(), *student.get_weights()]

    @pytest.mark.parametrize("value", [-1, 2, 99])
    def test_classes(self, value):
        # Out of range, TensorFlow's cross-entropy stops on a CPU and gives NaN
        # on a GPU, whatever the weight.
        expected, received = (
            self.train(
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                np.array([1, other]),
                [1.0, 0.0],
                [keras.metrics.SparseCategoricalAccuracy()],
            )
            for other in (0, value)
        )
        for one, another in zip(expected, received):
            np.testing.assert_allclose(one, another, atol=1e-6)

    def test_numbers(self):
        expected, received = (
            self.train(
                keras.losses.MeanSquaredError(),
                np.array([[1.0, 2.0, 3.0], [other] * 3], "float32"),
                [1.0, 0.0],
                [keras.metrics.MeanSquaredError()],
            )
            for other in (0.0, float("nan"))
        )
        for one, another in zip(expected, received):
            np.testing.assert_allclose(one, another, atol=1e-6)

    def test_a_label_that_counts_is_left_as_it_is(self):
        one, other = (
            self.train(
                keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                np.array([1, label]),
                [1.0, 1.0],
                [],
            )
            for label in (0, 2)
        )
        assert np.abs(one[-1] - other[-1]).max() > 1e-3

"""The base of all losses: weights, names, missing outputs, the mean."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd.losses.distillation_loss import DistillationLoss
from keras_kd.losses.distillation_loss import weighted_sums
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.schedules import LinearWarmupDecay
from keras_kd.schedules import value_at
from tests.losses.cases import weighted_mean


@keras.saving.register_keras_serializable(package="keras_kd_tests")
class SquaredHTTPDistance(DistillationLoss):
    """A loss that keeps what it was given."""

    outputs = ("states",)

    def per_example(self, student, teacher, context):
        self.received = student, teacher, context.mask, context.step
        difference = student["states"] - teacher["states"]
        return ops.sum(difference**2, axis=-1)


class TestWeightedMean:
    def test_by_hand(self):
        # (1 * 2 + 3 * 0.5) / 2.5
        assert float(weighted_mean([1.0, 3.0], [2.0, 0.5])) == pytest.approx(
            1.4
        )

    def test_without_weights_it_is_the_mean(self):
        assert float(weighted_mean([1.0, 2.0, 6.0])) == pytest.approx(3.0)

    def test_weight_zero_is_a_row_that_is_not_there(self):
        values = np.array([1.0, 50.0, 3.0])
        assert float(weighted_mean(values, [1.0, 0.0, 1.0])) == float(
            weighted_mean(values[[0, 2]], [1.0, 1.0])
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_whatever_its_value_is(self, value):
        assert float(weighted_mean([2.0, value], [1.0, 0.0])) == 2.0
        assert np.isnan(float(weighted_mean([2.0, np.nan], [1.0, 0.1])))

    def test_all_weights_zero_is_zero_and_not_nan(self):
        assert float(weighted_mean([1.0, 2.0], [0.0, 0.0])) == 0.0

    def test_it_does_not_change_with_the_scale_of_the_weights(self):
        values, weights = [1.0, 2.0, 4.0], np.array([0.1, 0.2, 0.7])
        assert float(weighted_mean(values, weights)) == pytest.approx(
            float(weighted_mean(values, 1000 * weights)), rel=1e-6
        )

    def test_weights_of_keras_shape(self):
        # Keras gives `[batch, 1]` weights where the outputs have two axes;
        # broadcast against `[batch]` they would become a square.
        column = np.array([[2.0], [0.5]])
        assert float(weighted_mean([1.0, 3.0], column)) == pytest.approx(1.4)

    def test_sums_of_two_batches_give_the_mean_of_both(self):
        values, weights = np.array([1.0, 2.0, 6.0]), np.array([1.0, 2.0, 0.5])
        parts = [
            weighted_sums(values[part], weights[part])
            for part in (slice(0, 1), slice(1, 3))
        ]
        numerator, denominator = (sum(map(float, p)) for p in zip(*parts))
        assert numerator / denominator == pytest.approx(
            np.average(values, weights=weights)
        )

    def test_half_precision_values_are_summed_in_float32(self):
        # In float16, 2048 + 1 is 2048.
        values = ops.cast(np.ones(4096), "float16")
        assert float(weighted_sums(values)[0]) == 4096.0


class TestCall:
    def test_outputs_arrive_in_float32_and_only_those_asked_for(self):
        loss = SquaredHTTPDistance()
        outputs = {
            "states": ops.cast([[1.0, 2.0]], "bfloat16"),
            "logits": ops.zeros((1, 2)),
        }
        values = loss(outputs, {"states": np.array([[0.0, 0.0]])}, step=7)
        assert float(values[0]) == pytest.approx(5.0)
        student, teacher, mask, step = loss.received
        assert list(student) == list(teacher) == ["states"]
        assert {
            keras.backend.standardize_dtype(each["states"].dtype)
            for each in (student, teacher)
        } == {"float32"}
        assert mask is None and step == 7

    @pytest.mark.parametrize("role", ["student", "teacher"])
    def test_a_missing_output_is_named(self, role):
        outputs = {
            "student": {"states": [[0.0]]},
            "teacher": {"states": [[0.0]]},
        }
        outputs[role] = {"logits": [[0.0]]}
        with pytest.raises(ValueError) as error:
            SquaredHTTPDistance(name="distance")(**outputs)
        message = str(error.value)
        assert f"'distance' reads ['states'] of the {role}" in message
        assert "Received: ['logits']. Missing: ['states']" in message
        assert "Let the model" in message

    def test_a_loss_without_a_function(self):
        class Nothing(DistillationLoss):
            outputs = ("logits",)

        logits = {"logits": [[0.0]]}
        with pytest.raises(TypeError, match="must define `per_example`"):
            Nothing()(logits, logits)

    def test_a_loss_that_reads_nothing(self):
        with pytest.raises(ValueError, match=r'outputs = \("logits",\)'):
            DistillationLoss()({}, {})

    @pytest.mark.parametrize("shape", [(), (2, 3)])
    def test_other_shapes_than_one_value_an_example(self, shape):
        class Distance(DistillationLoss):
            outputs = ("logits",)

            def per_example(self, student, teacher, context):
                return ops.zeros(shape)

        logits = {"logits": np.zeros((2, 3))}
        with pytest.raises(ValueError, match="one value an example") as error:
            Distance()(logits, logits)
        assert f"Received the shape {shape}" in str(error.value)


class TestSettings:
    def test_default_name_is_the_class_in_snake_case(self):
        class HiddenStates(DistillationLoss):
            pass

        assert HiddenStates().name == "hidden_states"
        assert HiddenStates(name="layer_3").name == "layer_3"

    @pytest.mark.parametrize("weight", [-1, -1e-9, float("nan")])
    def test_weights_below_zero_or_nan_are_refused(self, weight):
        with pytest.raises(ValueError, match="zero or more. Received: "):
            SquaredHTTPDistance(weight=weight)

    def test_strings_are_no_numbers(self):
        with pytest.raises(TypeError, match="Received: '2', a string"):
            SquaredHTTPDistance(weight="2")
        with pytest.raises(TypeError, match="Received: '2', a string"):
            SoftTargets(temperature="2")

    def test_weight_may_be_a_schedule(self):
        loss = SquaredHTTPDistance(weight=LinearWarmupDecay(1.0, 4))
        assert float(value_at(loss.weight, 1)) == pytest.approx(0.75)

    @pytest.mark.parametrize("weight", [0.3, LinearWarmupDecay(1.0, 4)])
    def test_config_round_trip(self, weight):
        loss = SquaredHTTPDistance(weight=weight, name="distance")
        again = keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(loss)
        )
        assert isinstance(again, SquaredHTTPDistance)
        assert again.name == "distance"
        assert float(value_at(again.weight, 2)) == float(
            value_at(loss.weight, 2)
        )

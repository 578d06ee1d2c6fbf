"""The angle between mean states of a text that was cut in two ways."""

import keras
import numpy as np
import pytest

from keras_kd.losses.mean_state_cosine import MeanStateCosine

MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], "int32")


@pytest.fixture
def states():
    generator = np.random.default_rng(0)
    return (
        generator.normal(size=(2, 4, 5)).astype("float32"),
        generator.normal(size=(2, 5)).astype("float32"),
    )


def test_by_hand(states):
    student, teacher = states
    values = MeanStateCosine(2)(
        {"hidden_states/2": student}, {"mean_state": teacher}, mask=MASK
    )
    for row, value in enumerate(values):
        mean = student[row, : MASK[row].sum()].astype("float64").mean(0)
        cosine = (
            mean
            @ teacher[row]
            / (np.linalg.norm(mean) * np.linalg.norm(teacher[row]))
        )
        assert float(value) == pytest.approx(1 - cosine, abs=1e-5)


def test_another_width_is_projected(states):
    student, teacher = states
    loss = MeanStateCosine(1)
    (layer,) = loss.build(
        {"hidden_states/1": keras.KerasTensor((None, None, 5))},
        {"mean_state": keras.KerasTensor((None, 3))},
    )
    assert tuple(layer.kernel.shape) == (5, 3)
    values = loss(
        {"hidden_states/1": student}, {"mean_state": teacher[:, :3]}, mask=MASK
    )
    assert np.isfinite(values).all() and values.shape == (2,)


def test_configuration():
    loss = MeanStateCosine(3, weight=0.5)
    again = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(loss)
    )
    assert again.get_config() == loss.get_config()

"""Losses that compare the rows of a batch against float64 oracles."""

import itertools

import numpy as np
import pytest

from keras_kd.losses import Contrastive
from keras_kd.losses import RelationalAngle
from keras_kd.losses import RelationalDistance
from keras_kd.schedules import LinearSchedule
from tests.losses import cases

ROWS = 5
STUDENT = {"pooled": cases.random(ROWS, 3, seed=1)}
TEACHER = {"pooled": cases.random(ROWS, 4, seed=2, scale=5.0)}
EQUAL_WIDTHS = {"pooled": cases.random(ROWS, 3, seed=2)}


def huber(difference):
    size = abs(difference)
    return size**2 / 2 if size < 1 else size - 0.5


def distances(student, teacher):
    s, t = student["pooled"], teacher["pooled"]

    def mean_distance(x):
        pairs = itertools.permutations(range(ROWS), 2)
        return np.mean([np.linalg.norm(x[i] - x[j]) for i, j in pairs])

    def difference(i, j):
        return np.linalg.norm(s[i] - s[j]) / mean_distance(s) - np.linalg.norm(
            t[i] - t[j]
        ) / mean_distance(t)

    return np.array(
        [
            np.mean([huber(difference(i, j)) for j in range(ROWS) if j != i])
            for i in range(ROWS)
        ]
    )


def angles(student, teacher):
    def cosine(x, i, j, k):
        one, other = x[i] - x[j], x[k] - x[j]
        return one @ other / np.linalg.norm(one) / np.linalg.norm(other)

    s, t = student["pooled"], teacher["pooled"]
    return np.array(
        [
            np.mean(
                [
                    huber(cosine(s, i, j, k) - cosine(t, i, j, k))
                    for i, k in itertools.permutations(range(ROWS), 2)
                    if j not in (i, k)
                ]
            )
            for j in range(ROWS)
        ]
    )


def picked_out(student, teacher):
    s, t = (
        x["pooled"] / np.linalg.norm(x["pooled"], axis=1, keepdims=True)
        for x in (student, teacher)
    )
    chances = np.exp(s @ t.T / 0.5)
    return -np.log(np.diag(chances) / chances.sum(1))


@pytest.mark.parametrize(
    ("loss", "oracle", "teacher"),
    [
        (RelationalDistance(), distances, TEACHER),
        (RelationalAngle(), angles, TEACHER),
        (Contrastive(temperature=0.5), picked_out, EQUAL_WIDTHS),
    ],
    ids=["distance", "angle", "contrastive"],
)
def test_value_and_gradient_of_the_oracle(loss, oracle, teacher):
    cases.check_oracle(loss, oracle, STUDENT, teacher)


@pytest.mark.parametrize("make", [RelationalDistance, RelationalAngle])
def test_space_may_be_turned_moved_and_scaled(make):
    rotation, _ = np.linalg.qr(cases.random(4, 4))
    student = {"pooled": 3.0 * TEACHER["pooled"] @ rotation + 2.0}
    values = cases.call(make(), student, TEACHER)
    np.testing.assert_allclose(values, 0.0, atol=1e-6)


@pytest.mark.parametrize(
    "make", [RelationalDistance, RelationalAngle, Contrastive]
)
class TestFewRows:
    def test_a_row_alone(self, make):
        loss = make()
        one = {"pooled": EQUAL_WIDTHS["pooled"][:1]}
        other = {"pooled": STUDENT["pooled"][:1]}
        np.testing.assert_allclose(cases.call(loss, one, other), 0.0, atol=1e-6)
        (slope,) = cases.gradients(loss, one, other).values()
        np.testing.assert_allclose(slope, 0.0, atol=1e-6)

    def test_equal_rows_have_a_finite_gradient(self, make):
        same = {"pooled": np.ones((4, 3))}
        for student, teacher in (
            (same, {"pooled": STUDENT["pooled"][:4]}),
            ({"pooled": STUDENT["pooled"][:4]}, same),
        ):
            assert np.isfinite(cases.call(make(), student, teacher)).all()
            (slope,) = cases.gradients(make(), student, teacher).values()
            assert np.isfinite(slope).all()

    def test_rows_that_are_not_there_have_nothing(self, make):
        weights = np.array([1.0, 0.0, 0.5, 2.0, 0.0])
        student = {"pooled": STUDENT["pooled"].copy()}
        student["pooled"][1] = np.nan
        values = cases.call(
            make(), student, EQUAL_WIDTHS, sample_weight=weights
        )
        rows = [0, 2, 3]
        np.testing.assert_array_equal(values[[1, 4]], 0.0)
        np.testing.assert_allclose(
            values[rows],
            cases.call(
                make(),
                {"pooled": STUDENT["pooled"][rows]},
                {"pooled": EQUAL_WIDTHS["pooled"][rows]},
            ),
            rtol=1e-6,
        )

    def test_of_hidden_states_it_is_the_first_position(self, make):
        loss = make("hidden_states/2", "hidden_states/4")
        assert loss.student_outputs == ("hidden_states/2",)
        assert loss.teacher_outputs == ("hidden_states/4",)
        student, teacher = (cases.random(4, 5, 3, seed=s) for s in (1, 2))
        np.testing.assert_array_equal(
            cases.call(
                loss,
                {"hidden_states/2": student},
                {"hidden_states/4": teacher},
            ),
            cases.call(
                make(), {"pooled": student[:, 0]}, {"pooled": teacher[:, 0]}
            ),
        )

    def test_outputs_of_four_axes(self, make):
        scores = {"attention_scores/1": np.zeros((2, 2, 3, 3))}
        with pytest.raises(ValueError, match="one vector each.*Take 'pooled'"):
            cases.call(make("attention_scores/1"), scores, scores)


class TestContrastive:
    def test_the_students_width_is_projected(self):
        import keras

        loss = Contrastive()
        with pytest.raises(ValueError, match="widths 3 and 4"):
            cases.call(loss, STUDENT, TEACHER)
        (layer,) = loss.build(
            {"pooled": keras.KerasTensor((None, 3))},
            {"pooled": keras.KerasTensor((None, 4))},
        )
        projected = STUDENT["pooled"] @ np.float64(layer.kernel)
        np.testing.assert_allclose(
            cases.call(loss, STUDENT, TEACHER),
            cases.call(Contrastive(), {"pooled": projected}, TEACHER),
            rtol=1e-5,
        )

    def test_vectors_that_tell_nothing_apart(self):
        same = {"pooled": np.ones((4, 3))}
        np.testing.assert_allclose(
            cases.call(Contrastive(), same, same), np.log(4), rtol=1e-6
        )

    def test_temperature_may_follow_a_schedule(self):
        loss = Contrastive(temperature=LinearSchedule(1.0, 0.5, 2))
        loss = Contrastive.from_config(loss.get_config())
        for step, temperature in ((0, 1.0), (1, 0.75), (5, 0.5)):
            np.testing.assert_allclose(
                cases.call(loss, STUDENT, EQUAL_WIDTHS, step=step),
                cases.call(
                    Contrastive(temperature=temperature), STUDENT, EQUAL_WIDTHS
                ),
                rtol=1e-6,
            )

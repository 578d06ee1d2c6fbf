"""Decoupled soft targets against a float64 oracle, and which class is right."""

import numpy as np
import pytest

from keras_kd.losses import DecoupledKD
from keras_kd.losses import SoftTargets
from keras_kd.losses.decoupled_kd import decoupled_divergences
from keras_kd.losses.soft_targets import soft_target_divergence
from keras_kd.schedules import LinearSchedule
from tests.losses import cases

STUDENT = {"logits": cases.random(4, 5, seed=1, scale=3.0)}
TEACHER = {"logits": cases.random(4, 5, seed=2, scale=3.0)}
LABELS = np.array([4, 0, 1, 1])


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def divergence(p, q):
    return (p * np.log(p / q)).sum()


def parts(student, teacher, temperature, right):
    """Both divergences of one row, from probabilities."""
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    others = np.arange(len(p)) != right
    binary = [np.array([x[right], x[others].sum()]) for x in (p, q)]
    among = [x[others] / x[others].sum() for x in (p, q)]
    return divergence(*binary), divergence(*among)


def oracle(temperature, alpha, beta, labels):
    def values(student, teacher):
        return np.array(
            [
                temperature**2 * (alpha * target + beta * other)
                for target, other in (
                    parts(s, t, temperature, label)
                    for s, t, label in zip(
                        student["logits"], teacher["logits"], labels
                    )
                )
            ]
        )

    return values


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_value_and_gradient_of_the_oracle(temperature):
    cases.check_oracle(
        DecoupledKD(temperature, target_weight=0.5, other_weight=3.0),
        oracle(temperature, 0.5, 3.0, LABELS),
        STUDENT,
        TEACHER,
        labels=LABELS,
    )


def test_the_parts_make_up_soft_targets():
    student, teacher = STUDENT["logits"], TEACHER["logits"]
    target, others = decoupled_divergences(student, teacher, LABELS, 2.0)
    p = softmax(teacher / 2.0)[np.arange(4), LABELS]
    np.testing.assert_allclose(
        np.asarray(target) + (1 - p) * np.asarray(others),
        soft_target_divergence(student, teacher, 2.0),
        rtol=1e-9,
    )


def test_of_two_classes_one_is_left():
    student, teacher = cases.random(4, 2, seed=1), cases.random(4, 2, seed=2)
    labels = np.array([0, 1, 0, 1])
    loss = DecoupledKD(2.0, other_weight=100.0)
    np.testing.assert_allclose(
        cases.call(
            loss, {"logits": student}, {"logits": teacher}, labels=labels
        ),
        cases.call(SoftTargets(2.0), {"logits": student}, {"logits": teacher}),
        rtol=1e-4,
        atol=1e-6,
    )


class TestWhichClassIsRight:
    loss = DecoupledKD(2.0)
    best = TEACHER["logits"].argmax(-1)

    def expect(self, classes, **context):
        np.testing.assert_allclose(
            cases.call(self.loss, STUDENT, TEACHER, **context),
            oracle(2.0, 1.0, 8.0, classes)(STUDENT, TEACHER),
            rtol=1e-5,
        )

    def test_the_labels(self):
        assert (LABELS != self.best).any()
        self.expect(LABELS, labels=LABELS)
        self.expect(LABELS, labels=LABELS[:, None])
        self.expect(LABELS, labels=np.eye(5)[LABELS])

    def test_without_labels_the_teachers_best(self):
        self.expect(self.best)

    def test_of_rows_without_a_label_the_teachers_best(self):
        weight = np.array([1.0, 0.0, 0.0, 0.5])
        self.expect(
            np.where(weight > 0, LABELS, self.best),
            labels=np.where(weight > 0, LABELS, 0),
            label_weight=weight,
        )

    def test_tokens_of_which_some_have_no_label(self):
        student, teacher = (
            {"logits": cases.random(4, 5, 3, seed=seed)} for seed in (1, 2)
        )
        labels = np.random.default_rng(0).integers(-1, 3, (4, 5))
        best = teacher["logits"].argmax(-1)
        classes = np.where(labels < 0, best, labels)
        values = [
            np.mean(
                [
                    4 * np.dot([1, 8], parts(s, t, 2.0, right))
                    for s, t, right, real in zip(*row)
                    if real
                ]
            )
            for row in zip(
                student["logits"], teacher["logits"], classes, cases.MASK
            )
        ]
        np.testing.assert_allclose(
            cases.call(
                self.loss, student, teacher, labels=labels, mask=cases.MASK
            ),
            values,
            rtol=1e-5,
        )


def test_distant_logits_keep_their_gradient():
    # 1 - p is 0 in float32; its logarithm would be minus infinity.
    student = {"logits": np.array([[0.0, 300.0, 0.0]])}
    teacher = {"logits": np.array([[300.0, 0.0, 100.0]])}
    loss = DecoupledKD(1.0, other_weight=1.0)
    values = cases.call(loss, student, teacher, labels=[0])
    np.testing.assert_allclose(values, [600.0], rtol=1e-6)
    (slope,) = cases.gradients(
        loss, student, teacher, labels=np.array([0])
    ).values()
    np.testing.assert_allclose(slope, [[-1.0, 2.0, -1.0]], rtol=1e-6)


def test_weights_may_follow_schedules():
    loss = DecoupledKD(
        2.0, other_weight=LinearSchedule(0.0, 8.0, 4), target_weight=0.0
    )
    again = DecoupledKD.from_config(loss.get_config())
    full = cases.call(loss, STUDENT, TEACHER, step=4)
    for step in range(5):
        np.testing.assert_allclose(
            cases.call(again, STUDENT, TEACHER, step=step),
            full * step / 4,
            rtol=1e-5,
        )


class TestRefusals:
    def test_weights(self):
        with pytest.raises(ValueError, match="`other_weight` must be zero or"):
            DecoupledKD(other_weight=-1.0)

    def test_one_class(self):
        one = {"logits": np.zeros((2, 1))}
        with pytest.raises(ValueError, match="two or more"):
            cases.call(DecoupledKD(), one, one)

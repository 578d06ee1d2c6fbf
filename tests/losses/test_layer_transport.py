"""Layers matched by optimal transport against a linear program."""

import keras
import numpy as np
import pytest

from keras_kd.losses import AttentionMSE
from keras_kd.losses import HiddenStateMSE
from keras_kd.losses import LayerTransport
from keras_kd.losses.layer_transport import transport_plan
from tests.losses import cases

STUDENT, TEACHER = cases.everything(seed=1), cases.everything(seed=2)


def cheapest(costs):
    """The lowest cost of a plan, by a linear program."""
    optimize = pytest.importorskip(
        "scipy.optimize", reason="scipy solves the linear program"
    )
    students, teachers = costs.shape
    sums = [
        np.eye(students)[:, :, None] * np.ones(teachers),
        np.ones(students)[:, None] * np.eye(teachers)[:, None, :],
    ]
    return optimize.linprog(
        costs.ravel(),
        A_eq=np.concatenate([s.reshape(len(s), -1) for s in sums]),
        b_eq=[1 / students] * students + [1 / teachers] * teachers,
    ).fun


def even(generator, shape):
    return generator.uniform(0.5, 1.5, shape)


def growing(generator, shape):
    """Layers that are further apart, and later ones with larger states."""
    places = [np.linspace(1 / n, 1, n) for n in shape]
    apart = np.subtract.outer(*places) ** 2
    return (apart + generator.uniform(0.0, 0.1, shape)) * places[1]


def skewed(generator, shape):
    """Most are cheap, some dear."""
    return np.exp(generator.normal(size=shape))


def with_an_outlier(generator, shape):
    costs = even(generator, shape)
    costs[:, -1] *= 50
    return costs


@pytest.mark.parametrize("make", [even, growing, skewed, with_an_outlier])
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (4, 12), (6, 12)])
def test_plans_are_those_of_the_linear_program(shape, make):
    generator = np.random.default_rng(0)
    costs = np.stack([make(generator, shape) for _ in range(8)])
    plan = np.asarray(transport_plan(np.float32(costs)), "float64")
    found = (plan * costs).sum((1, 2))
    np.testing.assert_allclose(found, [cheapest(c) for c in costs], rtol=0.01)
    np.testing.assert_allclose(plan.sum(2) * shape[0], 1, rtol=1e-3)
    np.testing.assert_allclose(plan.sum(1) * shape[1], 1, rtol=0.01)


def test_entropy_spreads_the_plan():
    costs = np.random.default_rng(0).uniform(size=(3, 4, 12))
    near, spread, even = (
        np.asarray(transport_plan(costs, *options) * costs).sum((1, 2))
        for options in ((), (0.1,), (100.0,))
    )
    assert (near < spread).all() and (spread < even).all()
    np.testing.assert_allclose(even, costs.mean((1, 2)), rtol=0.01)


def test_layers_that_are_all_the_same_share_alike():
    plan = np.asarray(transport_plan(np.zeros((1, 2, 4))))
    np.testing.assert_allclose(plan, 1 / 8, rtol=1e-9)


def oracle(regularization, cost):
    """Sinkhorn without logarithms, on costs of HiddenStateMSE's oracle."""

    def plan_of(costs, iterations=1000):
        kernel = np.exp(-costs / (regularization * costs.mean()))
        students, teachers = costs.shape
        v = np.ones(teachers)
        for _ in range(iterations):
            u = 1 / students / (kernel @ v)
            v = 1 / teachers / (kernel.T @ u)
        u = 1 / students / (kernel @ v)
        return u[:, None] * kernel * v

    def values(student, teacher, plans=None):
        costs = np.array(
            [
                [
                    [cost(student, m, teacher, n, row) for n in (0, 1, 2)]
                    for m in (1, 2)
                ]
                for row in range(cases.ROWS)
            ]
        )
        plans = [plan_of(c) for c in costs] if plans is None else plans
        return (plans * costs).sum((1, 2)), plans

    return values


def test_value_and_gradient_of_the_oracle():
    def cost(student, m, teacher, n, row):
        real = cases.MASK[row] == 1
        difference = (
            student[f"hidden_states/{m}"][row]
            - teacher[f"hidden_states/{n}"][row]
        )
        return (difference[real] ** 2).mean()

    values = oracle(0.1, cost)
    # The plan has no gradient: it is that of the student as it is.
    _, plans = values(STUDENT, TEACHER)
    cases.check_oracle(
        LayerTransport([1, 2], [0, 1, 2], regularization=0.1),
        lambda student, teacher: values(student, teacher, plans)[0],
        STUDENT,
        TEACHER,
        mask=cases.MASK,
    )


@pytest.mark.parametrize(
    ("on", "make"),
    [
        ("hidden_states", HiddenStateMSE),
        ("attention_scores", AttentionMSE),
        (
            "attention_probabilities",
            lambda pairs: AttentionMSE(pairs, on="probabilities"),
        ),
    ],
)
def test_it_finds_layers_in_another_order(on, make):
    # The student's layers are the teacher's, the other way round.
    student = {
        f"{on}/{m}": TEACHER[f"{on}/{n}"] + 0.01 for m, n in ((1, 2), (2, 1))
    }
    loss = LayerTransport([1, 2], [1, 2], on=on, regularization=0.01)
    pairs = make([(1, 2), (2, 1)])
    np.testing.assert_allclose(
        cases.call(loss, student, TEACHER, "float64", mask=cases.MASK),
        cases.call(pairs, student, TEACHER, "float64", mask=cases.MASK) / 2,
        rtol=1e-6,
    )


def test_one_projection_serves_all_of_the_teachers_layers():
    loss = LayerTransport([1, 2], [0, 1, 2])
    student, teacher = (
        {
            f"hidden_states/{layer}": keras.KerasTensor((None, None, width))
            for layer in (0, 1, 2)
        }
        for width in (4, cases.WIDTH)
    )
    assert len(loss.build(student, teacher)) == 2
    states = {
        f"hidden_states/{layer}": cases.random(*cases.MASK.shape, 4)
        for layer in (1, 2)
    }
    assert (cases.call(loss, states, TEACHER, mask=cases.MASK) > 0).all()


class TestRefusals:
    @pytest.mark.parametrize("layers", [[], 3, None])
    def test_layers(self, layers):
        with pytest.raises(ValueError, match="`teacher_layers` must be a list"):
            LayerTransport([1], layers)

    def test_what_it_compares(self):
        with pytest.raises(ValueError, match="`on` must be one of"):
            LayerTransport([1], [1], on="queries")

    def test_regularization(self):
        with pytest.raises(ValueError, match="above 0. Received: 0"):
            LayerTransport([1], [1], regularization=0)

    def test_other_numbers_of_heads(self):
        loss = LayerTransport([1], [1], on="attention_scores")
        teacher = {"attention_scores/1": np.zeros((4, 3, 5, 5))}
        with pytest.raises(ValueError, match="SelfAttentionRelations"):
            cases.call(loss, STUDENT, teacher)

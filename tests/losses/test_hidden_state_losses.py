"""Losses on hidden states against float64 oracles, and their projections."""

import keras
import numpy as np
import pytest

from keras_kd.losses import FlowMatching
from keras_kd.losses import HiddenStateCosine
from keras_kd.losses import HiddenStateMSE
from keras_kd.losses import NeuronSelectivity
from keras_kd.losses import PatientKnowledge
from tests.losses import cases

PAIRS = cases.PAIRS
STUDENT, TEACHER = cases.everything(seed=1), cases.everything(seed=2)


def real_states(outputs, layer, row):
    """`[real positions, width]` of one row."""
    states = outputs[f"hidden_states/{layer}"][row]
    return states[cases.MASK[row] == 1]


def oracle(distance):
    """The sum over pairs of layers of a distance of one row's states."""

    def values(student, teacher):
        return np.array(
            [
                sum(
                    distance(
                        real_states(student, m, row),
                        real_states(teacher, n, row),
                    )
                    for m, n in PAIRS
                )
                for row in range(cases.ROWS)
            ]
        )

    return values


def cosine(one, other):
    return one @ other / np.sqrt((one @ one) * (other @ other))


def squared(student, teacher):
    return ((student - teacher) ** 2).mean()


def mean_cosine_distance(student, teacher):
    return np.mean([1 - cosine(s, t) for s, t in zip(student, teacher)])


def patient(student, teacher):
    s, t = student[0], teacher[0]
    return ((s / np.linalg.norm(s) - t / np.linalg.norm(t)) ** 2).sum()


def all_patient(student, teacher):
    return np.mean([patient([s], [t]) for s, t in zip(student, teacher)])


def products(states):
    return states @ states.T / states.shape[1]


def plain_selectivity(student, teacher):
    return ((products(student) - products(teacher)) ** 2).mean()


def selectivity(student, teacher):
    """The paper's: neurons of length 1, a sum over positions."""

    def gram(states):
        neurons = states / np.linalg.norm(states, axis=0)
        return neurons @ neurons.T / neurons.shape[1]

    return ((gram(student) - gram(teacher)) ** 2).sum()


@pytest.mark.parametrize(
    ("loss", "distance"),
    [
        (HiddenStateMSE(PAIRS), squared),
        (HiddenStateCosine(PAIRS), mean_cosine_distance),
        (PatientKnowledge(PAIRS), patient),
        (PatientKnowledge(PAIRS, positions="all"), all_patient),
        (NeuronSelectivity(PAIRS), selectivity),
        (NeuronSelectivity(PAIRS, normalize=False), plain_selectivity),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_value_and_gradient_of_the_oracle(loss, distance):
    cases.check_oracle(
        loss, oracle(distance), STUDENT, TEACHER, mask=cases.MASK
    )


def test_flows_of_the_oracle():
    layers = [(0, 0), (1, 2), (2, 1)]

    def flow(outputs, first, second, row):
        first, second = (
            real_states(outputs, layer, row) for layer in (first, second)
        )
        return sum(np.outer(a, b) for a, b in zip(first, second)) / len(first)

    def values(student, teacher):
        return np.array(
            [
                sum(
                    (
                        (
                            flow(student, m, more_m, row)
                            - flow(teacher, n, more_n, row)
                        )
                        ** 2
                    ).mean()
                    for (m, n), (more_m, more_n) in zip(layers, layers[1:])
                )
                for row in range(cases.ROWS)
            ]
        )

    cases.check_oracle(
        FlowMatching(layers), values, STUDENT, TEACHER, mask=cases.MASK
    )


def test_without_a_mask_every_position_counts():
    ones = np.ones_like(cases.MASK)
    for name in cases.CASES:
        if name.split()[0] in ("PatientKnowledge", "NeuronSelectivity"):
            loss = cases.CASES[name]()
            np.testing.assert_allclose(
                cases.call(loss, STUDENT, TEACHER),
                cases.call(loss, STUDENT, TEACHER, mask=ones),
                rtol=1e-6,
            )


def test_the_first_position_of_a_text_without_tokens():
    nothing = np.zeros_like(cases.MASK)
    for positions in ("first", "all"):
        loss = PatientKnowledge(PAIRS, positions=positions)
        values = cases.call(loss, STUDENT, TEACHER, mask=nothing)
        np.testing.assert_array_equal(values, 0.0)


def test_states_of_length_zero_have_a_finite_gradient():
    student = {"hidden_states/1": np.zeros((1, 2, 3))}
    teacher = {"hidden_states/1": cases.random(1, 2, 3)}
    for loss in (
        HiddenStateCosine([(1, 1)]),
        PatientKnowledge([(1, 1)]),
        NeuronSelectivity([(1, 1)]),
    ):
        (slope,) = cases.gradients(loss, student, teacher).values()
        assert np.isfinite(slope).all()


def test_patience_everywhere_is_twice_the_cosine():
    loss = PatientKnowledge(PAIRS, positions="all")
    np.testing.assert_allclose(
        cases.call(loss, STUDENT, TEACHER, mask=cases.MASK),
        2
        * cases.call(
            HiddenStateCosine(PAIRS), STUDENT, TEACHER, mask=cases.MASK
        ),
        rtol=1e-5,
    )


def test_neurons_need_not_be_as_many():
    teacher = {
        f"hidden_states/{layer}": np.repeat(
            STUDENT[f"hidden_states/{layer}"], 3, axis=-1
        )
        for layer in range(3)
    }
    loss = NeuronSelectivity([(1, 1), (2, 2)])
    values = cases.call(loss, STUDENT, teacher, mask=cases.MASK)
    np.testing.assert_allclose(values, 0.0, atol=1e-6)


class TestProjections:
    layers = [(1, 1), (2, 2)]

    def outputs(self, width):
        return {
            f"hidden_states/{layer}": keras.KerasTensor((None, None, width))
            for layer in (0, 1, 2)
        }

    @pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
    @pytest.mark.parametrize(
        "make", [HiddenStateMSE, HiddenStateCosine, PatientKnowledge]
    )
    def test_states_are_projected_where_widths_differ(self, make, activation):
        loss = make(self.layers, projection=activation)
        first, second = loss.build(self.outputs(4), self.outputs(6))
        assert first.kernel.shape == second.kernel.shape == (4, 6)
        assert len({first.name, second.name}) == 2
        student = {
            name: cases.random(*cases.MASK.shape, 4, seed=(3, number))
            for number, name in enumerate(self.outputs(4))
        }
        function = {
            "linear": lambda x: x,
            "relu": lambda x: np.maximum(x, 0),
            "tanh": np.tanh,
        }[activation]
        projected = {
            name: function(student[name] @ np.float64(layer.kernel))
            for name, layer in zip(loss.student_outputs, (first, second))
        }
        np.testing.assert_allclose(
            cases.call(loss, student, TEACHER, mask=cases.MASK),
            cases.call(make(self.layers), projected, TEACHER, mask=cases.MASK),
            rtol=1e-4,
        )

    def test_states_of_one_width_are_left_alone(self):
        loss = HiddenStateMSE(self.layers)
        assert loss.build(self.outputs(6), self.outputs(6)) == []

    def test_each_flow_has_both_ends_projected(self):
        loss = FlowMatching([(0, 0), (1, 1), (2, 2)])
        assert len(loss.build(self.outputs(4), self.outputs(6))) == 3

    def test_from_the_cache_the_width_must_be_given(self):
        with pytest.raises(ValueError, match="Give `teacher_dim`"):
            HiddenStateCosine(self.layers).build(self.outputs(4), {})
        loss = HiddenStateCosine(self.layers, teacher_dim=6)
        assert len(loss.build(self.outputs(4), {})) == 2

    def test_the_width_is_kept_in_the_configuration(self):
        loss = HiddenStateMSE(self.layers)
        loss.build(self.outputs(4), self.outputs(6))
        again = HiddenStateMSE.from_config(loss.get_config())
        assert again.teacher_dim == 6
        assert len(again.build(self.outputs(4), {})) == 2

    def test_the_layers_of_several_teachers_have_a_width_each(self):
        wide = keras.KerasTensor((None, None, 9))
        teacher = {**self.outputs(6), "hidden_states/2": wide}
        loss = HiddenStateMSE(self.layers)
        loss.build(self.outputs(4), teacher)
        again = HiddenStateMSE.from_config(loss.get_config())
        given = HiddenStateMSE(self.layers, teacher_dim=[6, 9])
        assert again.teacher_dim == given.teacher_dim
        for one in (again, given):
            layers = one.build(self.outputs(4), {})
            assert [layer.kernel.shape for layer in layers] == [(4, 6), (4, 9)]

    @pytest.mark.parametrize("width", [4, 5])
    def test_they_belong_to_one_distiller(self, width):
        loss = HiddenStateMSE(self.layers)
        loss.build(self.outputs(4), self.outputs(6))
        with pytest.raises(ValueError, match="Make a new loss for each"):
            loss.build(self.outputs(width), self.outputs(6))

    def test_losses_without_any_may_be_shared(self):
        loss = HiddenStateMSE(self.layers)
        for _ in range(2):
            assert loss.build(self.outputs(6), self.outputs(6)) == []

    def test_a_width_for_some_pairs(self):
        loss = HiddenStateMSE(self.layers, teacher_dim=[6])
        with pytest.raises(ValueError, match=r"its 2 pairs.*Received: \[6\]"):
            loss.build(self.outputs(4), {})


class TestRefusals:
    def test_positions(self):
        with pytest.raises(ValueError, match="'first', 'all'.*'last'"):
            PatientKnowledge(PAIRS, positions="last")

    def test_a_projection_of_another_kind(self):
        with pytest.raises(ValueError, match="`projection` must be one of"):
            HiddenStateCosine(PAIRS, projection="gelu")

    def test_layers_that_are_no_pairs(self):
        with pytest.raises(ValueError, match="must be a list of pairs"):
            HiddenStateCosine([1, 2])

    def test_a_flow_from_nowhere(self):
        with pytest.raises(ValueError, match="Give two pairs or more"):
            FlowMatching([(1, 1)])

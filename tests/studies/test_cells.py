"""The cells of studies, from values as they are typed."""

import dataclasses

import pytest

from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.studies.cells import KINDS
from keras_kd.studies.cells import make_cells
from keras_kd.studies.cells import shared_arms


def configurations(kind, configuration, values=None):
    cells = make_cells(kind, configuration, values)
    return [
        dataclasses.replace(configuration, **cell.changes) for cell in cells
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", ["classification", "multi_label"])
def test_usual_values_make_configurations_of_equal_steps(kind, task):
    usual = Configuration(task=task, teacher="bert")
    made = configurations(kind, usual)
    assert len(made) > 2
    assert {one.steps + one.layer_steps for one in made} == {usual.steps}
    assert len({str(one) for one in made}) == len(made)


class TestTemperature:
    def test_each_with_and_without_its_square(self):
        made = configurations("temperature", Configuration(), ["1", "2.5"])
        assert [
            (one.temperature, one.scale_by_temperature_squared) for one in made
        ] == [(1.0, True), (2.5, True), (2.5, False)]

    @pytest.mark.parametrize(
        "settings", [{"task": "regression"}, {"loss": "logits_mse"}]
    )
    def test_where_there_is_none(self, settings):
        with pytest.raises(ConfigurationError, match="have a temperature"):
            make_cells("temperature", Configuration(**settings))


class TestMethods:
    def test_losses_are_joined(self):
        (one,) = configurations(
            "methods",
            Configuration(layer_steps=300, layer_losses=["contrastive"]),
            ["logits_mse+hidden_state_mse+contrastive"],
        )
        assert one.loss == "logits_mse"
        assert one.layer_losses == ["hidden_state_mse", "contrastive"]
        # Equal budgets: the steps on layers are a part of them.
        assert (one.layer_steps, one.steps) == (300, 700)

    def test_temperatures_of_rows_are_for_losses_that_have_them(self):
        configuration = Configuration(
            temperature_by="flsw", probability_shift=True
        )
        names = ["soft_cross_entropy", "logits_mse", "contrastive"]
        made = configurations("methods", configuration, names)
        assert [one.temperature_by for one in made] == ["flsw", None, "flsw"]
        assert [one.probability_shift for one in made] == [True, False, True]

    def test_layers_alone_have_soft_targets_beside_them(self):
        (one,) = configurations("methods", Configuration(), ["contrastive"])
        assert one.loss == "soft_targets"

    def test_losses_on_logits_take_no_steps_on_layers(self):
        settings = Configuration(layer_steps=300, layer_losses=["contrastive"])
        (one,) = configurations("methods", settings, ["logits_mse"])
        assert (one.layer_losses, one.layer_steps) == (None, 0)
        assert one.steps == settings.steps

    def test_own_tokens_leave_out_layers(self):
        made = configurations("methods", Configuration(tokens="word"))
        assert [one.loss for one in made] == ["soft_targets", "logits_mse"]


class TestSize:
    def test_what_is_left_out_is_as_configured(self):
        settings = Configuration(layers=3, width=48)
        made = configurations("size", settings, ["bag", "bigru:1", "bert:2:8"])
        assert [(one.student, one.layers, one.width) for one in made] == [
            ("bag", 3, 48),
            ("bigru", 1, 48),
            ("bert", 2, 8),
        ]


class TestTeacher:
    def test_several(self):
        settings = Configuration(teacher=["a/x", "b/x"])
        made = configurations("teacher", settings)
        assert [one.teacher for one in made] == ["a/x", "b/x"]
        names = [cell.name for cell in make_cells("teacher", settings)]
        assert names == ["teacher-1-x", "teacher-2-x"]

    def test_epochs(self):
        settings = Configuration(teacher="a", teacher_epochs=4.0)
        made = configurations("teacher", settings)
        assert [one.teacher_epochs for one in made] == [0.5, 1.0, 2.0, 4.0]
        assert all(one.fine_tune_teacher for one in made)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("temperature", ["warm"]),
        ("temperature", ["0"]),
        ("temperature", ["2", "2.0"]),
        ("methods", ["joy"]),
        ("methods", ["soft_targets+logits_mse"]),
        ("size", ["lstm"]),
        ("size", ["bag:x"]),
        ("size", ["bag:1:2:3"]),
        ("size", ["teacher:0,x"]),
        ("teacher", ["none"]),
        ("size", []),
    ],
)
def test_values_that_are_refused(kind, values):
    with pytest.raises(ConfigurationError, match="values of the study must be"):
        make_cells(kind, Configuration(), values)


def test_sizes_of_layers_of_the_teacher():
    cells = make_cells("size", Configuration(), ["teacher:0,2,5", "bigru:1:8"])
    assert [cell.name for cell in cells] == ["teacher-0-2-5", "bigru-1-8"]
    one = dataclasses.replace(Configuration(), **cells[0].changes)
    assert (one.student, one.layers, one.teacher_layers, one.width) == (
        "bert", 3, [0, 2, 5], None,
    )  # fmt: skip


def test_what_all_cells_share():
    one, two = Configuration(teacher="a"), Configuration(teacher=["a", "b"])
    assert shared_arms("temperature", one) == ["teacher", "alone"]
    assert shared_arms("methods", one) == ["teacher", "alone"]
    assert shared_arms("size", one) == ["teacher"]
    assert shared_arms("teacher", one) == ["alone"]
    assert shared_arms("teacher", two) == []

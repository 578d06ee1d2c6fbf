"""Losses between layers as settings of a run."""

import json

import keras
import numpy as np
import pytest

from keras_kd.configuration import LAYER_LOSSES
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.models.layer_outputs import layer_outputs
from keras_kd.models.students import build_student
from keras_kd.runs.compare import Comparison
from keras_kd.runs.layer_distillation import layer_losses
from keras_kd.runs.layer_distillation import read_map
from keras_kd.runs.run_folder import RunFolder
from tests import tiny


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A run with a BERT of one layer, which is right on every row."""
    folder = tmp_path_factory.mktemp("layers")
    tiny.write_bert(folder / "bert")
    return dict(
        **tiny.write_data(folder / "data", train=12, test=20, unlabelled=20),
        teacher=str(folder / "bert"),
        fine_tune_teacher=False,
        cache=str(folder / "cache"),
        max_length=tiny.LENGTH,
        student="transformer",
        width=8,
        dropout=0.0,
        batch_size=16,
        steps=4,
        evaluate_every=2,
        arms=["teacher", "distilled"],
    )


@pytest.fixture
def compare(settings, tmp_path):
    """Makes a comparison that is prepared to train."""

    def make(**changes):
        configuration = Configuration(**{**settings, **changes})
        run = RunFolder.start(tmp_path / "run", configuration)
        comparison = Comparison(configuration, run)
        comparison.prepare()
        comparison.prepare_teacher()
        return comparison

    return make


class TestMaps:
    @pytest.mark.parametrize(
        "text, pairs",
        [
            ("uniform", [(1, 3), (2, 6)]),
            ("last", [(1, 5), (2, 6)]),
            ("first", [(1, 1), (2, 2)]),
            ("skip", [(1, 1), (2, 4)]),
            ("last_only", [(2, 6)]),
            ("0:0,1:4", [(0, 0), (1, 4)]),
        ],
    )
    def test_of_two_layers_and_six(self, text, pairs):
        assert read_map(text, 2, 6) == pairs

    @pytest.mark.parametrize("text", ["even", "", "1:7", "3:6", "1:2:3", "1"])
    def test_what_is_none(self, text):
        with pytest.raises(ValueError, match="`layer_map` must be one of"):
            read_map(text, 2, 6)


class TestLosses:
    @pytest.fixture(scope="class")
    def models(self):
        sizes = {"vocabulary_size": 9, "num_outputs": 2, "width": 24}
        return [
            build_student("transformer", layers=n, max_length=8, **sizes)
            for n in (2, 3)
        ]

    @pytest.mark.parametrize("name", LAYER_LOSSES)
    def test_each_name_is_a_loss_of_that_name(self, models, name):
        (loss,) = layer_losses([name], *models, weight=0.5)
        assert (loss.name, loss.weight) == (name, 0.5)
        x = {
            "token_ids": np.array([[1, 2, 3], [5, 6, 0], [7, 8, 1], [2, 8, 0]]),
            "padding_mask": np.array(
                [[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 0]]
            ),
        }
        outputs = [
            layer_outputs(model, names)(x)
            for model, names in zip(
                models, (loss.student_outputs, loss.teacher_outputs)
            )
        ]
        loss.build(*outputs)
        values = loss(*outputs, mask=x["padding_mask"])
        assert np.all(keras.ops.convert_to_numpy(values) > 0)

    def test_relation_heads(self, models):
        names = ["self_attention_relations", "value_relations", "attention_kl"]
        both, values, _ = layer_losses(names, *models, relation_heads=12)
        assert (both.relation_heads, values.relation_heads) == (12, 12)
        assert (len(both.relations), values.relations) == (3, ["values"])

    def test_another_name(self, models):
        with pytest.raises(ValueError, match=r"also: \['hidden'\]"):
            layer_losses(["hidden"], *models)

    @pytest.mark.parametrize("role", ["student", "teacher"])
    @pytest.mark.parametrize(
        "name", ["hidden_state_mse", "embedding_mse", "layer_transport"]
    )
    def test_a_model_without_layers(self, models, role, name):
        bag = build_student("bag", vocabulary_size=9, num_outputs=2, width=24)
        pair = {"student": models[0], "teacher": models[1], role: bag}
        with pytest.raises(ConfigurationError, match=f"{role} has no layers"):
            layer_losses(["contrastive", name], **pair)
        assert layer_losses(["contrastive", "relational_angle"], **pair)


class TestRuns:
    def test_beside_the_logits(self, compare):
        comparison = compare(
            layer_losses=["hidden_state_mse", "embedding_mse"],
            alpha=0.5,
            steps=40,
            evaluate_every=20,
            learning_rate=0.01,
        )
        # The teacher runs live: nothing but validation rows was labelled.
        assert len(comparison.targets) == len(comparison.rows.validation)
        result, _ = comparison.train_arm("distilled", 0)
        first, last = result["history"]
        for name in ("hidden_state_mse", "embedding_mse", "soft_targets"):
            assert 0 < last[f"{name}_loss"] < first[f"{name}_loss"]
        assert "hard_labels_loss" in last

    def test_before_the_logits(self, compare, settings):
        comparison = compare(
            layer_losses=["hidden_state_mse"], layer_steps=40, evaluate_every=20
        )
        comparison.label()
        result, student = comparison.train_arm("distilled", 0)
        unit = comparison.run.unit("distilled-0-layers")
        layers = json.loads((unit / "result.json").read_text())
        assert layers["steps"] == 40
        first, last = layers["history"]
        # Scored by what it learns, on the validation rows.
        assert first["validation"] < last["validation"] < 0
        assert set(last) >= {"hidden_state_mse_loss"}
        assert "soft_targets_loss" not in last
        assert set(result["history"][0]) >= {"soft_targets_loss"}
        assert "hidden_state_mse_loss" not in result["history"][0]
        # The second stage begins where the first ended.
        start = keras.saving.load_model(unit / "student.keras")
        moved = [
            np.abs(a - b).max()
            for a, b in zip(start.get_weights(), student.get_weights())
        ]
        assert 0 < max(moved) < 4.5e-3  # Four steps of 0.001 at the most.

    def test_alone_sees_no_layers(self, compare):
        comparison = compare(
            layer_losses=["hidden_state_mse"],
            layer_steps=4,
            arms=["alone", "distilled"],
        )
        result = comparison.execute()
        arms = {arm: one["seeds"][0] for arm, one in result["arms"].items()}
        # It makes as many steps as the other in both of its stages.
        steps = comparison.configuration.steps + 4
        assert [arms[arm]["steps"] for arm in arms] == [steps, steps]
        # Both are counted, and drawn, on one axis.
        assert [one["history"][-1]["step"] for one in arms.values()] == [
            steps,
            steps,
        ]
        last = arms["distilled"]
        assert last["best_step"] in [e["step"] for e in last["history"]]
        result = arms["alone"]
        assert not comparison.run.unit("alone-0-layers").exists()
        assert "hidden_state_mse_loss" not in result["history"][0]

    def test_a_recurrent_student_reads_fewer_inputs(self, compare):
        comparison = compare(
            student="bigru",
            width=4,
            layer_losses=["hidden_state_mse"],
            steps=2,
        )
        teacher = comparison.teacher.model
        assert "segment_ids" in [tensor.name for tensor in teacher.inputs]
        result, _ = comparison.train_arm("distilled", 0)
        assert result["history"][0]["hidden_state_mse_loss"] > 0

    def test_other_heads_are_refused_before_training(self, compare, tmp_path):
        with pytest.raises(ValueError, match="SelfAttentionRelations"):
            compare(layer_losses=["attention_mse"])
        assert not (tmp_path / "run" / "units").exists()


class TestSettings:
    @pytest.mark.parametrize(
        "settings, said",
        [
            ({"layer_steps": 5}, "`layer_steps` must be 0 where"),
            (
                {"layer_losses": ["hidden_state_mse"], "tokens": "word"},
                "token by token",
            ),
            ({"layer_losses": ["hidden"]}, "`layer_losses` must be some of"),
            ({"layer_weight": -1.0}, "`layer_weight` must be 0 or more"),
            ({"relation_heads": 0}, "`relation_heads` must be above 0"),
            (
                {"layer_weight": [1.0, 2.0], "layer_losses": ["contrastive"]},
                "`layer_weight` must be one number, or 1: one for each of",
            ),
            (
                {
                    "layer_weight": [1.0, -2.0],
                    "layer_losses": ["contrastive", "embedding_mse"],
                },
                "`layer_weight` must be 0 or more",
            ),
        ],
    )
    def test_what_does_not_fit(self, settings, said):
        with pytest.raises(ConfigurationError, match=said):
            Configuration(**settings)


def test_relations_of_the_default_width_need_no_number(compare):
    comparison = compare(
        layer_losses=["self_attention_relations"], width=64, relation_heads=None
    )
    # 4 columns of the teacher's, in 2 heads.
    comparison._check_layer_losses(comparison.build_student(8, 2))
    comparison.configuration.relation_heads = 4
    (loss,) = comparison._layer_losses(comparison.build_student(8, 2))
    assert loss.relation_heads == 4


def test_each_loss_may_have_a_weight_of_its_own(compare):
    comparison = compare(
        layer_losses=["relational_distance", "contrastive"],
        layer_weight=[0.5, 3.0],
    )
    student = comparison.build_student(8, 2)
    losses = comparison._layer_losses(student)
    assert [(loss.name, loss.weight) for loss in losses] == [
        ("relational_distance", 0.5),
        ("contrastive", 3.0),
    ]


def test_student_without_layers_learns_from_rows_alone():
    student = build_student("bag", 9, 2, width=8, embedding_dim=8)
    teacher = build_student("transformer", 9, 2, width=8, max_length=8)
    (loss,) = layer_losses(["relational_distance"], student, teacher)
    assert loss.name == "relational_distance"
    with pytest.raises(ValueError, match="student has no layers"):
        layer_losses(["hidden_state_mse"], student, teacher)

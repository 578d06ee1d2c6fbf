"""Several teachers as one: the mean of their logits, live and from disk."""

import json

import keras
import numpy as np
import pytest

from keras_kd.distiller import Distiller
from keras_kd.losses.hidden_state_mse import HiddenStateMSE
from keras_kd.losses.soft_targets import SoftTargets
from keras_kd.models.bert_student import bert_student
from keras_kd.models.layer_outputs import layer_outputs
from keras_kd.models.transformer import transformer_student
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.ensemble import TeacherEnsemble
from keras_kd.teachers.ensemble import pick_weights
from keras_kd.teachers.teacher import Teacher
from tests import tiny

LABELS = ["a", "b", "c"]
TOKENS = [[2, 5, 9, 3], [2, 7, 3], [2, 11, 29, 6, 6, 3], [2, 3]]


@pytest.fixture
def make(bag_classifier, word_tokenizer):
    """Makes teachers with random weights, of which each is another one."""

    def make(count, labels=LABELS):
        generator = np.random.default_rng(count)
        teachers = []
        for number in range(count):
            # One name for all, as models from one builder have it.
            model = bag_classifier()
            model.set_weights(
                [generator.normal(size=w.shape) for w in model.get_weights()]
            )
            teachers.append(Teacher(model, word_tokenizer, labels))
        return teachers

    return make


def oracle(teachers, weights, rows=TOKENS):
    """The weighted mean of logits, in float64 and without Keras."""
    shares = np.asarray(weights, "float64") / np.sum(weights)
    total = 0.0
    for share, teacher in zip(shares, teachers, strict=True):
        table, kernel, bias = (
            weight.astype("float64") for weight in teacher.model.get_weights()
        )
        sums = np.stack([table[ids].sum(axis=0) for ids in rows])
        total = total + share * (sums @ kernel + bias)
    return total


def features(rows=TOKENS, segments=False):
    length = max(map(len, rows))
    tokens = np.array([ids + [0] * (length - len(ids)) for ids in rows])
    inputs = {"token_ids": tokens, "padding_mask": (tokens > 0).astype("int32")}
    if segments:
        inputs["segment_ids"] = (tokens > 8).astype("int32")
    return inputs


@pytest.mark.parametrize("weights", [None, [2, 1, 1], [0.0, 0.5, 1.5]])
def test_logits_are_the_weighted_mean(make, weights):
    teachers = make(3)
    ensemble = TeacherEnsemble(teachers, weights)
    expected = oracle(teachers, weights or [1, 1, 1])
    received = np.asarray(ensemble.model(features()))
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
    assert sum(ensemble.weights) == pytest.approx(1.0)
    assert ensemble.labels == LABELS


def test_probabilities_are_the_geometric_mean(make):
    teachers = make(2)
    ensemble = TeacherEnsemble(teachers, [3, 1])
    each = [
        keras.activations.softmax(teacher.model(features()))
        for teacher in teachers
    ]
    expected = np.asarray(each[0], "float64") ** 0.75
    expected = expected * np.asarray(each[1], "float64") ** 0.25
    expected = expected / expected.sum(axis=-1, keepdims=True)
    received = keras.activations.softmax(ensemble.model(features()))
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-6)


class TestFromDisk:
    def test_each_teacher_is_asked_once_and_no_second_time(
        self, make, small_rows, tmp_path
    ):
        teachers = make(2)
        rows = small_rows(TOKENS)
        ensemble = TeacherEnsemble(teachers, [1, 3])
        targets = ensemble.label(rows, tmp_path / "targets")
        np.testing.assert_allclose(
            targets.lookup(rows.keys())["logits"],
            oracle(teachers, [1, 3]),
            rtol=1e-5,
            atol=1e-5,
        )
        asked = []
        again = ensemble.label(rows, tmp_path / "targets", asked.append)
        assert asked == [] and len(again) == len(TOKENS)
        (shard,) = (tmp_path / "targets").glob("*.safetensors")
        assert shard.stat().st_size < 1000  # The mean alone, not each of them.

    def test_the_key_names_all_teachers_and_weights(
        self, make, small_rows, tmp_path
    ):
        first, second, third = make(3)
        rows = small_rows(TOKENS)
        TeacherEnsemble([first, second]).label(rows, tmp_path / "targets")
        (manifest,) = (tmp_path / "targets").glob("manifest-*.json")
        stored = json.loads(manifest.read_text())["fingerprint"]
        assert stored["teachers"] == [
            first.fingerprint["weights"], second.fingerprint["weights"]
        ]  # fmt: skip
        assert stored["teacher_weights"] == [0.5, 0.5]
        for others in (
            TeacherEnsemble([first, third]),
            TeacherEnsemble([first, second], [2, 1]),
            TeacherEnsemble([second, first]),
            first,
        ):
            with pytest.raises(ValueError, match="targets of another teacher"):
                TeacherTargets(tmp_path / "targets", others.fingerprint)
        same = TeacherEnsemble([first, second], [7, 7])
        assert len(TeacherTargets(tmp_path / "targets", same.fingerprint)) == 4


def test_live_it_trains_a_student_as_from_disk(make, bag_classifier):
    teachers = make(2)
    before = [teacher.model.get_weights() for teacher in teachers]
    ensemble = TeacherEnsemble(teachers, [1, 2])
    student = bag_classifier(name="student")
    logits = np.asarray(student(features()), "float64")
    losses = []
    for teacher, targets in (
        (ensemble.model, {}),
        (None, {"teacher": {"logits": oracle(teachers, [1, 2])}}),
    ):
        distiller = Distiller(
            student, teacher, [SoftTargets(2.0)], hard_label_weight=0.0
        )
        distiller.compile("sgd")
        loss = distiller.compute_loss(features(), targets, student(features()))
        losses.append(float(loss))
    # T^2 times the divergence, by hand.
    teacher, own = (
        x / 2 - np.log(np.exp(x / 2).sum(axis=-1, keepdims=True))
        for x in (oracle(teachers, [1, 2]), logits)
    )
    expected = 4 * (np.exp(teacher) * (teacher - own)).sum(axis=-1).mean()
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    distiller = Distiller(student, ensemble.model, [SoftTargets(2.0)], 0.0)
    distiller.compile("sgd", run_eagerly=True)
    distiller.fit(features(), np.zeros(4), verbose=0)
    for teacher, weights in zip(teachers, before, strict=True):
        for now, then in zip(teacher.model.get_weights(), weights):
            np.testing.assert_array_equal(now, then)


class TestLayers:
    @pytest.fixture
    def ensemble(self, word_tokenizer):
        """Teachers of other depths, widths and inputs."""
        models = [
            transformer_student(30, 3, 1, 8, 2, max_length=8),
            bert_student(30, 3, 3, 12, 3, max_length=8),
            bert_student(30, 3, 2, 8, 2, max_length=8),
        ]
        return TeacherEnsemble([Teacher(one, word_tokenizer) for one in models])

    def test_inputs_are_those_of_all(self, ensemble):
        assert set(ensemble.model.input) == {
            "token_ids", "segment_ids", "padding_mask"
        }  # fmt: skip
        inputs = features(segments=True)
        each = []
        for teacher in ensemble.teachers:
            own = {name: inputs[name] for name in teacher.model.input}
            each.append(np.asarray(teacher.model(own), "float64"))
        np.testing.assert_allclose(
            ensemble.model(inputs), np.mean(each, axis=0), rtol=1e-5, atol=1e-5
        )

    def test_blocks_are_counted_from_the_first_teacher_to_the_last(
        self, ensemble
    ):
        inputs = features(segments=True)
        places = [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
        names = [f"hidden_states/{n}" for n in range(1, 1 + len(places))]
        received = layer_outputs(
            ensemble.model, [*names, "attention_probabilities/5"]
        )(inputs)
        for name, (number, block) in zip(names, places, strict=True):
            model = ensemble.teachers[number].model
            own = {key: inputs[key] for key in model.input}
            expected = layer_outputs(model, [f"hidden_states/{block}"])(own)
            np.testing.assert_allclose(
                received[name],
                expected[f"hidden_states/{block}"],
                rtol=1e-5,
                atol=1e-5,
            )
        assert received["attention_probabilities/5"].shape == (4, 2, 6, 6)

    def test_a_student_learns_from_layers_of_several(self, ensemble):
        student = transformer_student(30, 3, 2, 8, 2, max_length=8)
        # The first's only layer, and the last of the last.
        loss = HiddenStateMSE([(1, 1), (2, 6)])
        distiller = Distiller(student, ensemble.model, [loss], 0.0)
        distiller.compile("sgd")
        inputs = features(segments=True)
        received = distiller.compute_loss(
            inputs, {}, distiller(inputs, training=False)
        )
        own = layer_outputs(student, ["hidden_states/1", "hidden_states/2"])(
            {name: inputs[name] for name in student.input}
        )
        real = inputs["padding_mask"].astype(bool)
        expected = 0.0
        for number, (name, block) in enumerate(
            [("hidden_states/1", 1), ("hidden_states/2", 2)]
        ):
            model = ensemble.teachers[(0, 2)[number]].model
            theirs = layer_outputs(model, [f"hidden_states/{block}"])(
                {key: inputs[key] for key in model.input}
            )[f"hidden_states/{block}"]
            squares = np.asarray(own[name], "float64") - np.asarray(theirs)
            squares = (squares**2).mean(axis=-1)
            expected += np.mean([s[r].mean() for s, r in zip(squares, real)])
        assert float(received) == pytest.approx(expected, rel=1e-5)


def test_saved_it_is_a_teacher_like_any_other(make, tmp_path):
    ensemble = TeacherEnsemble(make(2), [1, 3])
    ensemble.save(tmp_path / "teacher")
    again = Teacher.open(tmp_path / "teacher")
    np.testing.assert_allclose(
        again.model(features()), ensemble.model(features()), rtol=1e-6
    )
    assert again.labels == LABELS


def test_folders_are_opened(tmp_path):
    folders = [
        tiny.write_teacher(tmp_path / "saved"),
        tiny.write_bert(tmp_path / "bert"),
    ]
    ensemble = TeacherEnsemble.open(folders, [1, 1])
    assert ensemble.labels == tiny.LABELS
    assert "segment_ids" in ensemble.model.input


class TestPickWeights:
    def test_weights_are_those_with_the_best_score(self):
        generator = np.random.default_rng(0)
        logits = generator.normal(size=(3, 50, 2))
        truth = 0.25 * logits[0] + 0.75 * logits[2]

        def score(mean):
            return -float(((mean - truth) ** 2).mean())

        weights = pick_weights(logits, score)
        assert weights == [0.25, 0.0, 0.75]

    @pytest.mark.parametrize("seed", range(5))
    def test_no_less_than_the_best_teacher_alone(self, seed):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 3, 40)
        logits = generator.normal(size=(4, 40, 3))
        logits[:, np.arange(40), labels] += [[0.2], [0.5], [1.0], [1.2]]

        def score(mean):
            return float((mean.argmax(axis=-1) == labels).mean())

        weights = pick_weights(logits, score)
        assert sum(weights) == pytest.approx(1.0) and min(weights) >= 0
        mean = np.tensordot(weights, logits, 1)
        assert score(mean) >= max(map(score, logits))

    def test_equal_scores_are_told_apart_by_what_comes_next(self):
        # Both are right on every row; the second is surer.
        logits = [np.array([[0.0, 1.0]]), np.array([[0.0, 9.0]])]

        def score(mean):
            return 1.0, float(mean[0, 1])

        assert pick_weights(logits, score) == [0.0, 1.0]


class TestRefusals:
    def test_one_teacher_is_none(self, make):
        with pytest.raises(ValueError, match="two teachers or more, not 1"):
            TeacherEnsemble(make(1))

    @pytest.mark.parametrize(
        "weights", [[1], [1, 1, 1], [1, -1], [0, 0], [1, float("nan")]], ids=str
    )
    def test_weights(self, make, weights):
        with pytest.raises(ValueError, match="`weights` must be 2 numbers"):
            TeacherEnsemble(make(2), weights)

    def test_other_classes(self, make):
        teachers = make(2)
        teachers[1].labels = ["c", "b", "a"]
        with pytest.raises(ValueError, match="same classes in their order"):
            TeacherEnsemble(teachers)
        # One may not know its classes.
        teachers[0].labels = None
        assert TeacherEnsemble(teachers).labels == ["c", "b", "a"]

    def test_another_number_of_classes(self, make, bag_classifier):
        teachers = make(2, labels=None)
        teachers[1].model = bag_classifier(outputs=2)
        with pytest.raises(ValueError, match="same shapes of 'logits'"):
            TeacherEnsemble(teachers)

    def test_other_tokens(self, make, tmp_path):
        teachers = make(2)
        teachers[1].tokenizer = tiny.make_teacher(tmp_path / "t").tokenizer
        with pytest.raises(ValueError, match="same tokens"):
            TeacherEnsemble(teachers)

"""A teacher's folder, labels and fingerprint."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.models.recurrent import recurrent_student
from keras_kd.teachers.teacher import Teacher
from keras_kd.teachers.teacher import is_saved_teacher
from keras_kd.teachers.teacher import weights_hash
from tests import tiny


@pytest.fixture
def teacher(bag_classifier, word_tokenizer):
    return Teacher(bag_classifier(), word_tokenizer, ["a", "b", "c"])


def features(seed=0):
    tokens = np.random.default_rng(seed).integers(1, 24, (3, 5)).astype("int32")
    return {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}


class TestFolder:
    def test_saved_and_opened_it_is_the_same(self, teacher, tmp_path):
        assert not is_saved_teacher(tmp_path / "teacher")
        teacher.save(tmp_path / "teacher")
        assert is_saved_teacher(tmp_path / "teacher")
        again = Teacher.open(tmp_path / "teacher")
        np.testing.assert_array_equal(
            again.model(features()), teacher.model(features())
        )
        assert again.labels == ["a", "b", "c"]
        assert again.fingerprint == teacher.fingerprint
        texts = ["w4 w5 nothing", ""]
        assert again.tokenizer.encode(texts, 8) == teacher.tokenizer.encode(
            texts, 8
        )

    def test_labels_may_be_unknown(self, teacher, tmp_path):
        Teacher(teacher.model, teacher.tokenizer).save(tmp_path / "teacher")
        assert Teacher.open(tmp_path / "teacher").labels is None

    def test_saving_again_replaces_it(self, teacher, tmp_path):
        teacher.save(tmp_path / "teacher")
        teacher.labels = ["x", "y", "z"]
        teacher.save(tmp_path / "teacher")
        assert Teacher.open(tmp_path / "teacher").labels == ["x", "y", "z"]

    def test_saving_that_fails_keeps_the_old_one(
        self, teacher, tmp_path, monkeypatch
    ):
        teacher.save(tmp_path / "teacher")
        fingerprint = teacher.fingerprint
        teacher.model.layers[-1].bias.assign([9.0, 9.0, 9.0])

        def full(folder):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(teacher.tokenizer, "save", full)
        with pytest.raises(OSError, match="No space left"):
            teacher.save(tmp_path / "teacher")
        assert Teacher.open(tmp_path / "teacher").fingerprint == fingerprint
        assert [p.name for p in tmp_path.iterdir()] == ["teacher"]

    def test_a_checkpoint_is_not_replaced(self, teacher, tmp_path):
        folder = tmp_path / "bert"
        tiny.write_bert(folder)
        with pytest.raises(FileExistsError, match="config.json"):
            teacher.save(folder)
        assert (folder / "model.safetensors").exists()

    def test_a_checkpoint_of_hugging_face_with_its_head(self, tmp_path):
        tiny.write_bert(tmp_path / "bert")
        teacher = Teacher.open(tmp_path / "bert")
        assert teacher.labels == tiny.LABELS
        assert teacher.model.output.shape == (None, 2)
        (encoded,) = teacher.tokenizer.encode(["the film was fine"], 8)
        tokens = np.array([encoded[0]], "int32")
        logits = teacher.model(
            {
                "token_ids": tokens,
                "padding_mask": np.ones_like(tokens),
                "segment_ids": np.zeros_like(tokens),
            }
        )
        assert np.argmax(logits) == tiny.LABELS.index("good")
        # Our own folder of it gives the same.
        teacher.save(tmp_path / "ours")
        again = Teacher.open(tmp_path / "ours")
        assert again.fingerprint == teacher.fingerprint
        assert again.labels == tiny.LABELS

    def test_a_fresh_head_has_no_labels(self, tmp_path):
        tiny.write_bert(tmp_path / "bert", head=False)
        teacher = Teacher.open(tmp_path / "bert", num_outputs=3)
        assert teacher.labels is None
        assert teacher.model.output.shape == (None, 3)
        with pytest.raises(ValueError, match="num_outputs"):
            Teacher.open(tmp_path / "bert")


class TestLabel:
    def test_a_second_call_asks_for_nothing(
        self, teacher, small_rows, tmp_path, monkeypatch
    ):
        rows = small_rows([[2, 7, 3], [2, 3], [2, 7, 3], [2, 9, 8, 3]])
        done = []
        targets = teacher.label(rows, tmp_path / "t", progress=done.append)
        assert sum(done) == 3
        for position in range(4):
            tokens = np.array(rows.row("token_ids", position))[None]
            logits = teacher.model(
                {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
            )
            np.testing.assert_allclose(
                targets.lookup(rows.keys([position]))["logits"],
                logits,
                atol=1e-6,
            )

        def never(*args, **kwargs):
            raise AssertionError("The teacher was asked.")

        monkeypatch.setattr(type(teacher.model), "__call__", never)
        again = teacher.label(rows, tmp_path / "t")
        np.testing.assert_array_equal(
            again.lookup(rows.keys())["logits"],
            targets.lookup(rows.keys())["logits"],
        )

    def test_a_teacher_that_was_trained_on_is_another_teacher(
        self, teacher, small_rows, tmp_path
    ):
        rows = small_rows([[2, 7, 3]])
        teacher.label(rows, tmp_path / "t")
        teacher.model.layers[-1].bias.assign([0.0, 0.0, 1e-6])
        with pytest.raises(ValueError, match="targets of another teacher"):
            teacher.label(rows, tmp_path / "t")


class TestFingerprint:
    def test_every_weight_counts(self, teacher):
        before = weights_hash(teacher.model)
        for variable in teacher.model.weights:
            values = variable.numpy()
            changed = values.copy()
            changed.flat[-1] += 1e-3
            variable.assign(changed)
            assert weights_hash(teacher.model) != before
            variable.assign(values)
        assert weights_hash(teacher.model) == before

    def test_the_layers_count(self):
        # The same weights, which compute something else.
        def build(activation):
            tokens = keras.Input((None,), dtype="int32", name="token_ids")
            x = layers.Embedding(9, 4)(tokens)
            x = layers.MultiHeadAttention(2, 2)(x, x)
            x = layers.Dense(4, activation=activation)(x)
            model = keras.Model({"token_ids": tokens}, x[:, 0])
            for variable in model.weights:
                variable.assign(keras.ops.ones_like(variable))
            return model

        hashes = [
            weights_hash(build(activation))
            for activation in ("relu", "gelu", "relu")
        ]
        assert hashes[0] == hashes[2] != hashes[1]

    def test_the_tokenizer_counts(self, teacher, tmp_path):
        tiny.write_tokenizer(tmp_path)
        other = tiny.make_teacher(tmp_path).tokenizer
        moved = Teacher(teacher.model, other, teacher.labels)
        assert moved.fingerprint["weights"] == teacher.fingerprint["weights"]
        assert moved.fingerprint != teacher.fingerprint

    def test_what_was_built_before_does_not_count(self, tmp_path):
        # Keras calls the cells of the second model forward_gru_1 and so on.
        models = [
            recurrent_student(9, 2, units=2, embedding_dim=2) for _ in range(2)
        ]
        models[1].set_weights(models[0].get_weights())
        models[0].save(tmp_path / "model.keras")
        models.append(keras.models.load_model(tmp_path / "model.keras"))
        assert len({weights_hash(model) for model in models}) == 1

    def test_freezing_does_not_count(self, teacher):
        before = weights_hash(teacher.model)
        teacher.model.trainable = False
        assert weights_hash(teacher.model) == before

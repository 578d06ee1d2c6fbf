"""A number for a text: labels, scores, and the teacher's number."""

import keras
import numpy as np
import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.rows import write_rows
from keras_kd.tasks.named_tasks import build_task
from keras_kd.tasks.text_regression import TextRegression


@pytest.fixture
def task():
    return TextRegression()


@pytest.mark.parametrize("label", ["4 stars", "", "nan", "inf", ("1",)])
def test_labels_that_are_no_numbers(task, label):
    with pytest.raises(DataError, match="x.csv:3: the label .* no finite"):
        task.encode_label(label, "x.csv:3")


def test_one_number_for_all_is_refused(task):
    with pytest.raises(DataError, match="All 3 rows of the test part .* 2.5"):
        task.check_labels(np.array([2.5, 2.5, 2.5]), "test")


def test_scores(task):
    labels = np.array([1.0, 2.0, 3.0, 4.0])
    assert task.score(labels[:, None] * 2 + 1, labels) == pytest.approx(1.0)
    assert task.score(-labels[:, None], labels) == pytest.approx(-1.0)
    assert task.trivial_score(labels) == 0.0
    ranks = TextRegression("spearman")
    assert ranks.score(np.exp(labels)[:, None], labels) == pytest.approx(1.0)
    assert task.agreement(
        labels[:, None], 3 * labels[:, None]
    ) == pytest.approx(1.0)
    assert task.divergence([[1.0], [2.0]], [[2.0], [4.0]]) == 2.5


def test_answers(task):
    assert task.answers([[3.14159], [-1]]) == [
        ("3.142", None),
        ("-1.000", None),
    ]


def test_another_metric():
    with pytest.raises(ValueError, match="`metric` .* 'accuracy'"):
        TextRegression("accuracy")


def test_it_is_saved_and_built_again():
    again = build_task(**TextRegression("spearman").to_dict())
    assert again.primary_metric == "spearman"


def test_a_student_learns_labels_and_teacher(task, word_tokenizer, tmp_path):
    from keras_kd.data.pipeline import training_batches
    from keras_kd.distiller import Distiller

    numbers = {"w4": 1.0, "w5": -2.0, "w6": None}
    rows = write_rows(
        tmp_path / "rows",
        task.featurize(
            [
                Example(f"{word}-{copy}", (word,), number)
                for word, number in numbers.items()
                for copy in range(4)
            ],
            word_tokenizer,
            8,
        ),
        {},
    )

    class Targets:
        """A teacher that knows of every row 0.5 more than its label."""

        def lookup(self, keys):
            logits = {4: 1.5, 5: -1.5, 6: 3.0}
            first = {
                key: rows.row("token_ids", position)[1]
                for position, key in enumerate(rows.keys().tolist())
            }
            values = [[logits[first[key]]] for key in keys.tolist()]
            return {"logits": np.array(values, "float32")}

    def trained(losses, hard_label_weight):
        keras.utils.set_random_seed(0)
        tokens = keras.Input((None,), dtype="int32", name="token_ids")
        x = keras.layers.Embedding(30, 4)(tokens)
        x = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(x))
        student = keras.Model({"token_ids": tokens}, x)
        distiller = Distiller(
            student, losses=losses, hard_label_weight=hard_label_weight
        )
        distiller.compile(
            keras.optimizers.Adam(0.03),
            loss=task.hard_label_loss(),
            metrics=task.metrics(),
        )
        targets = Targets() if losses else None
        history = distiller.fit(
            training_batches(rows, student, 12, targets=targets),
            steps_per_epoch=200,
            verbose=0,
        )
        assert np.isfinite(history.history["mae"][0])
        ids = np.array([[2, 4, 3], [2, 5, 3], [2, 6, 3]])
        return keras.ops.convert_to_numpy(student({"token_ids": ids}))[:, 0]

    on_labels = trained([], 1.0)
    assert on_labels[:2] == pytest.approx([1.0, -2.0], abs=0.05)
    from_teacher = trained([task.teacher_loss("soft_targets", 2.0, 1.0)], 0.0)
    assert from_teacher == pytest.approx([1.5, -1.5, 3.0], abs=0.05)
    half = trained([task.teacher_loss("logits_mse", 2.0, 0.5)], 0.5)
    # Between the two where both know an answer.
    assert half[:2] == pytest.approx([1.25, -1.75], abs=0.1)

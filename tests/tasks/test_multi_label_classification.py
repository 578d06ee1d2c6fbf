"""Several labels for a text: what stands in a file, and how it is scored."""

import keras
import numpy as np
import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.rows import write_rows
from keras_kd.tasks.multi_label_classification import MultiLabelClassification
from keras_kd.tasks.named_tasks import build_task


@pytest.fixture
def task():
    return MultiLabelClassification(["insult", "threat", "toxic"])


class TestLabels:
    @pytest.mark.parametrize(
        ("cell", "row"),
        [
            ("toxic", [0, 0, 1]),
            ("toxic,insult", [1, 0, 1]),
            (" threat , toxic,", [0, 1, 1]),
            (",", [0, 0, 0]),
            ((), [0, 0, 0]),
            (("insult", "threat"), [1, 1, 0]),
        ],
    )
    def test_cells_and_lists(self, task, cell, row):
        assert list(task.encode_label(cell, "row 1")) == row

    def test_another_separator(self):
        task = MultiLabelClassification(["a, b", "c"], separator="|")
        assert list(task.encode_label("c|a, b", "row")) == [1, 1]

    def test_an_unknown_label_names_the_row(self, task):
        with pytest.raises(DataError, match="x.csv:3: unknown label 'rude'"):
            task.encode_label("toxic,rude", "x.csv:3")

    def test_all_alike_is_refused(self, task):
        with pytest.raises(DataError, match="the same labels .*'toxic'"):
            task.check_labels(np.array([[0, 0, 1]] * 3), "training")

    def test_no_separator(self):
        with pytest.raises(ValueError, match="separator"):
            MultiLabelClassification(["a"], separator="")


class TestScoring:
    LABELS = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0]])

    def test_perfect_and_trivial(self, task):
        perfect = np.where(self.LABELS, 3.0, -3.0)
        assert task.score(perfect, self.LABELS) == 1.0
        # Best of all constants: "toxic" everywhere: 2 hits of 4 and of 4.
        assert task.trivial_score(self.LABELS) == pytest.approx(0.5)

    def test_decisions_are_compared(self, task):
        logits = np.array([[0.1, -0.1, 9.0]])
        assert task.comparable(logits, None).tolist() == [[1, 0, 1]]

    def test_probabilities_are_refused(self, task):
        with pytest.raises(ValueError, match="sigmoid"):
            task.check_logits(np.array([[0.01, 0.4, 0.99]]))
        task.check_logits(np.array([[-0.01, 0.4, 0.99]]))

    def test_agreement_is_of_decisions(self, task):
        a = np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
        b = np.array([[2.0, 1.0, 3.0], [1.0, 1.0, 1.0]])
        assert task.agreement(a, b) == pytest.approx(5 / 6)
        assert task.divergence(a, a) == pytest.approx(0.0)

    def test_answers(self, task):
        answers = task.answers([[2.0, -3.0, 1.0], [-1.0, -1.0, -2.0]])
        assert [answer for answer, _ in answers] == ["insult, toxic", ""]
        assert answers[0][1] == pytest.approx(1 / (1 + np.exp(-1.0)))


def test_weight_of_the_teachers_loss_stands_beside_a_mean_over_labels(task):
    # The same probabilities from a teacher and as labels: the loss on labels
    # is the divergence and the teacher's entropy, both means over 3 labels.
    loss = task.teacher_loss("soft_targets", 1.0, 0.75)
    assert loss.weight == pytest.approx(0.25)
    student, teacher = (
        np.array([[0.3, -1.0, 2.0]]),
        np.array([[1.0, 2.0, -1.0]]),
    )
    student, teacher = student.astype("float32"), teacher.astype("float32")
    divergence = loss({"logits": student}, {"logits": teacher})[0]
    p = 1 / (1 + np.exp(-teacher.astype("float64")))
    entropy = -np.sum(p * np.log(p) + (1 - p) * np.log(1 - p))
    hard = task.hard_label_loss()(p.astype("float32"), student)
    expected = 0.75 * (float(hard) - entropy / 3)
    assert float(divergence) * loss.weight == pytest.approx(expected, rel=1e-4)


def test_it_is_saved_and_built_again(task):
    again = build_task(**task.to_dict())
    assert isinstance(again, MultiLabelClassification)
    assert again.to_dict() == task.to_dict()


def test_a_student_learns_the_task(task, word_tokenizer, tmp_path):
    from keras_kd.data.pipeline import evaluation_batches
    from keras_kd.data.pipeline import training_batches
    from keras_kd.distiller import Distiller

    cells = {"w4": "insult", "w5": "threat,toxic", "w6": ",", "w7": None}
    rows = write_rows(
        tmp_path / "rows",
        task.featurize(
            [
                Example(f"{word}-{copy}", (word,), cell)
                for word, cell in cells.items()
                for copy in range(4)
            ],
            word_tokenizer,
            8,
        ),
        {},
    )
    assert rows.column("label").shape == (16, 3)
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(30, 4)(tokens)
    x = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x))
    student = keras.Model({"token_ids": tokens}, x)
    distiller = Distiller(student)
    distiller.compile(
        keras.optimizers.Adam(0.1),
        loss=task.hard_label_loss(),
        metrics=task.metrics(),
    )
    distiller.fit(
        training_batches(rows, student, 16), steps_per_epoch=60, verbose=0
    )
    logs = distiller.evaluate(
        evaluation_batches(rows, student), verbose=0, return_dict=True
    )
    assert logs["accuracy"] == 1.0
    logits = student({"token_ids": np.array([[2, 5, 3], [2, 6, 3]])})
    answers = task.answers(keras.ops.convert_to_numpy(logits))
    assert [answer for answer, _ in answers] == ["threat, toxic", ""]

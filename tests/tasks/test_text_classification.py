"""Classification of texts: labels, rows, scores, and bad input."""

import keras
import numpy as np
import pytest

from keras_kd.configuration import Configuration
from keras_kd.data.errors import DataError
from keras_kd.data.example import Example
from keras_kd.data.rows import target_key
from keras_kd.data.rows import write_rows
from keras_kd.losses.decoupled_kd import DecoupledKD
from keras_kd.losses.soft_cross_entropy import SoftCrossEntropy
from keras_kd.tasks import task as task_module
from keras_kd.tasks.named_tasks import build_task
from keras_kd.tasks.text_classification import TextClassification
from keras_kd.tasks.token_tagging import TokenTagging


@pytest.fixture
def task():
    return TextClassification(["negative", "positive"])


class TestLabels:
    def test_numbers_follow_the_order_of_the_names(self):
        task = TextClassification(["c", "a", "b"])
        assert task.num_outputs == 3
        numbers = [task.encode_label(label, "row") for label in "abc"]
        assert numbers == [1, 2, 0]

    def test_names_that_are_numbers(self):
        task = TextClassification([1, 0])
        assert task.labels == ["1", "0"]
        assert task.encode_label("0", "row") == 1

    @pytest.mark.parametrize(
        "labels", [[], ["only"], ["a", "b", "a"], [1, "1"]]
    )
    def test_one_class_or_one_twice(self, labels):
        with pytest.raises(DataError, match="two or more different classes"):
            TextClassification(labels)

    def test_an_unknown_label_names_the_row_and_the_labels(self, task):
        with pytest.raises(DataError) as error:
            task.encode_label("neutral", "train.tsv:17")
        message = str(error.value)
        assert message.startswith("train.tsv:17: unknown label 'neutral'")
        assert "['negative', 'positive']" in message


class TestLearningAndScoring:
    def test_loss_reads_logits(self, task):
        loss = task.hard_label_loss()
        value = loss(np.array([1]), np.array([[0.0, 2.0]], "float32"))
        assert float(value) == pytest.approx(np.log(1 + np.exp(-2.0)), rel=1e-5)

    def test_metrics(self, task):
        (metric,) = task.metrics()
        assert metric.name == task.primary_metric == "accuracy"
        metric.update_state([1, 0, 1], [[0.0, 2.0], [0.0, 1.0], [-3.0, -2.0]])
        assert float(metric.result()) == pytest.approx(2 / 3)

    def test_correct_rows(self, task):
        logits = np.array([[0.0, 2.0], [0.0, 1.0], [-3.0, -2.0]])
        correct = task.correct(logits, np.array([1, 0, 1]))
        assert correct.tolist() == [1.0, 0.0, 1.0]

    def test_other_metrics(self):
        task = TextClassification(["a", "b"], metric="mcc")
        logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 2.0]])
        assert task.bootstrap_metric == task.primary_metric == "mcc"
        assert task.comparable(logits, None).tolist() == [0, 1, 0]
        assert task.score(logits, np.array([0, 1, 0])) == pytest.approx(1.0)
        with pytest.raises(ValueError, match="`metric` .* 'f7'"):
            TextClassification(["a", "b"], metric="f7")

    def test_trivial_score(self, task):
        labels = np.array([1, 0, 1, 1])
        assert task.trivial_score(labels) == 0.75
        assert TextClassification("ab", "mcc").trivial_score(labels) == 0.0

    def test_answers(self, task):
        ((answer, probability),) = task.answers(np.array([[0.0, 2.0]]))
        assert answer == "positive"
        assert probability == pytest.approx(1 / (1 + np.exp(-2.0)))

    def test_it_is_saved_and_built_again(self, task):
        again = build_task(**task.to_dict())
        assert again.to_dict() == task.to_dict()
        with pytest.raises(ValueError, match="must be one of"):
            build_task("translation")


def examples(*rows):
    return [
        Example(f"file.csv:{number}", fields, label)
        for number, (fields, label) in enumerate(rows, 2)
    ]


class TestFeaturize:
    def test_single_texts_by_hand(self, task, word_tokenizer, tmp_path):
        rows = write_rows(
            tmp_path / "rows",
            task.featurize(
                examples(
                    (("w4 w5 w6",), "positive"),
                    (("w9 strange",), None),
                    (("",), "negative"),
                    (("w4 w5 w6 w7 w8 w9",), "negative"),
                ),
                word_tokenizer,
                max_length=6,
            ),
            {},
        )
        assert [rows.row("token_ids", i).tolist() for i in range(4)] == [
            [2, 4, 5, 6, 3],
            [2, 9, 1, 3],
            [2, 3],
            [2, 4, 5, 6, 7, 3],
        ]
        assert rows.column("label").tolist() == [1, 0, 0, 0]
        assert rows.column("label_weight").tolist() == [1, 0, 1, 1]
        assert rows.text("example_id", 1) == "file.csv:3"
        assert rows.text("text", 1) == "w9 strange"
        assert "segment_ids" not in rows.columns
        assert bytes(rows.column("target_key", [0])[0]) == target_key(
            [2, 4, 5, 6, 3], [0] * 5
        )

    def test_pairs_have_segments(self, task, word_tokenizer, tmp_path):
        rows = write_rows(
            tmp_path / "rows",
            task.featurize(
                examples(
                    (("w4", "w5 w6"), "positive"), (("w4 w5", "w6"), None)
                ),
                word_tokenizer,
                max_length=8,
            ),
            {},
        )
        assert rows.row("token_ids", 0).tolist() == [2, 4, 3, 5, 6, 3]
        assert rows.row("segment_ids", 0).tolist() == [0, 0, 0, 1, 1, 1]
        assert rows.row("segment_ids", 1).tolist() == [0, 0, 0, 0, 1, 1]
        assert rows.text("text_pair", 1) == "w6"

    def test_keys_are_of_what_the_teacher_reads(
        self, task, word_tokenizer, tmp_path
    ):
        texts = [
            "w4 w5",
            "w4  w5",
            "w5 w4",
            "w4 unknown",
            "w4 other",
            "w4 w5 w6",
        ]
        rows = write_rows(
            tmp_path / "rows",
            task.featurize(
                examples(*(((text,), None) for text in texts)),
                word_tokenizer,
                max_length=4,
            ),
            {},
        )
        keys = rows.keys().tolist()
        # White space, an unknown word and what was cut off are not read.
        assert keys[0] == keys[1] == keys[5]
        assert keys[3] == keys[4]
        assert len(set(keys)) == 3

    def test_a_pair_and_its_joined_text_have_keys_of_their_own(
        self, task, word_tokenizer
    ):
        (pair,) = task.featurize(
            examples((("w4", "w5"), None)), word_tokenizer, 8
        )
        (single,) = task.featurize(
            examples((("w4 w5",), None)), word_tokenizer, 8
        )
        assert pair["target_key"] != single["target_key"]

    def test_many_examples_stream_in_groups(
        self, task, word_tokenizer, monkeypatch
    ):
        monkeypatch.setattr(task_module, "EXAMPLES_AT_ONCE", 3)
        read = []

        def source():
            for number in range(8):
                read.append(number)
                yield Example(str(number), (f"w{4 + number}",), None)

        rows = task.featurize(source(), word_tokenizer, 4)
        assert next(rows)["token_ids"] == [2, 4, 3]
        assert len(read) == 3
        assert [row["token_ids"][1] for row in rows] == [5, 6, 7, 8, 9, 10, 11]

    def test_an_unknown_label_stops_it(self, task, word_tokenizer):
        bad = examples((("w4",), "positive"), (("w5",), "Positive"))
        with pytest.raises(DataError, match="file.csv:3: unknown label 'Pos"):
            list(task.featurize(bad, word_tokenizer, 4))


class TestMakeRows:
    def test_from_a_file(self, task, word_tokenizer, tmp_path):
        path = tmp_path / "train.tsv"
        path.write_text("sentence\tlabel\nw4 w5\tpositive\nw6\t\n")
        rows = task.make_rows(
            path, word_tokenizer, tmp_path / "rows", text="sentence"
        )
        assert [rows.row("token_ids", i).tolist() for i in range(2)] == [
            [2, 4, 5, 3],
            [2, 6, 3],
        ]
        assert rows.column("label").tolist() == [1, 0]
        assert rows.column("label_weight").tolist() == [1, 0]

    def test_a_bad_label_names_its_line_and_leaves_nothing(
        self, task, word_tokenizer, tmp_path
    ):
        path = tmp_path / "train.csv"
        path.write_text("text,label\nw4,positive\nw5,maybe\n")
        with pytest.raises(DataError, match="train.csv:3: unknown label 'may"):
            task.make_rows(path, word_tokenizer, tmp_path / "rows")
        assert not (tmp_path / "rows").exists()


def test_a_student_learns_the_task(task, word_tokenizer, tmp_path):
    # w4 is positive and w5 negative: the labels reach the loss in order.
    from keras_kd.data.pipeline import evaluation_batches
    from keras_kd.data.pipeline import training_batches
    from keras_kd.distiller import Distiller

    rows = write_rows(
        tmp_path / "rows",
        task.featurize(
            examples(
                *[(("w4 w6",), "positive"), (("w5 w6",), "negative")] * 4,
            ),
            word_tokenizer,
            8,
        ),
        {},
    )
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(30, 2)(tokens)
    x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(x))
    student = keras.Model({"token_ids": tokens}, x)
    distiller = Distiller(student)
    distiller.compile(
        keras.optimizers.Adam(0.1),
        loss=task.hard_label_loss(),
        metrics=task.metrics(),
    )
    distiller.fit(
        training_batches(rows, student, 8),
        steps_per_epoch=30,
        verbose=0,
        shuffle=False,
    )
    logs = distiller.evaluate(
        evaluation_batches(rows, student), verbose=0, return_dict=True
    )
    assert logs["accuracy"] == 1.0
    positive = student({"token_ids": np.array([[2, 4, 6, 3]])})
    assert int(np.argmax(positive)) == task.labels.index("positive")


def test_square_of_the_temperature_can_be_left_out():
    task = TextClassification(["bad", "good"])
    student, teacher = {"logits": [[1.0, 0.0]]}, {"logits": [[0.0, 2.0]]}
    with_it = task.teacher_loss("soft_targets", 3.0, 1.0)(student, teacher)
    without = task.teacher_loss("soft_targets", 3.0, 1.0, squared=False)(
        student, teacher
    )
    assert float(with_it[0]) == pytest.approx(9 * float(without[0]), rel=1e-5)


@pytest.mark.parametrize("task", [TextClassification, TokenTagging])
def test_soft_cross_entropy_is_a_loss_of_classes(task):
    settings = Configuration(task=task.name, loss="soft_cross_entropy")
    loss = task(["O", "B-A"]).teacher_loss(settings.loss, 3.0, 0.5, False)
    assert isinstance(loss, SoftCrossEntropy)
    assert (loss.temperature, loss.weight) == (3.0, 0.5)
    assert not loss.scale_by_temperature_squared


def test_decoupled_loss_needs_a_third_class():
    loss = TextClassification(["a", "b", "c"]).teacher_loss(
        "decoupled_kd", 3.0, 0.5
    )
    assert isinstance(loss, DecoupledKD)
    assert (loss.temperature, loss.weight) == (3.0, 0.5)
    with pytest.raises(DataError, match="needs three classes or more"):
        TextClassification(["a", "b"]).teacher_loss("decoupled_kd", 3.0, 0.5)

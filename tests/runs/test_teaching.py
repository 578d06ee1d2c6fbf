"""A teacher is examined before it teaches, and refused with the reason."""

import keras
import numpy as np
import pytest

from keras_kd.atomic_files import write_json
from keras_kd.configuration import Configuration
from keras_kd.data.errors import DataError
from keras_kd.data.rows import write_rows
from keras_kd.data.sources import Example
from keras_kd.inference import keras_runtime
from keras_kd.inference import predict_rows
from keras_kd.runs import teaching
from keras_kd.runs.teacher_checks import TeacherRefused
from keras_kd.runs.teacher_checks import examine
from keras_kd.runs.teaching import open_teacher
from keras_kd.tasks.text_classification import TextClassification
from keras_kd.tasks.text_regression import TextRegression
from tests import tiny


def task_of(classes=2):
    return TextClassification([*tiny.LABELS, "odd", "odder"][:classes])


def rows_of(folder, teacher, examples, task=None):
    task = task or task_of()
    return write_rows(
        folder,
        task.featurize(
            [
                Example(f"rows:{number}", (text,), label)
                for number, (text, label) in enumerate(examples)
            ],
            teacher.tokenizer,
            tiny.LENGTH,
        ),
        {},
    )


@pytest.fixture
def make(tmp_path):
    """Makes a teacher, and rows that it reads."""

    def make(examples=None, **options):
        teacher = tiny.make_teacher(tmp_path / "tokenizer", **options)
        examples = examples or tiny.make_rows(40)
        return teacher, rows_of(tmp_path / "rows", teacher, examples)

    return make


class TestExamine:
    def test_score_is_the_share_of_rows_that_are_right(self, make):
        # Nine of ten labels are as the words say.
        rows = [
            (
                text,
                tiny.LABELS[::-1][tiny.LABELS.index(label)] if odd else label,
            )
            for odd, (text, label) in zip(
                [True] + [False] * 9, tiny.make_rows(10)
            )
        ]
        teacher, rows = make(rows)
        assert examine(teacher, task_of(), rows) == pytest.approx(0.9)

    def test_known_logits_are_taken(self, make):
        teacher, rows = make()
        teacher.model.get_layer("logits").set_weights(
            [np.zeros((4, 2)), np.zeros(2)]
        )
        logits = np.eye(2)[rows.column("label")] * 5
        assert examine(teacher, task_of(), rows, logits=logits) == 1.0

    def test_below_the_majority_class(self, make):
        # Always the same answer: as often right as the majority class.
        teacher, rows = make(tiny.make_rows(41))
        teacher.model.get_layer("logits").set_weights(
            [np.zeros((4, 2)), np.array([3.0, 0.0])]
        )
        with pytest.raises(TeacherRefused) as error:
            examine(teacher, task_of(), rows)
        message = str(error.value)
        assert "accuracy is 0.512 on 41 validation rows" in message
        assert "the floor is 0.512" in message
        assert "Give another one, or train it further" in message
        assert "`teacher_floor`" in message
        # On purpose, it is let through.
        assert examine(teacher, task_of(), rows, floor=0.5) == 21 / 41
        assert examine(teacher, task_of(), rows, floor=21 / 41) == 21 / 41

    def test_floor_of_ones_own(self, make):
        rows = [(text, "good") for text, _ in tiny.make_rows(8)[:2]]
        teacher, rows = make(rows + tiny.make_rows(20, seed=1))
        value = examine(teacher, task_of(), rows)
        assert value == 21 / 22
        with pytest.raises(TeacherRefused, match="floor is 0.990"):
            examine(teacher, task_of(), rows, floor=0.99)

    def test_label_order_of_which_another_scores_better(self, make):
        teacher, rows = make(scale=-12.0)
        with pytest.raises(TeacherRefused) as error:
            examine(teacher, task_of(), rows)
        message = str(error.value)
        assert "scores 0.000 with the labels in the order" in message
        assert "['bad', 'good']" in message
        assert "['good', 'bad']" in message
        assert "`labels`" in message
        with pytest.raises(TeacherRefused, match="in the order"):
            examine(teacher, task_of(), rows, floor=0.0)

    @pytest.mark.parametrize(("outputs", "classes"), [(3, 2), (2, 3)])
    def test_other_number_of_classes(self, make, outputs, classes):
        teacher, rows = make(outputs=outputs)
        with pytest.raises(TeacherRefused) as error:
            examine(teacher, task_of(classes), rows)
        assert f"gives {outputs} logits" in str(error.value)
        assert f"{classes} classes: {task_of(classes).labels}" in str(
            error.value
        )

    def test_logits_for_a_number(self, make):
        """A regression has no `labels` to give."""
        teacher, rows = make()
        with pytest.raises(TeacherRefused) as error:
            examine(teacher, TextRegression(), rows)
        assert "2 logits, the task has 1 to give. Fine-tune" in str(error.value)

    def test_probabilities_in_place_of_logits(self, make):
        teacher, rows = make(activation="softmax")
        with pytest.raises(TeacherRefused) as error:
            examine(teacher, task_of(), rows)
        assert "they are probabilities" in str(error.value)
        assert "raw logits are needed" in str(error.value)
        assert "Take the softmax out" in str(error.value)

    def test_logits_between_0_and_1_are_no_probabilities(self, make):
        teacher, rows = make(scale=0.5)
        kernel, _ = teacher.model.get_layer("logits").get_weights()
        teacher.model.get_layer("logits").set_weights([kernel, np.full(2, 0.4)])
        _, predict = keras_runtime(teacher.model)
        assert examine(teacher, task_of(), rows) == 1.0

    def test_outputs_of_another_name(self, make):
        teacher, rows = make()
        teacher.model = keras.Model(
            teacher.model.inputs, {"classes": teacher.model.output}
        )
        with pytest.raises(TeacherRefused, match=r"\['classes'\].*'logits'"):
            examine(teacher, task_of(), rows)


class TestOpenTeacher:
    def open(self, folder, teacher, classes=2, **settings):
        configuration = Configuration(
            teacher=teacher, **{"max_length": tiny.LENGTH, **settings}
        )
        return open_teacher(configuration, task_of(classes), folder / "run")

    def test_saved_teacher_is_used_as_it_is(self, tmp_path):
        folder = tiny.write_teacher(tmp_path / "teacher")
        teacher, to_train = self.open(tmp_path, folder)
        assert not to_train
        assert teacher.labels == tiny.LABELS
        rows = rows_of(tmp_path / "rows", teacher, tiny.make_rows(20))
        assert examine(teacher, task_of(), rows) == 1.0

    def test_checkpoint_with_a_head_is_used_as_it_is(self, tmp_path):
        teacher, to_train = self.open(
            tmp_path, tiny.write_bert(tmp_path / "bert")
        )
        assert not to_train
        assert teacher.labels == tiny.LABELS
        rows = rows_of(tmp_path / "rows", teacher, tiny.make_rows(20))
        assert examine(teacher, task_of(), rows) == 1.0

    def test_checkpoint_with_a_head_is_trained_on_request(self, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert")
        _, to_train = self.open(tmp_path, folder, fine_tune_teacher=True)
        assert to_train

    def test_checkpoint_without_a_head_gets_one(self, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert", head=False)
        teacher, to_train = self.open(tmp_path, folder, classes=3)
        assert to_train
        assert teacher.model.output.shape[-1] == 3
        assert teacher.labels is None

    def test_missing_head_with_fine_tuning_off(self, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert", head=False)
        with pytest.raises(TeacherRefused) as error:
            self.open(tmp_path, folder, fine_tune_teacher=False)
        assert f"'{folder}' has no classification head" in str(error.value)
        assert "fine-tuning is switched off" in str(error.value)
        assert "Switch it on, or give a teacher" in str(error.value)

    @pytest.mark.parametrize("fine_tune", [None, True, False])
    def test_head_of_other_classes(self, tmp_path, fine_tune):
        # Before it is trained: afterwards would be hours later.
        folder = tiny.write_bert(tmp_path / "bert", num_labels=3)
        with pytest.raises(TeacherRefused, match="gives 3 logits.*has 2"):
            self.open(tmp_path, folder, fine_tune_teacher=fine_tune)

    def test_run_of_another_task(self, tmp_path):
        run = tmp_path / "regression"
        (run / "tokenizer").mkdir(parents=True)
        (run / "student.keras").touch()
        write_json(run / "task.json", {"name": "regression", "labels": None})
        with pytest.raises(TeacherRefused) as error:
            self.open(tmp_path, run)
        message = str(error.value)
        assert "is a run of the task regression. Expected one of " in message
        assert "labels" not in message

    def test_checkpoint_without_a_tokenizer(self, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert", tokenizer=False)
        with pytest.raises(DataError) as error:
            self.open(tmp_path, folder)
        message = str(error.value)
        assert f"No tokenizer was found in {folder}" in message
        assert "Expected tokenizer.json, or the vocab.txt" in message
        assert "Received: ['config.json', 'model.safetensors']" in message

    def test_rows_longer_than_the_position_table(self, tmp_path):
        folder = tiny.write_bert(tmp_path / "bert")
        self.open(tmp_path, folder, max_length=32)
        with pytest.raises(TeacherRefused) as error:
            self.open(tmp_path, folder, max_length=33)
        message = str(error.value)
        assert "`max_length` must be at most 32: the teacher reads" in message
        assert "Received: 33." in message

    def test_folder_that_is_not_there(self, tmp_path):
        with pytest.raises((OSError, ValueError)) as error:
            self.open(tmp_path, str(tmp_path / "nothing"))
        assert str(tmp_path / "nothing") in str(error.value)


def test_labels_of_teachers(tmp_path):
    def labels(folder):
        return teaching.teacher_labels(
            Configuration(teacher=folder), tmp_path / "run"
        )

    assert labels(tiny.write_bert(tmp_path / "head")) == tiny.LABELS
    assert labels(tiny.write_bert(tmp_path / "bare", head=False)) is None
    saved = tiny.write_teacher(tmp_path / "saved", labels=["no", "yes"])
    assert labels(saved) == ["no", "yes"]
    # The teacher that the run trained stands above the one it came from.
    tiny.write_teacher(tmp_path / "run", labels=["one", "two"])
    assert labels(saved) == ["one", "two"]


def test_fine_tuning_learns_the_head_of_a_bare_checkpoint(tmp_path):
    folder = tiny.write_bert(tmp_path / "bert", head=False)
    configuration = Configuration(
        teacher=folder,
        max_length=tiny.LENGTH,
        teacher_epochs=2.25,
        teacher_batch_size=5,
        teacher_learning_rate=0.05,
    )
    task = task_of()
    teacher, _ = open_teacher(configuration, task, tmp_path / "run")
    labelled = rows_of(tmp_path / "train", teacher, tiny.make_rows(60))
    validation = rows_of(
        tmp_path / "validation", teacher, tiny.make_rows(30, seed=1)
    )
    said = []
    result = teaching.fine_tune(
        teacher,
        task,
        labelled,
        validation,
        configuration,
        tmp_path / "unit",
        say=said.append,
    )
    # 60 rows in batches of 5 are 12 steps; scored at every half epoch.
    assert result["steps"] == 27
    assert [entry["step"] for entry in result["history"]] == [
        6, 12, 18, 24, 27,
    ]  # fmt: skip
    assert len(said) == 5
    value = examine(teacher, task, validation)
    assert value == pytest.approx(result["best_score"])
    assert value > 0.9


@pytest.mark.slow
def test_labelling_in_int8(tmp_path):
    teacher, _ = TestOpenTeacher().open(
        tmp_path, tiny.write_bert(tmp_path / "bert")
    )
    rows = rows_of(tmp_path / "rows", teacher, tiny.make_rows(30))
    names, predict = teaching.teacher_runtime(teacher, "litert-int8", tmp_path)
    assert set(names) == {"token_ids", "padding_mask", "segment_ids"}
    expected, received = (
        predict_rows(runtime, rows)
        for runtime in (keras_runtime(teacher.model), (names, predict))
    )
    np.testing.assert_allclose(received, expected, atol=0.1)
    (file,) = tmp_path.glob("teacher-*.tflite")
    before = file.stat().st_mtime_ns
    teaching.teacher_runtime(teacher, "litert-int8", tmp_path)
    assert file.stat().st_mtime_ns == before

"""Teacher, alone and distilled, in miniature from end to end."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_kd.atomic_files import read_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.data.rows import Rows
from keras_kd.distiller import Distiller
from keras_kd.evaluation.report import console_table
from keras_kd.inference import keras_runtime
from keras_kd.losses import ConfidenceTemperature
from keras_kd.losses import FocalTemperature
from keras_kd.models import students
from keras_kd.models.embeddings import teacher_table
from keras_kd.models.weight_quantization import WeightQuantization
from keras_kd.runs import arm_training
from keras_kd.runs import compare
from keras_kd.runs import taught_run
from keras_kd.runs import teaching
from keras_kd.runs.compare import Comparison
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.scoring import predict
from keras_kd.runs.teacher_checks import TeacherRefused
from keras_kd.tasks.named_tasks import build_task
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.shuffled_targets import ShuffledTargets
from tests import tiny


@pytest.fixture
def again(miniature, miniature_copy):
    """Makes a comparison in a copy of the miniature run."""

    def make(**changes):
        configuration = dataclasses.replace(miniature.configuration, **changes)
        said = []
        comparison = Comparison(
            configuration,
            RunFolder.start(miniature_copy.folder, configuration),
            say=said.append,
        )
        comparison.said = said
        return comparison

    return make


def refuse(*args, **kwargs):
    raise AssertionError("This is not to be called again.")


class TestResult:
    def test_verdict_has_all_of_its_fields(self, miniature):
        comparison = miniature.result["comparison"]
        assert set(comparison) == {
            "difference", "lower", "upper", "seeds", "rows", "resamples",
            "verdict", "provisional", "split",
        }  # fmt: skip
        assert comparison["seeds"] == 1
        assert comparison["rows"] == 80
        assert comparison["split"] == "test"
        assert comparison["provisional"] is True
        assert comparison["verdict"] == "HELPED"
        assert 0 < comparison["lower"] < comparison["difference"]
        assert comparison["difference"] < comparison["upper"] < 1

    def test_difference_is_that_of_the_accuracies(self, miniature):
        scores = {
            arm: seeds["seeds"][0]["scores"]["accuracy"]
            for arm, seeds in miniature.result["arms"].items()
        }
        assert set(scores) == {"teacher", "alone", "distilled"}
        assert scores["teacher"] == 1.0
        assert miniature.result["comparison"]["difference"] == pytest.approx(
            scores["distilled"] - scores["alone"]
        )
        assert miniature.result["retention"] == pytest.approx(
            {arm: scores[arm] for arm in ("alone", "distilled")}
        )
        # The teacher is always right: who agrees with it is right as well.
        assert miniature.result["agreement"] == pytest.approx(
            {arm: scores[arm] for arm in ("alone", "distilled")}
        )

    def test_arms_have_equal_steps_and_shapes(self, miniature):
        alone, distilled = (
            miniature.result["arms"][arm]["seeds"][0]
            for arm in ("alone", "distilled")
        )
        for key in ("steps", "parameters", "intervals"):
            assert alone[key] == distilled[key]
        for one in (alone, distilled):
            assert one["steps"] == 50
            assert [entry["step"] for entry in one["history"]] == [20, 40, 50]
            assert one["best_step"] in (20, 40, 50)
            assert one["bytes"] > 1000

    def test_losses_of_each_arm(self, miniature):
        alone, distilled = (
            miniature.result["arms"][arm]["seeds"][0]["history"][-1]
            for arm in ("alone", "distilled")
        )
        assert "soft_targets_loss" not in alone
        assert distilled["loss"] == pytest.approx(
            0.9 * distilled["soft_targets_loss"]
            + 0.1 * distilled["hard_labels_loss"],
            rel=0.05,
        )

    def test_scores_are_those_of_the_stored_logits(self, miniature):
        comparison = Comparison(miniature.configuration, miniature.run)
        comparison.prepare()
        labels = comparison.rows.test.column("label")
        for arm in ("alone", "distilled"):
            logits = np.load(miniature.run.unit(f"{arm}-0") / "test_logits.npy")
            accuracy = np.mean(logits.argmax(-1) == labels)
            (seed,) = miniature.result["arms"][arm]["seeds"]
            assert seed["scores"]["accuracy"] == pytest.approx(accuracy)

    def test_unlabelled_rows_were_labelled_by_the_teacher(self, miniature):
        result = miniature.result
        assert result["data"]["unlabelled"] == 160
        # Each text once: 12 + 24 + 80 + 160 rows.
        assert result["teacher_calls"] == 276
        comparison = Comparison(miniature.configuration, miniature.run)
        comparison.prepare()
        (folder,) = (miniature.folder / "cache" / "targets").iterdir()
        manifest, *_ = map(read_json, folder.glob("manifest-*.json"))
        targets = TeacherTargets(folder, manifest["fingerprint"])
        rows = comparison.rows.unlabelled
        logits = targets.lookup(rows.keys())["logits"]
        words = dict(tiny.make_rows(276))
        expected = [
            tiny.LABELS.index(words[rows.text("text", position)])
            for position in range(len(rows))
        ]
        np.testing.assert_array_equal(logits.argmax(-1), expected)


class TestSecondRun:
    def test_nothing_is_trained_and_the_teacher_is_not_called(
        self, again, miniature, monkeypatch
    ):
        comparison = again()
        monkeypatch.setattr(Distiller, "fit", refuse)
        for module in (arm_training, compare, teaching):
            monkeypatch.setattr(
                module, "keras_runtime", lambda model: ([], refuse)
            )
        result = comparison.execute()
        assert result["teacher_calls"] == 0
        for key in ("comparison", "retention", "agreement", "data"):
            assert result[key] == miniature.result[key]
        for arm, seeds in result["arms"].items():
            assert seeds == miniature.result["arms"][arm]
        assert not [line for line in comparison.said if "labels" in line]

    def test_more_seeds_and_arms_train_those_alone(self, again, miniature):
        before = {
            file: file.stat().st_mtime_ns
            for file in (miniature.folder / "units").rglob("result.json")
        }
        assert len(before) == 2
        comparison = again(arms=["teacher", "alone", "distilled", "control"])
        fitted = []
        fit = Distiller.fit

        def counting(self, *args, **kwargs):
            fitted.append(self)
            return fit(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Distiller, "fit", counting)
            result = comparison.execute()
        # The whole intervals, and the short one, of the control.
        assert len(fitted) == 2
        assert result["teacher_calls"] == 0
        assert result["comparison"] == miniature.result["comparison"]
        self.check_control(result)

    def test_what_the_runtime_moves_is_of_these_validation_rows(self, again):
        comparison = again()
        comparison.prepare()
        comparison.prepare_teacher()
        comparison.configuration.teacher_runtime = "litert-int8"
        moved = comparison.what_the_runtime_moves()
        assert (moved["runtime"], moved["rows"]) == ("litert-int8", 24)
        # Another run, which has the same teacher and cache.
        fewer = comparison.rows.validation.select(slice(10))
        comparison.rows = dataclasses.replace(comparison.rows, validation=fewer)
        assert comparison.what_the_runtime_moves()["rows"] == 10

    def check_control(self, result):
        """Other rows' targets and no labels must not help."""
        control = result["control"]
        assert control["verdict"] != "HELPED"
        (seed,) = result["arms"]["control"]["seeds"]
        assert seed["steps"] == 50
        # As good as chance, while the right targets have taught everything.
        assert seed["scores"]["accuracy"] < 0.75
        (distilled,) = result["arms"]["distilled"]["seeds"]
        assert distilled["scores"]["accuracy"] > 0.95
        assert "hard_labels_loss" in seed["history"][-1]
        assert seed["history"][-1]["loss"] == pytest.approx(
            seed["history"][-1]["soft_targets_loss"], rel=0.05
        )

    def test_changed_data_is_refused(self, again, tmp_path):
        comparison = again()
        test = comparison.configuration.test
        with open(test, "rb") as file:
            content = file.read()
        try:
            with open(test, "ab") as file:
                file.write(b"the film was great,good\n")
            with pytest.raises(ConfigurationError) as error:
                comparison.execute()
        finally:
            with open(test, "wb") as file:
                file.write(content)
        assert "The data of the run" in str(error.value)
        assert "`test` was" in str(error.value)
        assert "'train':" not in str(error.value)
        assert "Put it back, or give another --run" in str(error.value)

    def test_changed_teacher_is_refused(self, again, monkeypatch):
        comparison = again()
        comparison.prepare()
        layer = comparison.teacher.model.get_layer("logits")
        layer.set_weights([2 * weight for weight in layer.get_weights()])
        with pytest.raises(ConfigurationError, match="The teacher of the run"):
            comparison.prepare_teacher()


class TestSharedCache:
    def test_another_run_asks_the_teacher_nothing(
        self, miniature, tmp_path, monkeypatch
    ):
        configuration = dataclasses.replace(
            miniature.configuration,
            cache=miniature.folder / "cache",
            temperature=4.0,
        )
        comparison = Comparison(
            configuration, RunFolder.start(tmp_path / "other", configuration)
        )
        comparison.prepare()
        monkeypatch.setattr(teaching, "keras_runtime", refuse)
        comparison.prepare_teacher()
        comparison.label()
        assert comparison.teacher_calls == 0


class TestFailsBeforeTheLongWork:
    def comparison(self, miniature, folder, **changes):
        configuration = dataclasses.replace(
            miniature.configuration, cache=miniature.folder / "cache", **changes
        )
        return Comparison(configuration, RunFolder.start(folder, configuration))

    def test_student_that_cannot_be_built(
        self, miniature, tmp_path, monkeypatch
    ):
        def fail(*args, **kwargs):
            raise ValueError("No such student.")

        monkeypatch.setattr(arm_training, "build_student", fail)
        comparison = self.comparison(miniature, tmp_path / "run")
        with pytest.raises(ValueError, match="No such student"):
            comparison.prepare()

    def test_teacher_below_its_floor(self, miniature, tmp_path, monkeypatch):
        folder = tiny.write_teacher(tmp_path / "wrong", scale=-12.0)
        comparison = self.comparison(
            miniature, tmp_path / "run", teacher=folder
        )
        monkeypatch.setattr(Distiller, "fit", refuse)
        with pytest.raises(TeacherRefused, match="in the order"):
            comparison.execute()


class TestArms:
    def test_student_alone_needs_no_teacher(
        self, miniature, tmp_path, monkeypatch
    ):
        # Not even a head, nor its fine-tuning.
        configuration = dataclasses.replace(
            miniature.configuration,
            teacher=tiny.write_bert(tmp_path / "bert", head=False),
            arms=["alone"],
            steps=2,
            evaluate_every=2,
        )
        monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)
        monkeypatch.setattr(teaching, "fine_tune", refuse)
        monkeypatch.setattr(taught_run, "examine", refuse)
        result = Comparison(
            configuration, RunFolder.start(tmp_path / "run", configuration)
        ).execute()
        assert set(result["arms"]) == {"alone"}
        assert result["teacher_calls"] == 0
        assert "comparison" not in result

    def test_teacher_alone_trains_no_student(
        self, miniature, tmp_path, monkeypatch
    ):
        configuration = dataclasses.replace(
            miniature.configuration, arms=["teacher"]
        )
        monkeypatch.setattr(Distiller, "fit", refuse)
        result = Comparison(
            configuration, RunFolder.start(tmp_path / "run", configuration)
        ).execute()
        assert set(result["arms"]) == {"teacher"}
        assert result["title"] == "The teacher"
        (seed,) = result["arms"]["teacher"]["seeds"]
        assert seed["scores"]["accuracy"] == 1.0


class TestShuffledTargets:
    class Named:
        """Targets that say whose they are."""

        def lookup(self, keys):
            return {"logits": np.array(keys)}

    def shuffled(self, miniature, seed):
        (folder,) = (miniature.folder / "cache" / "rows").glob("unlabelled-*")
        rows = Rows.open(folder)
        targets = ShuffledTargets(self.Named(), rows, seed)
        return rows.keys(), targets.lookup(rows.keys())["logits"]

    def test_every_row_has_the_targets_of_one_other(self, miniature):
        keys, others = self.shuffled(miniature, 0)
        assert sorted(keys) == sorted(others)
        assert np.mean(keys == others) < 0.05

    def test_seed_decides(self, miniature):
        _, first = self.shuffled(miniature, 0)
        _, same = self.shuffled(miniature, 0)
        _, other = self.shuffled(miniature, 1)
        np.testing.assert_array_equal(first, same)
        assert np.mean(first == other) < 0.05


@pytest.fixture
def compare_tiny(miniature, tmp_path, monkeypatch):
    """Runs a comparison with a student that takes no time to trace."""
    monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)

    def run(**changes):
        configuration = dataclasses.replace(
            miniature.configuration, steps=20, evaluate_every=10, **changes
        )
        comparison = Comparison(
            configuration, RunFolder.start(tmp_path / "run", configuration)
        )
        return comparison, comparison.execute()

    return run


class TestMachineSettings:
    @pytest.mark.parametrize(
        "changes",
        [
            {"precision": "mixed_bfloat16"},
            {"precision": "mixed_float16"},
            {"accumulation_steps": 3},
            {"strategy": "mirrored"},
            {"jit_compile": True},
            {"steps_per_execution": 5},
        ],
        ids=str,
    )
    def test_the_student_learns_with_each(self, compare_tiny, changes):
        _, result = compare_tiny(arms=["distilled"], **changes)
        first, last = result["arms"]["distilled"]["seeds"][0]["history"]
        assert last["step"] == 20
        assert last["loss"] < first["loss"]
        assert keras.config.dtype_policy().name == "float32"

    def test_students_are_pruned_alike(self, compare_tiny):
        _, result = compare_tiny(arms=["alone", "distilled"], prune=0.5)
        for arm in ("alone", "distilled"):
            (seed,) = result["arms"][arm]["seeds"]
            assert seed["zeros"] == pytest.approx(0.5, abs=0.01)
            # Pruning ends at step 12.
            assert seed["best_step"] == 20
        assert "zeros" in console_table(result)

    def test_students_learn_as_their_files_will_be(self, compare_tiny):
        comparison, _ = compare_tiny(
            arms=["alone", "distilled"],
            export=["dynamic"],
            quantization_aware="dynamic",
        )
        for arm in ("alone", "distilled"):
            student = keras.saving.load_model(
                comparison.run.unit(f"{arm}-0") / "student.keras"
            )
            before = student.get_weights()
            with WeightQuantization(student, "dynamic").applied():
                for one, other in zip(before, student.get_weights()):
                    np.testing.assert_allclose(one, other, rtol=1e-6)

    def test_no_quantization_that_is_not_exported(self, miniature):
        with pytest.raises(ConfigurationError, match="those that `export` n"):
            dataclasses.replace(
                miniature.configuration, quantization_aware="int4-embedding"
            )

    def test_steps_have_to_be_whole_calls(self, miniature):
        with pytest.raises(ConfigurationError, match="`steps` must be a mult"):
            dataclasses.replace(
                miniature.configuration, steps=21, steps_per_execution=5
            )


class TestOwnTokens:
    def test_student_reads_words_and_finds_the_teachers_targets(
        self, compare_tiny, tmp_path
    ):
        comparison, result = compare_tiny(
            tokens="word", vocabulary_size=60, arms=["teacher", "distilled"]
        )
        assert comparison.tokenizer.kind == "word"
        assert comparison.tokenizer.vocabulary_size <= 60
        assert result["arms"]["distilled"]["seeds"][0]["scores"]["rows"] == 80
        again, _ = compare_tiny(
            tokens="word", vocabulary_size=60, arms=["teacher", "distilled"]
        )
        assert again.teacher_calls == 0
        assert again.tokenizer.fingerprint == comparison.tokenizer.fingerprint

    def test_table_starts_from_the_teachers(self, compare_tiny, monkeypatch):
        tables = []

        def build(*arguments, embeddings=None, **sizes):
            tables.append(embeddings)
            return tiny.bag_student(*arguments)

        monkeypatch.setattr(arm_training, "build_student", build)
        comparison, _ = compare_tiny(embeddings="teacher", arms=["alone"])
        size = comparison.tokenizer.vocabulary_size
        assert tables[-1].shape == (size, 4)

    @pytest.mark.parametrize("from_file", [True, False])
    def test_vectors_that_are_too_narrow_are_found_at_once(
        self, compare_tiny, monkeypatch, tmp_path, from_file
    ):
        monkeypatch.setattr(
            arm_training, "build_student", students.build_student
        )
        path = tmp_path / "vectors.txt"
        path.write_text("fine 1 2 3\nfilm 2 3 1\nweak 0 1 0\n")
        embeddings = str(path) if from_file else "teacher"
        width = 3 if from_file else 4
        with pytest.raises(ConfigurationError) as error:
            compare_tiny(embeddings=embeddings, embedding_dim=9)
        assert f"`embedding_dim` must be at most {width}" in str(error.value)
        assert "Received: 9" in str(error.value)
        assert not list(tmp_path.rglob("targets*"))


@pytest.mark.parametrize("embeddings", ["random", "teacher"])
def test_arms_of_a_seed_start_alike(compare_tiny, monkeypatch, embeddings):
    starts = []
    train = Comparison._train

    def record(self, unit, student, *settings):
        starts.append(student.get_weights())
        return train(self, unit, student, *settings)

    monkeypatch.setattr(Comparison, "_train", record)
    compare_tiny(embeddings=embeddings, arms=["alone", "distilled"])
    alone, distilled = starts
    for first, second in zip(alone, distilled, strict=True):
        np.testing.assert_array_equal(first, second)


def test_distilled_on_the_labelled_rows_alone(compare_tiny, monkeypatch):
    seen = {}
    batches = arm_training.training_batches

    def counting(rows, *args, **kwargs):
        seen[len(seen)] = len(rows), kwargs["targets"] is not None
        return batches(rows, *args, **kwargs)

    monkeypatch.setattr(arm_training, "training_batches", counting)
    _, result = compare_tiny(arms=["alone", "distilled_labelled", "distilled"])
    assert list(seen.values()) == [(12, False), (12, True), (172, True)]
    scores = {
        arm: entry["seeds"][0]["scores"]["accuracy"]
        for arm, entry in result["arms"].items()
    }
    for name, arm in (
        ("comparison_labelled", "distilled_labelled"),
        ("comparison", "distilled"),
    ):
        difference = scores[arm] - scores["alone"]
        assert result[name]["difference"] == pytest.approx(difference)
    table = console_table(result)
    assert "student distilled, labelled rows" in table
    assert "the student distilled on the labelled rows alone" in table


class TestSeveralTeachers:
    @pytest.fixture
    def second(self, tmp_path):
        """Less sure than the first, and with another word table."""
        teacher = tiny.make_teacher(tmp_path / "tokenizer", scale=2.0)
        (table,) = teacher.model.get_layer("token_embedding").get_weights()
        table[:, 1] = np.arange(len(table))  # Its logits do not read it.
        teacher.model.get_layer("token_embedding").set_weights([table])
        teacher.save(tmp_path / "second")
        return str(tmp_path / "second")

    def test_targets_are_the_weighted_mean_and_are_asked_for_once(
        self, compare_tiny, miniature, second
    ):
        settings = {
            "teacher": [miniature.configuration.teacher, second],
            "teacher_weights": [3.0, 1.0],
            "embeddings": "teacher",
            "arms": ["teacher", "distilled"],
        }
        comparison, result = compare_tiny(**settings)
        rows = comparison.rows.test
        each = [
            predict(
                comparison.task,
                keras_runtime(teacher.model),
                rows,
                "test",
            ).astype("float64")
            for teacher in comparison.teacher.teachers
        ]
        assert np.abs(each[0] - each[1]).max() > 1
        np.testing.assert_allclose(
            comparison.test_logits("teacher"),
            0.75 * each[0] + 0.25 * each[1],
            rtol=1e-5,
            atol=1e-5,
        )
        # Both on the 24 validation rows, and together on all.
        assert comparison.teacher_calls == 2 * 24 + 276
        (teacher,) = result["arms"]["teacher"]["seeds"]
        assert teacher["scores"]["accuracy"] == 1.0
        # The student's word table is that of the first.
        first, second = (
            teacher_table(teacher.model, 4)
            for teacher in comparison.teacher.teachers
        )
        np.testing.assert_array_equal(comparison.start_of_embeddings(), first)
        assert np.abs(first - second).max() > 0.1
        again, _ = compare_tiny(**settings)
        assert again.teacher_calls == 0

    def test_weights_are_picked_on_validation(
        self, compare_tiny, miniature, tmp_path
    ):
        # Half of its table is gone: it is right on fewer rows.
        bad = tiny.make_teacher(tmp_path / "tokenizer")
        (table,) = bad.model.get_layer("token_embedding").get_weights()
        table[len(tiny.SPECIAL + tiny.NEUTRAL) :: 2] = 0.0
        bad.model.get_layer("token_embedding").set_weights([table])
        bad.save(tmp_path / "bad")
        comparison, _ = compare_tiny(
            teacher=[str(tmp_path / "bad"), miniature.configuration.teacher],
            teacher_weights="validation",
            arms=["teacher"],
        )
        assert comparison.teacher.weights == [0.0, 1.0]
        assert comparison.teacher_validation_score == 1.0

    def test_none_is_asked_about_a_student_alone(
        self, compare_tiny, miniature, second
    ):
        comparison, result = compare_tiny(
            teacher=[miniature.configuration.teacher, second],
            teacher_weights="validation",
            arms=["alone"],
        )
        assert "teachers" not in result
        assert comparison.teacher_calls == 0

    def test_the_one_that_is_refused_is_named(
        self, compare_tiny, miniature, tmp_path
    ):
        wrong = tiny.write_teacher(tmp_path / "wrong", scale=-12.0)
        with pytest.raises(TeacherRefused, match=f"^'{wrong}': The teacher "):
            compare_tiny(teacher=[miniature.configuration.teacher, wrong])

    def test_one_that_knows_nothing_may_be_left_out(
        self, compare_tiny, miniature, tmp_path
    ):
        weak = tiny.write_teacher(tmp_path / "weak", scale=0.0)
        with pytest.raises(TeacherRefused, match="Leave it out, or") as error:
            compare_tiny(teacher=[miniature.configuration.teacher, weak])
        assert "teacher_" not in str(error.value)

    def test_none_is_trained(self, compare_tiny, miniature, tmp_path):
        bare = tiny.write_bert(tmp_path / "bare", head=False)
        with pytest.raises(TeacherRefused, match="none is trained") as error:
            compare_tiny(teacher=[miniature.configuration.teacher, bare])
        assert str(error.value).startswith(f"'{bare}': It has no")


class TestStudentOfItsTeachersLayers:
    def settings(self, folder, **changes):
        return {
            "teacher": tiny.write_bert(folder / "bert"),
            "student": "bert",
            "teacher_layers": [0],
            "width": None,
            "arms": ["teacher", "alone", "distilled"],
            **changes,
        }

    def test_it_begins_as_its_teacher(self, compare_tiny, tmp_path):
        comparison, result = compare_tiny(**self.settings(tmp_path))
        student = comparison.build_student(None, None)
        logits = predict(
            comparison.task,
            keras_runtime(student),
            comparison.rows.test,
            "test",
        )
        np.testing.assert_allclose(
            logits, comparison.test_logits("teacher"), atol=1e-5
        )
        for arm in ("alone", "distilled"):
            (seed,) = result["arms"][arm]["seeds"]
            assert seed["scores"]["accuracy"] > 0.9
            assert seed["parameters"] == student.count_params()

    def test_narrower_also_alone(self, compare_tiny, tmp_path):
        comparison, result = compare_tiny(
            **self.settings(tmp_path, width=2, heads=1, arms=["alone"])
        )
        (seed,) = result["arms"]["alone"]["seeds"]
        student = comparison.build_student(None, None)
        assert student.get_layer("transformer_layer_0").output.shape[-1] == 2
        assert seed["parameters"] == student.count_params()

    def test_layer_that_the_teacher_has_not(self, compare_tiny, tmp_path):
        settings = self.settings(tmp_path, teacher_layers=[0, 1])
        with pytest.raises(ValueError, match="from 0 to 0, each above"):
            compare_tiny(**settings)
        assert not (tmp_path / "run" / "units").exists()


class TestTargetsOfRows:
    @pytest.mark.parametrize("task", ["classification", "token_tagging"])
    @pytest.mark.parametrize(
        "name, kind",
        [("flsw", FocalTemperature), ("cwsm", ConfidenceTemperature)],
    )
    def test_temperatures_and_shift(self, task, name, kind, tmp_path):
        configuration = Configuration(
            task=task,
            temperature=4.0,
            temperature_by=name,
            probability_shift=True,
            scale_by_temperature_squared=False,
        )
        comparison = Comparison(configuration, RunFolder(tmp_path))
        comparison.task = build_task(task, ["O", "B-A"])
        loss = comparison._logits_loss(0.5)
        assert type(loss.temperature) is kind
        assert (loss.temperature.temperature, loss.weight) == (4.0, 0.5)
        assert loss.probability_shift
        assert not loss.scale_by_temperature_squared

    @pytest.mark.parametrize(
        "changes",
        [{"temperature_by": "flsw"}, {"probability_shift": True}],
    )
    @pytest.mark.parametrize(
        "other",
        [{"loss": "logits_mse"}, {"loss": "decoupled_kd"}]
        + [{"task": task} for task in ("multi_label", "question_answering")],
    )
    def test_what_has_none(self, changes, other):
        (name,) = changes
        said = f"`{name}` must be left out for"
        with pytest.raises(ConfigurationError, match=said):
            Configuration(**changes, **other)

"""A run folder belongs to one configuration."""

import json

import pytest

from keras_kd.atomic_files import write_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.runs.run_folder import RunFolder


def test_start_stores_the_resolved_configuration(tmp_path):
    configuration = Configuration(train="a.csv", steps=7)
    run = RunFolder.start(tmp_path / "new" / "run", configuration)
    stored = json.loads((run.folder / "config.json").read_text())
    assert stored["steps"] == 7
    assert stored["temperature"] == 2.0  # The defaults are there too.
    assert RunFolder.open(run.folder).configuration == configuration


def test_same_settings_go_on(tmp_path):
    configuration = Configuration(train="a.csv")
    run = RunFolder.start(tmp_path, configuration)
    write_json(run.unit("alone-0") / "result.json", {})
    assert RunFolder.start(tmp_path, configuration).folder == run.folder
    assert (run.unit("alone-0") / "result.json").exists()


def test_other_settings_are_refused_with_both_values(tmp_path):
    run = RunFolder.start(tmp_path, Configuration(train="a.csv", steps=7))
    write_json(run.unit("alone-0") / "result.json", {})
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ConfigurationError) as error:
        RunFolder.start(tmp_path, Configuration(train="a.csv", steps=8))
    message = str(error.value)
    assert f"'{tmp_path}'" in message
    assert "`steps` was 7, and is 8 now" in message
    assert "Give another --run folder, or delete this one." in message
    assert (tmp_path / "config.json").read_bytes() == before


def test_settings_may_be_corrected_before_anything_was_trained(tmp_path):
    # A run that was refused for its data leaves no more than its settings.
    run = RunFolder.start(tmp_path, Configuration(train="a.csv", label="x"))
    (run.folder / "cache").mkdir()
    RunFolder.start(tmp_path, Configuration(train="a.csv", label="y"))
    assert RunFolder.open(tmp_path).configuration.label == "y"


def test_seeds_arms_and_exports_may_grow(tmp_path):
    first = Configuration(train="a.csv", arms=["alone"], export=[])
    run = RunFolder.start(tmp_path, first)
    write_json(run.unit("alone-0") / "result.json", {})
    more = Configuration(
        train="a.csv",
        seeds=[0, 1],
        arms=["alone", "distilled"],
        export=["float16"],
    )
    RunFolder.start(tmp_path, more)
    assert RunFolder.open(tmp_path).configuration == more


def test_same_settings_are_refused_where_resuming_is_off(tmp_path):
    run = RunFolder.start(tmp_path, Configuration())
    write_json(run.unit("alone-0") / "result.json", {})
    with pytest.raises(ConfigurationError, match="the same settings"):
        RunFolder.start(tmp_path, Configuration(), resume=False)


class TestRefusedTeacher:
    SETTINGS = {"train": "a.csv", "teacher": "bert", "teacher_epochs": 1.0}

    @pytest.fixture
    def run(self, tmp_path):
        """A run whose fine-tuned teacher was refused."""
        run = RunFolder.start(tmp_path / "run", Configuration(**self.SETTINGS))
        run.hold_to("data", {"train": "1"})
        write_json(run.unit("teacher_training") / "result.json", {})
        write_json(run.teacher_folder / "teacher.json", {})
        run.hold_to("teacher", {"weights": "1", "runtime": "keras"})
        run.refuse_teacher("It scores 0.5.")
        return run

    def restart(self, run, **settings):
        said = []
        settings = {**self.SETTINGS, **settings}
        configuration = Configuration(**settings)
        started = RunFolder.start(run.folder, configuration, say=said.append)
        assert started.configuration == configuration
        return said

    @pytest.mark.parametrize(
        "settings",
        [
            {"teacher_epochs": 3.0},
            {"teacher_learning_rate": 1e-5, "teacher_floor": 0.6},
            # Whatever else: nothing is there that could be mixed up with it.
            {"train": "b.csv", "max_length": 64},
        ],
    )
    def test_other_settings_drop_it(self, run, settings):
        (said,) = self.restart(run, **settings)
        assert str(run.teacher_folder) in said
        assert str(run.folder / "units") in said
        assert str(settings[min(settings)]) in said
        assert not run.teacher_folder.exists()
        assert not (run.folder / "units").exists()
        # The next teacher, and other data, are no longer compared with it.
        write_json(run.unit("teacher_training") / "result.json", {})
        run.hold_to("teacher", {"weights": "2", "runtime": "keras"})
        # Now it is a run like any other.
        with pytest.raises(ConfigurationError, match="A run stands in"):
            self.restart(run, teacher_epochs=9.0)

    @pytest.mark.parametrize(
        "settings",
        [
            {"teacher_floor": 0.1},
            {"teacher_runtime": "litert-int8"},
            {"teacher_floor": 0.1, "seeds": [0, 1]},
            {"teacher_floor": 0.1, "student": "bag", "steps": 7, "alpha": 0.5},
            {"tokens": "word", "embedding_dim": 64, "layers": 1},
        ],
    )
    def test_it_is_kept_where_it_is_only_judged_anew(self, run, settings):
        assert self.restart(run, **settings) == []
        assert (run.unit("teacher_training") / "result.json").exists()
        assert (run.teacher_folder / "teacher.json").exists()
        run.hold_to("teacher", {"weights": "1", "runtime": "litert-int8"})
        # Unless it is refused once more, it is a good one.
        with pytest.raises(ConfigurationError, match="A run stands in"):
            self.restart(run, teacher_epochs=3.0)
        assert (run.teacher_folder / "teacher.json").exists()

    def test_refusal_of_a_teacher_that_was_not_trained_here(self, tmp_path):
        # It was given with a head. The next one is trained, and killed at it.
        run = RunFolder.start(tmp_path / "run", Configuration(train="a.csv"))
        run.refuse_teacher("It scores 0.5.")
        self.restart(run)
        write_json(run.unit("teacher_training") / "state" / "x.json", {})
        with pytest.raises(ConfigurationError, match="A run stands in"):
            self.restart(run, teacher_epochs=9.0)

    def test_same_settings_examine_it_again(self, run):
        assert self.restart(run) == []
        assert (run.teacher_folder / "teacher.json").exists()

    @pytest.mark.parametrize(
        "make",
        [
            lambda run: run.accept_teacher(),
            lambda run: run.unit("alone-0").mkdir(),
            lambda run: write_json(run.folder / "metrics.json", {}),
        ],
        ids=["accepted", "a student", "a report"],
    )
    def test_good_teacher_is_never_dropped(self, run, make):
        make(run)
        with pytest.raises(ConfigurationError, match="A run stands in"):
            self.restart(run, teacher_epochs=3.0)
        assert (run.teacher_folder / "teacher.json").exists()
        assert (run.unit("teacher_training") / "result.json").exists()
        assert run.configuration.teacher_epochs == 1.0

    def test_not_where_resuming_is_off(self, run):
        configuration = Configuration(**self.SETTINGS, steps=5)
        with pytest.raises(ConfigurationError, match="A run stands in"):
            RunFolder.start(run.folder, configuration, resume=False)
        assert (run.teacher_folder / "teacher.json").exists()


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigurationError, match="is not a run. Give another"):
        RunFolder.start(tmp_path, Configuration())
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(ConfigurationError, match="is a file. Give another"):
        RunFolder.start(tmp_path / "run", Configuration())
    assert (tmp_path / "run").read_text() == "a file"


def test_open_refuses_what_is_no_run(tmp_path):
    with pytest.raises(ConfigurationError) as error:
        RunFolder.open(tmp_path)
    assert f"'{tmp_path}' is not a run: it has no config.json." in str(
        error.value
    )
    assert "`keras-kd distill --run`" in str(error.value)


def test_damaged_configuration_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"steps": ')
    with pytest.raises(ValueError, match="config.json.*JSON"):
        RunFolder.start(tmp_path, Configuration())

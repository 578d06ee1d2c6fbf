"""A run folder belongs to one configuration."""

import json

import pytest

from keras_kd.atomic_files import write_json
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.run_folder import RunFolder


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
    assert "{'steps': (7, 8)}" in message
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

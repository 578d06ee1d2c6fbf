"""`keras-kd label`: one cache, by one process or by several, killed or not."""

import json
import os
import time

import numpy as np
import pytest

from benchmarks.kill_test import Run
from keras_kd.cli import main
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.runs import arm_training
from keras_kd.runs.compare import Comparison
from keras_kd.runs.labelling import label
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.teacher_checks import TeacherRefused
from keras_kd.teachers.cache import TeacherTargets
from tests import tiny

# 32 + 24 + 60 + 160 texts, each once.
ROWS = 276


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(arm_training, "build_student", tiny.bag_student)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {
        **tiny.write_data(folder / "data"),
        "teacher": tiny.write_teacher(folder / "teacher"),
    }


@pytest.fixture
def configuration(files, tmp_path):
    return Configuration(
        **files,
        max_length=tiny.LENGTH,
        cache=str(tmp_path / "cache"),
        steps=2,
        batch_size=8,
    )


def silent(text):
    pass


def test_a_run_then_asks_for_nothing(configuration, tmp_path):
    said = []
    labelled = label(configuration, tmp_path / "run", say=said.append)
    assert labelled.teacher_calls == len(labelled.targets) == ROWS
    assert f"labelled {ROWS} rows now" in said[-1]
    assert str(labelled.targets.folder) in said[-1]
    # The same folder, as the same command without "label" would have it.
    run = RunFolder.start(tmp_path / "run", configuration)
    result = Comparison(configuration, run).execute()
    assert result["teacher_calls"] == 0
    assert not (tmp_path / "run" / "units" / "teacher_training").exists()


def test_a_second_time_labels_nothing(configuration, tmp_path):
    label(configuration, tmp_path / "run", say=silent)
    assert label(configuration, tmp_path / "run", say=silent).teacher_calls == 0


def test_shares_fill_one_cache(configuration, tmp_path):
    counts = [
        label(
            configuration, tmp_path / "run", (number, 3), say=silent
        ).teacher_calls
        for number in (1, 2, 3)
    ]
    assert sum(counts) == ROWS
    assert min(counts) > 50
    whole = label(configuration, tmp_path / "run", say=silent)
    assert whole.teacher_calls == 0
    assert whole.teacher_validation_score == 1.0


def test_a_useless_teacher_is_refused(configuration, tmp_path):
    configuration.teacher = tiny.write_teacher(tmp_path / "bad", scale=0.0)
    with pytest.raises(TeacherRefused):
        label(configuration, tmp_path / "run", say=silent)
    assert (tmp_path / "run" / "teacher_refused.json").exists()


def test_shares_of_an_untrained_teacher_are_refused(configuration, tmp_path):
    configuration.fine_tune_teacher = True
    with pytest.raises(ConfigurationError, match="without --shard once"):
        label(configuration, tmp_path / "run", (1, 2), say=silent)


@pytest.mark.parametrize("runtime", ["keras", "litert-int8"])
def test_beam_labels_what_a_run_then_finds(configuration, tmp_path, runtime):
    pytest.importorskip(
        "apache_beam", reason='Apache Beam is missing: pip install ".[beam]"'
    )
    configuration.teacher_runtime = runtime
    labelled = label(configuration, tmp_path / "run", beam=[], say=silent)
    # Those of the validation; the rest is the workers'.
    assert labelled.teacher_calls == 24
    assert len(labelled.targets) == ROWS
    run = RunFolder.start(tmp_path / "run", configuration)
    assert Comparison(configuration, run).execute()["teacher_calls"] == 0


def test_several_teachers_and_beam(configuration, files, tmp_path):
    configuration.teacher = [files["teacher"], files["teacher"]]
    with pytest.raises(ConfigurationError, match="Leave --beam out"):
        label(configuration, tmp_path / "run", beam=[], say=silent)


def test_pytorch_and_beam(configuration, tmp_path):
    """A worker would open the checkpoint as a model of Keras."""
    configuration.teacher_framework = "torch"
    with pytest.raises(ConfigurationError, match="torch.*Leave --beam out"):
        label(configuration, tmp_path / "run", beam=[], say=silent)
    assert not (tmp_path / "run").exists()


def test_framework_is_that_of_the_teacher(capsys):
    common = ["label", "--train=x.csv", "--teacher=x", "--print-config"]
    for flag in ("--framework", "--teacher-framework"):
        assert main([*common, flag, "torch"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["teacher_framework"] == "torch"


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/2/3"])
def test_shards_that_are_none(text, capsys):
    with pytest.raises(SystemExit):
        main(["label", "--shard", text])
    assert "I from 1 to N" in capsys.readouterr().err


def shards(folder):
    return {
        file.name: file.read_bytes() for file in folder.rglob("*.safetensors")
    }


def test_processes_at_once_one_of_them_killed(files, tmp_path):
    """What `kill -9` has left undone is done by the same command again."""
    settings = [f"--{name}={value}" for name, value in files.items()]
    settings += ["--max-length", str(tiny.LENGTH), "--student", "bag"]
    settings += ["--cache", str(tmp_path / "cache")]
    command = ["label", *settings, "--run", str(tmp_path / "run"), "--shard"]

    def start(number):
        log = tmp_path / f"{number}.log"
        return Run([*command, f"{number}/2"], log, {})

    first, second = start(1), start(2)

    def has_written():
        # Unlike `rglob`, it takes no offence at folders that vanish meanwhile.
        walk = os.walk(tmp_path / "cache")
        return any(
            x.endswith(".safetensors") for *_, names in walk for x in names
        )

    while not has_written() and first.process.is_alive():
        time.sleep(0.001)
    first.process.kill()
    first.process.join()
    second.finish()
    start(1).finish()
    (folder,) = (tmp_path / "cache" / "targets").iterdir()
    assert not [f for f in (tmp_path / "cache").rglob("*.partial.*")]
    manifest = json.loads(next(folder.glob("manifest*.json")).read_text())
    together = TeacherTargets(folder, manifest["fingerprint"])
    assert len(together) == ROWS and together.rebuilt == []

    configuration = Configuration(
        **files,
        max_length=tiny.LENGTH,
        student="bag",
        cache=str(tmp_path / "other"),
    )
    alone = label(configuration, tmp_path / "alone", say=silent)
    rows = alone.rows.training
    np.testing.assert_allclose(
        together.lookup(rows.keys())["logits"],
        alone.targets.lookup(rows.keys())["logits"],
        atol=1e-6,
    )

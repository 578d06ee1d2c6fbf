"""A whole search in miniature: one cache, many trials, one winner."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.distiller import Distiller
from keras_kd.runs import arm_training
from keras_kd.runs import teaching
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.student_files import StudentFiles
from keras_kd.tuning.search import Search
from keras_kd.tuning.tune import tune
from tests import tiny

# All four pairs are tried; one learning rate teaches nothing.
SEARCH = Search(
    ["learning_rate=1e-6,3e-2", "temperature=1,4"],
    "random",
    trials=4,
    objectives=["score", "latency", "size"],
)


def refuse(*args, **kwargs):
    raise AssertionError("This is not to be called again.")


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Leaves out what takes long, and is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arm_training, "build_student", tiny.bag_student)
        patch.setattr(
            StudentFiles,
            "write",
            lambda files, name: {"file": name, "format": "none"},
        )
        yield


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    return Configuration(
        **tiny.write_data(folder / "data", train=12, test=40),
        teacher=tiny.write_teacher(folder / "teacher"),
        max_length=tiny.LENGTH,
        dropout=0.0,
        batch_size=16,
        steps=20,
        evaluate_every=10,
        seeds=[0],
        export=[],
    )


@pytest.fixture(scope="module")
def finished(configuration, tmp_path_factory):
    """A finished search; counts what the teacher was asked."""
    folder = tmp_path_factory.mktemp("search") / "run"
    calls, at_first_trial, said = [], [], []
    keras_runtime = teaching.keras_runtime

    def counting(model):
        names, predict = keras_runtime(model)

        def count(features):
            calls.append(len(next(iter(features.values()))))
            return predict(features)

        return names, (count if model.name == "tiny_teacher" else predict)

    def say(text):
        if text.startswith("Trial") and not at_first_trial:
            at_first_trial.append(sum(calls))
        said.append(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teaching, "keras_runtime", counting)
        result = tune(configuration, folder, SEARCH, "the command", say)
    return types.SimpleNamespace(
        folder=folder,
        result=result,
        said=said,
        calls=sum(calls),
        calls_before=at_first_trial[0],
    )


class TestSearch:
    def test_teacher_is_asked_before_the_trials_alone(self, finished):
        # 12 + 24 + 40 + 160 texts, each once.
        assert finished.calls_before == finished.calls == 236
        assert finished.result["teacher_calls"] == 236
        assert finished.result["trial_teacher_calls"] == 0
        assert finished.result["winner"]["teacher_calls"] == 0

    def test_planted_optimum_wins(self, finished):
        trials = finished.result["trials"]
        assert len(trials) == 4
        best = finished.result["best"]
        assert best["settings"]["learning_rate"] == 3e-2
        assert best["score"] == max(one["score"] for one in trials)
        for one in trials:
            if one["settings"]["learning_rate"] == 1e-6:
                assert one["score"] < best["score"]

    def test_trials_never_see_the_test_rows(self, finished):
        found = {
            file.relative_to(finished.folder).parts[0]
            for file in finished.folder.rglob("test_logits.npy")
        }
        assert found == {finished.result["winner_folder"]}

    def test_score_is_that_of_the_validation(self, finished):
        for one in finished.result["trials"]:
            folder = finished.folder / "trials" / one["folder"]
            unit = folder / "units" / "distilled-1000" / "result.json"
            history = json.loads(unit.read_text())["history"]
            assert one["score"] == max(e["validation"] for e in history)
            assert one["size"] == (unit.parent / "student.keras").stat().st_size
            assert one["latency"] > 0

    def test_winner_is_trained_on_other_seeds(self, finished):
        winner = finished.result["winner"]
        assert winner["configuration"]["learning_rate"] == 3e-2
        for arm in ("alone", "distilled"):
            seeds = [one["seed"] for one in winner["arms"][arm]["seeds"]]
            assert seeds == [0]
        assert winner["comparison"]["split"] == "test"
        folder = finished.folder / finished.result["winner_folder"]
        assert (folder / "student.keras").exists()

    def test_report(self, finished):
        text = (finished.folder / "tuning.md").read_text(encoding="utf-8")
        assert "4 trials of random" in text
        assert "labelled 236 rows before them. The trials asked it 0" in text
        assert "## Best in score, latency, size" in text
        assert f"({finished.result['winner_folder']}/report.md)" in text
        assert (finished.folder / "tuning.png").stat().st_size > 5000
        stored = json.loads((finished.folder / "tuning.json").read_text())
        assert stored["best"] == finished.result["best"]
        assert stored["front"][0]["score"] == stored["best"]["score"]

    def test_trial_is_a_run_that_can_be_started(self, finished):
        for one in finished.result["trials"]:
            run = RunFolder.open(finished.folder / "trials" / one["folder"])
            for name, value in one["settings"].items():
                assert getattr(run.configuration, name) == value
            assert run.configuration.cache == str(finished.folder / "cache")

    def test_hparams_are_there_for_tensorboard(self, finished):
        from tensorboard.backend.event_processing import event_accumulator
        from tensorboard.plugins.hparams import metadata

        best = finished.result["best"]
        folder = finished.folder / "trials" / best["folder"] / "hparams"
        events = event_accumulator.EventAccumulator(str(folder))
        events.Reload()
        assert "score" in events.Tags()["tensors"]
        content = events.SummaryMetadata(
            metadata.SESSION_START_INFO_TAG
        ).plugin_data.content
        values = metadata.parse_session_start_info_plugin_data(content).hparams
        for name, value in best["settings"].items():
            assert values[name].number_value == pytest.approx(value)


class TestAgain:
    def test_nothing_is_trained_twice(
        self, finished, configuration, monkeypatch
    ):
        monkeypatch.setattr(Distiller, "fit", refuse)
        again = tune(
            configuration, finished.folder, SEARCH, "the command", [].append
        )
        assert again["trials"] == finished.result["trials"]
        assert again["teacher_calls"] == 236
        assert (
            again["winner"]["comparison"]
            == (finished.result["winner"]["comparison"])
        )

    def test_other_settings_are_refused(self, finished, configuration):
        before = (finished.folder / "config.json").read_bytes()
        for changed, search in (
            (dataclasses.replace(configuration, steps=30), SEARCH),
            (configuration, dataclasses.replace(SEARCH, tune=["alpha"])),
        ):
            with pytest.raises(ConfigurationError, match="A search stands in"):
                tune(changed, finished.folder, search, say=[].append)
        assert (finished.folder / "config.json").read_bytes() == before

    @pytest.mark.slow
    def test_killed_trial_goes_on(self, configuration, tmp_path, monkeypatch):
        monkeypatch.setattr(
            "keras_kd.tuning.tune.distill", lambda *args, **kwargs: None
        )
        monkeypatch.setattr(
            "keras_kd.tuning.tuning_report.console_table", lambda result: ""
        )
        fit, fitted = Distiller.fit, []

        def kill_third(self, *args, **kwargs):
            fitted.append(self)
            if len(fitted) == 3:
                raise KeyboardInterrupt
            return fit(self, *args, **kwargs)

        search = dataclasses.replace(SEARCH, trials=3)
        with monkeypatch.context() as patch:
            patch.setattr(Distiller, "fit", kill_third)
            with pytest.raises(KeyboardInterrupt):
                tune(configuration, tmp_path / "run", search, say=[].append)
        files = {
            file: file.stat().st_mtime_ns
            for file in (tmp_path / "run" / "trials").glob("*/trial.json")
        }
        assert len(files) == 2
        result = tune(configuration, tmp_path / "run", search, say=[].append)
        assert len(result["trials"]) == 3
        assert result["trial_teacher_calls"] == 0
        for file, time in files.items():
            assert file.stat().st_mtime_ns == time


def test_seed_of_the_search_is_not_one_of_the_winner(configuration, tmp_path):
    search = dataclasses.replace(SEARCH, seed=0)
    with pytest.raises(ConfigurationError, match="--search-seed"):
        tune(configuration, tmp_path / "run", search, say=[].append)
    assert not (tmp_path / "run").exists()


def test_search_without_the_distilled_student(configuration, tmp_path):
    settings = dataclasses.replace(configuration, arms=["teacher", "alone"])
    with pytest.raises(ConfigurationError, match="Add distilled"):
        tune(settings, tmp_path / "run", SEARCH, say=[].append)
    assert not (tmp_path / "run").exists()


def test_of_equal_scores_none_beats_the_winner(
    configuration, tmp_path, monkeypatch
):
    sizes = iter([4, 2, 3, 5])

    def train(trials, values, steps, folder):
        return {
            "score": 0.5, "latency": 1.0, "size": next(sizes), "parameters": 1,
            "seconds": 1.0, "settings": values, "steps": steps,
            "teacher_calls": 0, "folder": folder.name,
        }  # fmt: skip

    monkeypatch.setattr("keras_kd.tuning.trials.Trials._train", train)
    monkeypatch.setattr("keras_kd.tuning.tune.distill", lambda *a, **k: None)
    result = tune(configuration, tmp_path / "run", SEARCH, say=[].append)
    assert result["best"]["size"] == 2
    assert result["best"] == result["front"][0]


@pytest.mark.slow
def test_trials_of_one_seed_are_equal(configuration, tmp_path):
    from keras_kd.runs.compare import Comparison
    from keras_kd.tuning.trials import Trials

    run = RunFolder.start(tmp_path / "run", configuration)
    comparison = Comparison(configuration, run)
    comparison.prepare()
    comparison.prepare_teacher()
    comparison.label()
    # All that a trial may ask is in the cache.
    comparison.teacher = None
    values = {"temperature": 3.0}
    weights = []
    for name in ("a", "b"):
        trials = Trials(comparison, tmp_path / name, seed=5)
        trials.run(values, 10)
        folder = trials.folder_of(values, 10) / "units" / "distilled-5"
        student = keras.models.load_model(folder / "student.keras")
        weights.append(student.get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.slow
def test_chief_and_worker(configuration, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = dataclasses.replace(
        configuration, student="bag", width=4, embedding_dim=4, seeds=[0]
    )
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings.to_dict()))
    command = [
        sys.executable, "-m", "keras_kd", "tune", "--config", str(file),
        "--tune", "learning_rate=1e-6,3e-2", "temperature=1,4", "--algorithm",
        "random", "--trials", "3", "--run", str(tmp_path / "run"),
    ]  # fmt: skip
    processes = [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                "KERASTUNER_TUNER_ID": name,
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": str(port),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("chief", "worker0")
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    assert "Trial, 20 steps" in said[1]
    assert "Trial, 20 steps" not in said[0]
    result = json.loads((tmp_path / "run" / "tuning.json").read_text())
    assert len(result["trials"]) == 3
    assert result["winner"]["arms"]["distilled"]

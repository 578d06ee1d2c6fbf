"""The command line, in this process: flags, files, messages and statuses."""

import dataclasses
import io
import json
import subprocess
import sys

import pytest

import keras_kd
from keras_kd import cli
from keras_kd import distillation
from keras_kd.cli import main
from keras_kd.configuration import Configuration
from keras_kd.deployment import TrainedStudent
from keras_kd.export.errors import ExportError
from tests import tiny

COMMANDS = ("distill", "compare", "evaluate", "predict", "export")
FIELDS = dataclasses.fields(Configuration)


@pytest.fixture
def run(capsys):
    """Runs a command: `(status, standard output, standard error)`."""

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as exit:  # argparse's own.
            status = exit.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def stop_before_work(monkeypatch):
    """Keeps the settings that `distill` is given, and does nothing."""
    calls = []
    monkeypatch.setattr(
        distillation,
        "distill",
        lambda *args, **kwargs: calls.append((args, kwargs)),
    )
    return calls


def flag(field):
    return "--" + field.name.replace("_", "-")


class TestHelp:
    def test_commands(self, run):
        status, out, _ = run("--help")
        assert status == 0
        for command in COMMANDS:
            assert f"    {command} " in out

    @pytest.mark.parametrize("command", ["distill", "compare"])
    def test_every_setting_has_a_line_with_its_default(self, run, command):
        status, out, _ = run(command, "--help")
        assert status == 0
        text = " ".join(out.split())
        for field in FIELDS:
            assert f"{flag(field)} " in text
            help = " ".join(field.metadata["help"].split())
            at = text.index(help)
            if field.name in ("temperature", "steps", "student"):
                after = text[at + len(help) :]
                assert after.startswith(f" (default: {field.default})")
        assert "--run DIR" in text
        assert "--config FILE" in text
        assert "--print-config" in text

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("evaluate", ["RUN", "--data", "--split", "--file"]),
            ("predict", ["RUN", "texts", "stdin"]),
            ("export", ["RUN", "--format", "--quantize", "float16"]),
        ],
    )
    def test_other_commands(self, run, command, words):
        status, out, _ = run(command, "--help")
        assert status == 0
        for word in words:
            assert word in out

    def test_compare_has_three_seeds(self, run):
        _, out, _ = run("compare", "--help")
        assert "(default: 0 1 2)" in " ".join(out.split())

    def test_no_command(self, run):
        status, _, err = run()
        assert status == 2
        assert "command" in err

    def test_version(self, run):
        assert run("--version")[:2] == (0, f"{keras_kd.__version__}\n")

    def test_module_is_the_command(self):
        finished = subprocess.run(
            [sys.executable, "-m", "keras_kd", "predict", "--help"],
            capture_output=True,
            text=True,
        )
        assert finished.returncode == 0
        assert finished.stdout.startswith("usage: keras-kd predict")


class TestSettings:
    def test_print_config_resolves_everything(self, run):
        status, out, _ = run("distill", "--steps", "7", "--print-config")
        assert status == 0
        settings = json.loads(out)
        assert set(settings) == {field.name for field in FIELDS}
        assert settings == {**Configuration().to_dict(), "steps": 7}

    def test_compare_differs_by_its_seeds_alone(self, run):
        settings = json.loads(run("compare", "--print-config")[1])
        assert settings == {**Configuration().to_dict(), "seeds": [0, 1, 2]}

    def test_flags_stand_above_the_file_and_that_above_defaults(
        self, run, tmp_path
    ):
        file = tmp_path / "settings.json"
        file.write_text('{"steps": 11, "width": 9, "seeds": [4]}')
        _, out, _ = run(
            "compare", "--config", file, "--width", "5", "--print-config"
        )
        settings = json.loads(out)
        assert settings["steps"] == 11
        assert settings["width"] == 5
        assert settings["seeds"] == [4]
        assert settings["batch_size"] == 32

    def test_a_flag_that_repeats_the_default_stands_above_the_file(
        self, run, tmp_path
    ):
        file = tmp_path / "settings.json"
        file.write_text('{"steps": 11}')
        _, out, _ = run(
            "distill", "--config", file, "--steps", "1000", "--print-config"
        )
        assert json.loads(out)["steps"] == 1000

    def test_printed_configuration_can_be_given_back(self, run, tmp_path):
        file = tmp_path / "settings.json"
        _, out, _ = run(
            "distill", "--teacher-floor", "0.5", "--labels", "b", "a",
            "--export", "--no-fine-tune-teacher", "--print-config",
        )  # fmt: skip
        file.write_text(out)
        settings = json.loads(out)
        assert settings["teacher_floor"] == 0.5
        assert settings["labels"] == ["b", "a"]
        assert settings["export"] == []
        assert settings["fine_tune_teacher"] is False
        assert run("compare", "--config", file, "--print-config")[1] == out

    def test_settings_reach_the_run(self, run, stop_before_work, tmp_path):
        status, _, _ = run(
            "distill", "--train", "a.csv", "--teacher", "bert", "--seeds", "3",
            "4", "--allow-pickle", "--run", tmp_path / "run",
        )  # fmt: skip
        assert status == 0
        ((configuration, folder), options) = stop_before_work[0]
        assert configuration == Configuration(
            train="a.csv", teacher="bert", seeds=[3, 4], allow_pickle=True
        )
        assert folder == str(tmp_path / "run")
        assert options["command"]

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ('{"temprature": 3}', ["['temprature']", "mean 'temperature'?"]),
            ('{"steps": "many"}', ["`steps` must be int", "'many'"]),
            ('{"steps": 0}', ["`steps` must be above 0", "Received: 0"]),
            ("[1, 2]", ["settings.json", "list", "JSON object"]),
            ('{"steps": 3', ["settings.json", "JSON", "line 1"]),
        ],
    )
    def test_bad_file_of_settings(self, run, tmp_path, content, words):
        file = tmp_path / "settings.json"
        file.write_text(content)
        status, out, err = run("distill", "--config", file, "--print-config")
        assert status == 1
        assert out == ""
        assert err.startswith("keras-kd: ")
        for word in words:
            assert word in err

    def test_missing_file_of_settings(self, run, tmp_path):
        status, _, err = run("distill", "--config", tmp_path / "no.json")
        assert status == 1
        assert str(tmp_path / "no.json") in err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--steps", "many"],
            ["--student", "lstm"],
            ["--arms", "nobody"],
            ["--colour", "red"],
        ],
    )
    def test_bad_flag(self, run, arguments):
        status, _, err = run("distill", *arguments)
        assert status == 2
        assert arguments[0] in err

    @pytest.mark.parametrize(
        ("arguments", "missing"),
        [
            ([], "--train"),
            (["--train", "a.csv"], "--teacher"),
            (["--train", "a.csv", "--teacher", "bert"], "--run"),
        ],
    )
    def test_what_is_needed(self, run, stop_before_work, arguments, missing):
        status, _, err = run("distill", *arguments)
        assert status == 1
        assert err.startswith(f"keras-kd: {missing} is needed")
        assert not stop_before_work


class TestDistill:
    def test_finished_run_is_shown_again(self, run, miniature, miniature_copy):
        folder = miniature_copy.folder
        flags = tiny.flags_of(miniature.configuration)
        status, out, err = run("distill", *flags, "--run", folder)
        assert status == 0, err
        assert "student distilled" in out
        assert "HELPED (provisional): the distilled student" in out
        assert str(folder / "report.md") in out
        assert "Training" not in err

    def test_run_with_other_settings(self, run, miniature):
        before = (miniature.folder / "config.json").read_bytes()
        flags = tiny.flags_of(miniature.configuration)
        status, _, err = run(
            "distill", *flags, "--temperature", "3", "--run", miniature.folder
        )
        assert status == 1
        assert f"A run stands in '{miniature.folder}' already" in err
        assert "{'temperature': (2.0, 3.0)}" in err
        assert "Give another --run folder" in err
        assert (miniature.folder / "config.json").read_bytes() == before

    def test_ctrl_c(self, run, stop_before_work, monkeypatch, tmp_path):
        def interrupt(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr(distillation, "distill", interrupt)
        status, _, err = run(
            "distill", "--train", "a", "--teacher", "b", "--run", tmp_path
        )
        assert status == 130
        assert "Finished parts are kept: the same command goes on." in err
        assert "Traceback" not in err

    @pytest.mark.parametrize(
        ("error", "shown"),
        [
            (ValueError("Received: 1."), "keras-kd: Received: 1.\n"),
            (KeyError("no 'x' here"), "keras-kd: no 'x' here\n"),
            (ImportError("pip install x"), "keras-kd: pip install x\n"),
            (OSError(28, "No space left on device"), "The disk is full"),
            # As HDF5 says it, without a number.
            (OSError("write failed: No space left on device"), "disk is full"),
        ],
    )
    def test_errors(self, run, monkeypatch, tmp_path, error, shown):
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr(distillation, "distill", fail)
        arguments = ["--train", "a", "--teacher", "b", "--run", tmp_path]
        status, _, err = run("distill", *arguments)
        assert status == 1
        assert shown in err
        with pytest.raises(type(error)):
            run("distill", *arguments, "--traceback")

    def test_our_own_mistakes_are_not_hidden(self, run, monkeypatch, tmp_path):
        def fail(*args, **kwargs):
            raise AttributeError("a bug")

        monkeypatch.setattr(distillation, "distill", fail)
        with pytest.raises(AttributeError):
            run("distill", "--train", "a", "--teacher", "b", "--run", tmp_path)


class TestPredict:
    def test_texts(self, run, miniature):
        status, out, _ = run(
            "predict", miniature.folder, "a great film", "a dull film"
        )
        assert status == 0
        lines = [line.split("\t") for line in out.splitlines()]
        assert [(label, text) for label, _, text in lines] == [
            ("good", "a great film"),
            ("bad", "a dull film"),
        ]
        assert all(0.5 <= float(value) <= 1 for _, value, _ in lines)

    def test_lines_of_standard_input(self, run, miniature, monkeypatch):
        monkeypatch.setattr(
            sys, "stdin", io.StringIO("it was sweet\n\nit was grim\n")
        )
        status, out, _ = run("predict", miniature.folder)
        assert status == 0
        labels = [line.split("\t")[0] for line in out.splitlines()]
        assert len(labels) == 3
        assert (labels[0], labels[2]) == ("good", "bad")

    def test_no_run(self, run, tmp_path):
        status, _, err = run("predict", tmp_path / "nothing", "text")
        assert status == 1
        assert f"'{tmp_path / 'nothing'}' is not a run" in err


class TestEvaluate:
    def test_student(self, run, miniature):
        status, out, _ = run(
            "evaluate", miniature.folder, "--data",
            miniature.configuration.test,
        )  # fmt: skip
        assert status == 0
        scores = json.loads(out)
        (seed,) = miniature.result["arms"]["distilled"]["seeds"]
        assert scores["rows"] == 80
        assert scores["accuracy"] == seed["scores"]["accuracy"]
        assert scores["confusion"] == seed["scores"]["confusion"]

    def test_file(self, run, miniature):
        status, out, _ = run(
            "evaluate", miniature.folder, "--data",
            miniature.configuration.test, "--file",
            miniature.folder / "student_float32.tflite",
        )  # fmt: skip
        assert status == 0
        (seed,) = miniature.result["arms"]["distilled"]["seeds"]
        assert json.loads(out)["accuracy"] == seed["scores"]["accuracy"]

    def test_file_is_looked_for_in_the_run_too(
        self, run, miniature, monkeypatch, tmp_path
    ):
        monkeypatch.chdir(tmp_path)
        status, out, _ = run(
            "evaluate", miniature.folder, "--data",
            miniature.configuration.test, "--file", "student_float32.tflite",
        )  # fmt: skip
        assert status == 0
        assert json.loads(out)["rows"] == 80

    @pytest.mark.parametrize("name", ["nothing.tflite", "report.md"])
    def test_file_that_is_none(self, run, miniature, name):
        status, out, err = run(
            "evaluate", miniature.folder, "--data",
            miniature.configuration.test, "--file", miniature.folder / name,
        )  # fmt: skip
        assert status == 1
        assert str(miniature.folder / name) in err
        assert out == ""

    def test_data_is_needed(self, run, miniature):
        status, _, err = run("evaluate", miniature.folder)
        assert status == 2
        assert "--data" in err

    def test_unknown_label(self, run, miniature, tmp_path):
        data = tiny.write_csv(tmp_path / "new.csv", [("the film", "superb")])
        status, _, err = run("evaluate", miniature.folder, "--data", data)
        assert status == 1
        assert "new.csv:2: unknown label 'superb'" in err
        assert "['bad', 'good']" in err


class TestExport:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ([], "dynamic"),
            (["--quantize", "float16"], "float16"),
            (["--format", "saved_model"], "saved_model"),
        ],
    )
    def test_formats(
        self, run, miniature_copy, monkeypatch, arguments, expected
    ):
        # The conversion itself is tested with `export_again`.
        folder = miniature_copy.folder
        report = {"file": f"student_{expected}", "bytes": 5}
        monkeypatch.setattr(
            distillation,
            "_export",
            lambda student, name: {**report, "name": name},
        )
        status, out, _ = run("export", folder, *arguments)
        assert status == 0
        assert json.loads(out) == {**report, "name": expected}
        stored = json.loads((folder / "metrics.json").read_text())
        assert stored["exports"][-1]["file"] == report["file"]

    def test_file_that_fails_its_check(self, run, miniature_copy, monkeypatch):
        folder = miniature_copy.folder
        before = (folder / "metrics.json").read_bytes()

        def fail(self, quantization):
            raise ExportError("The largest difference is 1.0.")

        monkeypatch.setattr(TrainedStudent, "export_litert", fail)
        status, out, err = run("export", folder)
        assert status == 1
        assert out == ""
        assert err == "keras-kd: The largest difference is 1.0.\n"
        assert not (folder / "student_dynamic.tflite").exists()
        assert (folder / "metrics.json").read_bytes() == before

    def test_format_that_there_is_not(self, run, miniature):
        status, _, err = run("export", miniature.folder, "--quantize", "int4")
        assert status == 2
        assert "float16" in err


def test_shown_command_can_be_typed_again(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["/usr/bin/keras-kd", "predict", "run", "a film"]
    )
    assert cli.shown_command() == "keras-kd predict run 'a film'"

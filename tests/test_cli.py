"""The command line, in this process: flags, files, messages and statuses."""

import argparse
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
import types

import pytest

import keras_kd
from keras_kd.cli import main
from keras_kd.commands import student as student_commands
from keras_kd.commands.training import shown_command
from keras_kd.configuration import Configuration
from keras_kd.configuration import setting_flags
from keras_kd.export.errors import ExportError
from keras_kd.runs import distillation
from keras_kd.runs.student_files import StudentFiles
from keras_kd.runs.teacher_checks import TeacherRefused
from tests import tiny

COMMANDS = (
    "distill", "compare", "tune", "study", "label", "evaluate", "predict",
    "export", "inspect",
)  # fmt: skip
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
    def test_every_setting_has_a_line_with_its_default(
        self, run, command, monkeypatch
    ):
        monkeypatch.setenv("COLUMNS", "500")  # No word is broken.
        status, out, _ = run(command, "--help")
        assert status == 0
        lines = dict(
            " ".join(entry.split()).split(maxsplit=1)
            for entry in re.split(r"\n  (?=--)|\n\n", out)
            if entry.strip().startswith("--")
        )
        for field in FIELDS:
            help = " ".join(field.metadata["help"].split())
            if field.name in ("temperature", "steps", "student"):
                help += f" (default: {field.default})"
            line = lines.get(flag(field)) or lines[f"{flag(field)},"]
            assert help in line
        assert lines["--allow-pickle,"].endswith("(default: off)")
        for line in lines.values():
            assert line.count("default: ") <= 1, line
        assert lines["--run"].startswith("DIR ")
        assert lines["--config"].startswith("FILE ")
        assert "--print-config" in lines

    def test_usage_is_short_and_also_shown_with_a_mistake(self, run):
        usage = (
            "usage: keras-kd distill --train FILE --teacher DIR --run DIR "
            "[settings]\n"
        )
        assert run("distill", "--help")[1].startswith(usage + "\n")
        assert run("distill", "--steps", "x")[2].startswith(usage)

    def test_settings_stand_in_groups(self, run):
        out = run("distill", "--help")[1]
        titles = [title for title in setting_flags.GROUPS]
        found = [
            line[:-1]
            for line in out.splitlines()
            if line.endswith(":") and not line.startswith(" ")
        ]
        assert found == ["example", "options", *titles]
        by_title = dict(zip(titles, re.split(r"\n[a-z]+:(?=\n)", out)[3:]))
        for title, name in {
            "data": "--max-length",
            "teacher": "--teacher-floor",
            "student": "--dropout",
            "distillation": "--seeds",
            "machine": "--precision",
            "results": "--export",
        }.items():
            assert f"\n  {name} " in by_title[title], title

    def test_new_setting_stands_with_the_one_before_it(self, monkeypatch):
        def new(name):
            return (
                name,
                str,
                dataclasses.field(
                    default="x", metadata={"help": "new", "choices": None}
                ),
            )

        fields = [(f.name, f.type, f) for f in FIELDS]
        place = [f.name for f in FIELDS].index("dropout")
        fields[place + 1 : place + 1] = [new("noise")]
        monkeypatch.setattr(
            setting_flags,
            "Configuration",
            dataclasses.make_dataclass("New", [*fields, new("colour")]),
        )
        parser = argparse.ArgumentParser()
        setting_flags.add_settings(parser)
        groups = {
            action.dest: group.title
            for group in parser._action_groups
            for action in group._group_actions
        }
        assert groups["noise"] == groups["dropout"] == "student"
        assert groups["colour"] == "results"

    def test_what_a_flag_takes_is_said(self, run, monkeypatch):
        monkeypatch.setenv("COLUMNS", "500")
        out = run("distill", "--help")[1]
        for words in (
            "--train FILE ", "--teacher DIR ", "--steps N ", "--text COLUMN ",
            "--learning-rate RATE ", "--seeds [N ...] ", "--encoding NAME ",
            "--teacher-floor SCORE\n",
        ):  # fmt: skip
            assert f"\n  {words}" in out
        assert " X " not in out

    @pytest.mark.parametrize(
        "choice", ["litert-int8", "control", " float16,", "mirrored", "bilstm,"]
    )
    def test_choices_are_shown_once(self, run, choice):
        # Where the text names them all, there is no list of them.
        options = run("distill", "--help")[1].partition("\noptions:")[2]
        shown = [
            " ".join(entry.split())
            for entry in re.split(r"\n  (?=--)", options)
            if choice in " ".join(entry.split()).partition("(default:")[0]
        ]
        assert max(entry.count(choice) for entry in shown) == 1

    def test_a_described_default_gives_way_to_a_real_one(self, run):
        parser = argparse.ArgumentParser()
        setting_flags.add_settings(
            parser, validation_rows=9, labels=["a", "b"], cache="c", test="t"
        )
        out = " ".join(parser.format_help().split())
        for words in (
            "rows of --train kept for validation (default: 9)",
            "class names in the order of the logits (default: a b)",
            "runs may share it (default: c)",
        ):
            assert words in out

    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("label", ["--train", "--cache", "--run", "--shard I/N"]),
            ("evaluate", ["RUN", "--data", "--file", "--text COLUMN"]),
            ("predict", ["RUN", "texts", "stdin"]),
            ("export", ["RUN", "--format", "--quantize", "--length"]),
            ("inspect", ["FILE"]),
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

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--teacher", "a"], {"teacher": "a"}),
            (
                ["--teacher", "a", "b", "--teacher-weights", "2", ".5"],
                {"teacher": ["a", "b"], "teacher_weights": [2.0, 0.5]},
            ),
            (
                ["--teacher", "a", "b", "--teacher-weights", "validation"],
                {"teacher": ["a", "b"], "teacher_weights": "validation"},
            ),
            (
                ["--student", "bert", "--teacher-layers", "0", "2"],
                {"teacher_layers": [0, 2], "layers": 2, "width": None},
            ),
            (
                ["--student", "bert", "--layers", "4", "--width", "312",
                 "--heads", "12", "--intermediate", "1200"],
                {"layers": 4, "heads": 12, "intermediate": 1200},
            ),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, list) else "",
    )  # fmt: skip
    def test_several_teachers_and_their_layers(self, run, arguments, expected):
        settings = json.loads(run("distill", *arguments, "--print-config")[1])
        assert {name: settings[name] for name in expected} == expected

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["--teacher-weights", "1"],
                "--teacher-weights must be left out",
            ),
            (["--teacher-layers", "0"], "--student must be bert or left out"),
        ],
    )
    def test_what_does_not_go_together(self, run, arguments, message):
        status, _, err = run("distill", *arguments)
        assert status == 1
        assert message in err

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
        ("typed", "meant"),
        [("1", 1), ("0", 0), ("review", "review"), ("1st", "1st"), ("²", "²")],
    )
    def test_columns_by_number(self, run, typed, meant):
        _, out, _ = run(
            "distill", "--text", typed, "--label", typed, "--print-config"
        )
        settings = json.loads(out)
        assert settings["text"] == settings["label"] == meant

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ["--max-length", "4"],
                "keras-kd: --max-length must be 8 or more. Received: 4.\n",
            ),
            (
                ["--arms"],
                "keras-kd: --arms must be one or more, all different. "
                "Received: [].\n",
            ),
        ],
    )
    def test_message_names_the_flag(self, run, arguments, message):
        assert run("distill", *arguments, "--print-config")[2] == message
        assert run("compare", *arguments, "--print-config")[2] == message

    def test_message_names_what_stands_in_the_file(self, run, tmp_path):
        file = tmp_path / "settings.json"
        file.write_text('{"steps": 0}')
        arguments = ["distill", "--config", file, "--print-config"]
        assert "`steps` must be" in run(*arguments)[2]
        assert "--steps must be" in run(*arguments, "--steps", "0")[2]

    @pytest.mark.parametrize(
        ("error", "shown"),
        [
            (
                TeacherRefused("Fine-tune it, or lower `teacher_floor`."),
                "keras-kd: Fine-tune it, or lower --teacher-floor.\n",
            ),
            (
                TeacherRefused("Received: max_length=600. See `Teacher`."),
                "keras-kd: Received: --max-length=600. See `Teacher`.\n",
            ),
            # Not ours: `steps` may mean another thing there.
            (
                ValueError("`steps` or steps=3"),
                "keras-kd: `steps` or steps=3\n",
            ),
        ],
    )
    def test_errors_of_a_run_name_flags(
        self, run, monkeypatch, tmp_path, error, shown
    ):
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr(distillation, "distill", fail)
        arguments = ["--train", "a", "--teacher", "b", "--run", tmp_path]
        assert run("distill", *arguments)[2] == shown

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

    def test_flag_that_is_nearly_one(self, run):
        status, _, err = run("distill", "--studnet=bag")
        assert status == 2
        assert err.startswith("usage: keras-kd distill")
        assert "arguments: --studnet=bag. Did you mean --student?" in err

    @pytest.mark.parametrize(
        "arguments",
        [
            ["benchmark", "run", "--rows", "0"],
            ["benchmark", "run", "--threads", "-1"],
            ["neighbours", "run", "--word", "a", "--count", "0"],
            ["predict", "run", "--answers", "0"],
        ],
    )
    def test_bad_count(self, run, arguments):
        status, _, err = run(*arguments)
        assert status == 2
        assert f"argument {arguments[-2]}: must be 1 or more" in err

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
        assert "Received: --temperature was 2.0, and is 3.0 now." in err
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
            (KeyError("LOC"), "keras-kd: KeyError('LOC'). This is a defect: -"),
            (KeyError(), "keras-kd: KeyError(). This is a defect: --traceback"),
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

    @pytest.fixture
    def answers(self, monkeypatch):
        """Stands in for a student, and keeps what it was asked."""

        def stand_in(text_pair, answer, task="regression"):
            asked = []
            configuration = Configuration(text_pair=text_pair)
            student = types.SimpleNamespace(
                run=types.SimpleNamespace(configuration=configuration),
                task=types.SimpleNamespace(name=task, show=str),
                predict=lambda texts: asked.extend(texts) or [answer],
            )
            monkeypatch.setattr(
                student_commands, "_open_student", lambda folder: student
            )
            return asked

        return stand_in

    def test_number_has_no_probability(self, run, answers):
        answers(None, ("3.250", None))
        assert run("predict", "run", "a film") == (0, "3.250\ta film\n", "")

    def test_flags_before_or_between_or_after_texts(self, run, answers):
        asked = answers(None, ("3.250", None))
        flag = ("--answers", "1")
        run("predict", *flag, "run", "a")
        run("predict", "run", *flag, "b", "c")
        run("predict", "run", "d", *flag)
        assert asked == ["a", "b", "c", "d"]
        run("predict", "run", *flag, "-5 degrees", "- bad film")
        assert asked[4:] == ["-5 degrees", "- bad film"]
        status, _, err = run("predict", "run", "e", "--nothing", "f")
        assert status == 2
        assert "unrecognized arguments: --nothing f" in err
        status, _, err = run("predict", "run", "--answers", "1", "e", "--no")
        assert status == 2
        assert "unrecognized arguments: e --no" in err

    def test_pairs(self, run, answers, monkeypatch):
        asked = answers("hypothesis", ("no", 0.75))
        status, out, _ = run("predict", "run", "It rains.", "It is dry.")
        assert (status, out) == (0, "no\t0.750\tIt rains.\tIt is dry.\n")
        monkeypatch.setattr(sys, "stdin", io.StringIO("a\tb\nc\td\n"))
        assert run("predict", "run")[0] == 0
        assert asked == [("It rains.", "It is dry."), ("a", "b"), ("c", "d")]

    @pytest.mark.parametrize(
        ("texts", "lines", "message"),
        [
            (
                ["a", "b", "c"],
                "",
                "Expected two texts for each answer. Received: 3",
            ),
            ([], "a\tb\nc\n", "Line 2 has 1 columns. Expected two texts"),
        ],
    )
    def test_not_pairs(self, run, answers, monkeypatch, texts, lines, message):
        answers("hypothesis", ("no", 0.75))
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        status, _, err = run("predict", "run", *texts)
        assert status == 1
        assert message in err

    @pytest.mark.parametrize("texts, lines", [(["a"], ""), ([], "a\n")])
    def test_no_question(self, run, answers, monkeypatch, texts, lines):
        answers(None, ("no", 0.75), "question_answering")
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        status, _, err = run("predict", "run", *texts)
        assert status == 1
        assert "Expected a question and a text" in err


class TestBrokenPipe:
    @pytest.mark.skipif(os.name != "posix", reason="no SIGPIPE")
    def test_output_that_nobody_reads(self):
        # As in `keras-kd ... | head`, where `head` has gone.
        reading, writing = os.pipe()
        os.close(reading)
        finished = subprocess.run(
            [sys.executable, "-m", "keras_kd", "distill", "--print-config"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(writing)
        assert finished.returncode == 141
        assert finished.stderr == ""

    def test_it_is_no_error_of_the_run(self, run, monkeypatch):
        def closed(folder):
            raise BrokenPipeError(32, "Broken pipe")

        monkeypatch.setattr(student_commands, "_open_student", closed)
        assert run("predict", "run", "a film", "--traceback") == (141, "", "")


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

    def test_a_file_with_other_columns(self, run, miniature, tmp_path):
        data = tmp_path / "new.csv"
        data.write_text("caf\xe9;stars\nit was great;good\n", "latin-1")
        status, out, _ = run(
            "evaluate", miniature.folder, "--data", data, "--text", "caf\xe9",
            "--label", "stars", "--delimiter", ";", "--encoding", "latin-1",
        )  # fmt: skip
        assert status == 0
        assert json.loads(out)["rows"] == 1

    def test_messages_name_its_flags(self, run, miniature, tmp_path):
        data = tmp_path / "new.csv"
        data.write_text("text;label\nit was great;good\n")
        arguments = ["evaluate", miniature.folder, "--data", data]
        assert "Give --delimiter=';'." in run(*arguments)[2]
        _, _, err = run(*arguments, "--text", "review", "--delimiter", ";")
        assert "no column 'review'" in err and "(--text=0)" in err
        assert "Name another one with --text." in err
        assert "without labels" not in err
        _, _, err = run(*arguments, "--label", "stars", "--delimiter", ";")
        assert "Name another one with --label. A file without labels" in err

    @pytest.mark.parametrize(
        ("settings", "arguments"),
        [
            ({}, ["--text-pair", "b"]),
            ({"task": "token_tagging"}, ["--delimiter", ";"]),
            ({"task": "question_answering"}, ["--text", "question"]),
            ({"task": "multi_label"}, ["--labels", "0", "1"]),
        ],
    )
    def test_settings_that_the_task_has_not(
        self, run, monkeypatch, settings, arguments
    ):
        configuration = Configuration(**settings)
        student = types.SimpleNamespace(
            run=types.SimpleNamespace(configuration=configuration),
            task=types.SimpleNamespace(name=configuration.task),
        )
        monkeypatch.setattr(
            student_commands, "_open_student", lambda folder: student
        )
        status, _, err = run("evaluate", "run", "--data", "a.csv", *arguments)
        assert status == 1
        assert f"{arguments[0]} must be left out for " in err

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

    def test_classes_that_the_file_names_otherwise(
        self, run, miniature, tmp_path
    ):
        _, expected, _ = run(
            "evaluate", miniature.folder, "--data",
            miniature.configuration.test,
        )  # fmt: skip
        data = tmp_path / "numbers.csv"
        with open(miniature.configuration.test) as file:
            text = file.read()
        text = text.replace(",bad\n", ",0\n").replace(",good\n", ",1\n")
        data.write_text(text)
        arguments = ["evaluate", miniature.folder, "--data", data, "--labels"]
        status, out, _ = run(*arguments, "0", "1")
        assert status == 0
        assert json.loads(out) == json.loads(expected)
        _, _, err = run(*arguments, "no", "yes")
        assert "unknown label '" in err and "are ['no', 'yes']" in err

    @pytest.mark.parametrize("labels", [["0"], ["0", "1", "2"], ["0", "0"]])
    def test_other_names_than_the_run_has_classes(self, run, miniature, labels):
        status, _, err = run(
            "evaluate", miniature.folder, "--data",
            miniature.configuration.test, "--labels", *labels,
        )  # fmt: skip
        assert status == 1
        assert "--labels must be 2 different names" in err
        assert "['bad', 'good'] in this order" in err
        assert f"Received: {labels}" in err


class TestExport:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ([], "dynamic"),
            (["--quantize", "float16"], "float16"),
            (["--format", "saved_model"], "saved_model"),
            (["--length", "dynamic"], "dynamic/dynamic"),
            (
                ["--quantize", "int4-embedding", "--length", "64"],
                "int4-embedding/64",
            ),
        ],
    )
    def test_formats(
        self, run, miniature_copy, monkeypatch, arguments, expected
    ):
        # The conversion itself is tested with `export_again`.
        folder = miniature_copy.folder
        report = {"file": f"student_{expected}", "format": "none"}
        monkeypatch.setattr(
            StudentFiles,
            "write",
            lambda files, name: {**report, "name": name},
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

        monkeypatch.setattr(StudentFiles, "litert", fail)
        status, out, err = run("export", folder)
        assert status == 1
        assert out == ""
        assert err == (
            "keras-kd: The file 'dynamic' was not written: The largest "
            "difference is 1.0.\n"
        )
        assert not (folder / "student_dynamic.tflite").exists()
        assert (folder / "metrics.json").read_bytes() == before

    @pytest.mark.parametrize("form", ["saved_model", "huggingface"])
    @pytest.mark.parametrize(
        "arguments", [["--length", "64"], ["--quantize", "float16"]]
    )
    def test_what_is_of_a_tflite_file(self, run, miniature, form, arguments):
        status, _, err = run(
            "export", miniature.folder, "--format", form, *arguments
        )
        assert status == 1
        assert f"{arguments[0]} is for a .tflite file" in err

    def test_format_that_there_is_not(self, run, miniature):
        status, _, err = run("export", miniature.folder, "--quantize", "int4")
        assert status == 2
        assert "float16" in err


def test_shown_command_can_be_typed_again(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["/usr/bin/keras-kd", "predict", "run", "a film"]
    )
    assert shown_command() == "keras-kd predict run 'a film'"

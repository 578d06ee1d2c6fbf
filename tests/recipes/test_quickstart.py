"""The quickstart, from its flags to its answers."""

import dataclasses
import json

import pytest

from keras_kd.configuration import Configuration
from recipes import quickstart


class TestQuickstart:
    def test_help(self, capsys):
        with pytest.raises(SystemExit) as exit:
            quickstart.main(["--help"])
        out = capsys.readouterr().out
        assert exit.value.code == 0
        assert "Few labels, much unlabelled text" in out
        for field in dataclasses.fields(Configuration):
            assert "--" + field.name.replace("_", "-") in out
        assert "(default: 600)" in " ".join(out.split())
        assert out.startswith(
            "usage: python -m recipes.quickstart [--run DIR] [settings]\n"
        )

    def test_print_config(self, resolved, capsys):
        assert quickstart.main(["--steps", "9", "--print-config"]) == 0
        settings = json.loads(capsys.readouterr().out)
        assert (settings["steps"], settings["labelled_rows"]) == (9, 600)
        assert not resolved

    def test_without_a_student(self, resolved, capsys, tmp_path):
        status = quickstart.main(
            ["--arms", "teacher", "--run", str(tmp_path / "run")]
        )
        captured = capsys.readouterr()
        assert (status, captured.err) == (0, "")
        assert "No student was trained" in captured.out
        assert "Add 'distilled' to --arms" in captured.out
        assert len(resolved) == 1

    def test_few_labels_much_text_and_three_seeds(self, resolved, monkeypatch):
        # It goes on to use the student, which is not there.
        assert quickstart.main(["--run", "no run"]) == 1
        (configuration,) = resolved
        assert configuration.train == str(quickstart.DATA)
        assert configuration.labelled_rows == 600
        assert configuration.seeds == [0, 1, 2]
        assert configuration.arms == ["teacher", "alone", "distilled"]
        assert "float32" in configuration.export
        # 3,000 rows: 1,400 are left for the teacher to label.
        assert configuration.validation_rows + configuration.test_rows == 1000

    # What is kept, a student alone too, is in the same place.
    @pytest.mark.parametrize("arm", ["alone", "distilled"])
    def test_ends_with_answers(self, miniature, resolved, capsys, arm):
        status = quickstart.main(
            ["--run", str(miniature.folder), "--arms", arm]
        )
        out = capsys.readouterr().out
        assert status == 0
        assert len(resolved) == 1
        for sentence in quickstart.SENTENCES:
            assert f")  {sentence}\n" in out

    def test_error_is_one_line(self, tmp_path, capsys):
        status = quickstart.main(
            ["--train", str(tmp_path / "no.csv"), "--run", str(tmp_path / "r")]
        )
        err = capsys.readouterr().err
        assert status == 1
        assert err.startswith("keras-kd: ")
        assert "no.csv is not there" in err

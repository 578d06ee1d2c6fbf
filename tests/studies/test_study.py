"""Whole studies in miniature."""

import json
import re
from pathlib import Path

import pytest

from keras_kd.cli import main
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.distiller import Distiller
from keras_kd.evaluation import report
from keras_kd.runs import arm_training
from keras_kd.runs import teaching
from keras_kd.studies.study import study
from tests import tiny


def refuse(*args, **kwargs):
    raise AssertionError("This is not to be called again.")


@pytest.fixture(autouse=True, scope="module")
def quick():
    """A student that takes no time to trace; no plots of the cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arm_training, "build_student", tiny.bag_student)
        patch.setattr(report, "write_plots", lambda folder, result: [])
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return dict(
        **tiny.write_data(folder / "data", train=12, test=40),
        teacher=tiny.write_teacher(folder / "teacher"),
        max_length=tiny.LENGTH,
        dropout=0.0,
        batch_size=16,
        learning_rate=0.03,
        steps=20,
        evaluate_every=10,
    )


@pytest.fixture(scope="module")
def temperatures(settings, tmp_path_factory):
    """A finished study; counts the trainings."""
    folder = tmp_path_factory.mktemp("temperature") / "run"
    fit, fitted = Distiller.fit, []

    def counting(self, *args, **kwargs):
        fitted.append(self)
        return fit(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Distiller, "fit", counting)
        result = study(
            "temperature", Configuration(**settings), folder, ["1", "4"],
            "the command", [].append,
        )  # fmt: skip
    return folder, result, len(fitted)


class TestTemperature:
    def test_cells(self, temperatures):
        _, result, _ = temperatures
        assert [(c["temperature"], c["T^2"]) for c in result["cells"]] == [
            (1.0, "with"), (4.0, "with"), (4.0, "no"),
        ]  # fmt: skip
        assert {cell["steps"] for cell in result["cells"]} == {20}
        assert {len(cell["distilled_scores"]) for cell in result["cells"]} == {
            1
        }

    def test_student_alone_is_trained_once(self, temperatures):
        _, result, fitted = temperatures
        assert fitted == 1 + 3
        assert len({tuple(c["alone_scores"]) for c in result["cells"]}) == 1
        assert all(c["comparison"]["seeds"] == 1 for c in result["cells"])

    def test_square_of_the_temperature_scales_the_loss(self, temperatures):
        folder, _, _ = temperatures

        def first_loss(cell):
            unit = folder / "cells" / cell / "units" / "distilled-0"
            history = json.loads((unit / "result.json").read_text())["history"]
            return history[0]["soft_targets_loss"]

        with_it, without = map(
            first_loss, ("temperature-4", "temperature-4-unscaled")
        )
        # Before the two students part, they differ by 4^2 alone.
        assert with_it > 5 * without

    def test_one_table_and_one_plot(self, temperatures):
        folder, result, _ = temperatures
        text = (folder / "study.md").read_text(encoding="utf-8")
        (header,) = [li for li in text.splitlines() if "| verdict |" in li]
        assert header.startswith("| temperature | T^2 | teacher | alone |")
        assert text.count("| with |") == 2 and text.count("| no |") == 1
        assert "20 steps of 16 rows for every student" in text
        assert "](study.png)" in text
        assert (folder / "study.png").stat().st_size > 5000
        stored = json.loads((folder / "study.json").read_text())
        assert stored["cells"] == result["cells"]
        assert (folder / "cells" / "temperature-1" / "report.md").exists()

    def test_cells_share_one_cache(self, temperatures):
        folder, _, _ = temperatures
        assert (folder / "cache" / "targets").is_dir()
        for cell in (folder / "cells").iterdir():
            assert not (cell / "cache").exists()
            result = json.loads((cell / "metrics.json").read_text())
            assert result["teacher_calls"] == 0

    def test_hparams(self, temperatures):
        folder, _, _ = temperatures
        for cell in (folder / "cells").iterdir():
            assert list((cell / "hparams").glob("events.*"))

    def test_again_and_further(self, temperatures, settings, monkeypatch):
        folder, result, _ = temperatures
        arguments = ["temperature", Configuration(**settings), folder]
        with monkeypatch.context() as patch:
            patch.setattr(Distiller, "fit", refuse)
            patch.setattr(teaching, "keras_runtime", refuse)
            again = study(*arguments, ["1", "4"], "the command", [].append)
        assert again == result
        more = study(*arguments, ["1", "4", "2"], "the command", [].append)
        assert more["cells"][:3] == result["cells"]
        assert len(more["cells"]) == 5

    def test_other_settings_are_refused(self, temperatures, settings):
        folder, _, _ = temperatures
        changed = Configuration(**{**settings, "alpha": 0.5})
        with pytest.raises(ConfigurationError, match="A run stands in"):
            study("temperature", changed, folder, ["1"], say=[].append)

    @pytest.mark.parametrize("what", ["data", "teacher"])
    def test_results_of_other_data_and_teachers_are_refused(
        self, temperatures, settings, tmp_path, what
    ):
        folder, _, _ = temperatures
        file = Path(settings["train"])
        changed = file.read_bytes() + b"a poor film,bad\n"
        if what == "teacher":
            file = Path(settings["teacher"]) / "model.keras"
            tiny.write_teacher(tmp_path / "other", scale=13.0)
            changed = (tmp_path / "other" / file.name).read_bytes()
        before = file.read_bytes()
        try:
            file.write_bytes(changed)
            with pytest.raises(ConfigurationError, match=f"The {what} of the"):
                study(
                    "temperature", Configuration(**settings), folder, ["1"],
                    say=[].append,
                )  # fmt: skip
        finally:
            file.write_bytes(before)


@pytest.mark.slow
def test_methods(settings, tmp_path):
    result = study(
        "methods", Configuration(**settings), tmp_path / "run",
        ["logits_mse", "soft_targets+relational_distance"], say=[].append,
    )  # fmt: skip
    assert [cell["cell"] for cell in result["cells"]] == [
        "logits_mse", "soft_targets-and-relational_distance",
    ]  # fmt: skip
    folder = tmp_path / "run" / "cells" / result["cells"][1]["cell"]
    history = json.loads(
        (folder / "units" / "distilled-0" / "result.json").read_text()
    )["history"]
    assert {"soft_targets_loss", "relational_distance_loss"} <= set(history[0])
    assert (tmp_path / "run" / "study.png").exists()


@pytest.mark.slow
def test_sizes_have_a_student_alone_of_their_own(
    settings, tmp_path, monkeypatch
):
    from keras_kd.models.students import build_student

    monkeypatch.setattr(arm_training, "build_student", build_student)
    result = study(
        "size", Configuration(**settings), tmp_path / "run",
        ["bag:1:4", "bag:1:16"], say=[].append,
    )  # fmt: skip
    small, large = result["cells"]
    assert (small["width"], large["width"]) == (4, 16)
    assert small["parameters"] < large["parameters"]
    for cell in result["cells"]:
        file = tmp_path / "run" / "cells" / cell["cell"] / "metrics.json"
        alone, distilled = (
            json.loads(file.read_text())["arms"][arm]["seeds"][0]["parameters"]
            for arm in ("alone", "distilled")
        )
        assert alone == distilled == cell["parameters"]


@pytest.mark.slow
class TestTeachers:
    def test_several_and_one_that_is_refused(self, settings, tmp_path):
        teachers = [
            tiny.write_teacher(tmp_path / name, scale=scale)
            for name, scale in (("sure", 12.0), ("wrong", -12.0))
        ]
        result = study(
            "teacher",
            Configuration(**{**settings, "teacher": teachers}),
            tmp_path / "run",
            say=[].append,
        )
        sure, wrong = result["cells"]
        assert sure["teacher_scores"] == [1.0]
        assert "in the order" in wrong["refused"]
        text = (tmp_path / "run" / "study.md").read_text(encoding="utf-8")
        assert "- teacher-2-wrong: The teacher scores" in text

    def test_epochs_of_fine_tuning(self, settings, tmp_path):
        given = tiny.write_bert(tmp_path / "bert", head=False)
        changed = {**settings, "teacher": given, "teacher_floor": 0.0}
        result = study(
            "teacher", Configuration(**changed), tmp_path / "run", ["1", "3"],
            say=[].append,
        )  # fmt: skip
        assert [cell["epochs"] for cell in result["cells"]] == [1.0, 3.0]
        for cell in result["cells"]:
            folder = tmp_path / "run" / "cells" / cell["cell"]
            assert (folder / "teacher").is_dir()

    def test_teacher_is_fine_tuned_once_for_other_studies(
        self, settings, tmp_path, monkeypatch
    ):
        given = tiny.write_bert(tmp_path / "bert", head=False)
        changed = {**settings, "teacher": given, "teacher_floor": 0.0}
        tuned, fine_tune = [], teaching.fine_tune

        def counting(*args, **kwargs):
            tuned.append(args)
            return fine_tune(*args, **kwargs)

        monkeypatch.setattr(teaching, "fine_tune", counting)
        study(
            "temperature", Configuration(**changed), tmp_path / "run", ["2"],
            say=[].append,
        )  # fmt: skip
        assert len(tuned) == 1


@pytest.mark.slow
def test_command(settings, tmp_path, capsys):
    flags = tiny.flags_of(Configuration(**settings))
    arguments = ["study", "temperature", *flags, "--run", tmp_path / "run"]
    arguments += ["--values", "1", "--traceback"]
    assert main([str(argument) for argument in arguments]) == 0
    out = capsys.readouterr().out
    assert re.search(r"\ntemperature +T\^2 +teacher", out)
    assert str(tmp_path / "run" / "study.md") in out
    assert Path(tmp_path / "run" / "study.json").exists()


def test_distilled_students_are_needed(settings, tmp_path):
    changed = Configuration(**{**settings, "arms": ["alone"]})
    with pytest.raises(ConfigurationError, match="Add distilled"):
        study("size", changed, tmp_path / "run", say=[].append)

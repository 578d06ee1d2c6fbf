"""What commands do with a run of `recipes.masked_lm`."""

import json
import os
import shutil

import keras
import numpy as np
import pytest

from keras_kd import cli
from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.rows import write_rows
from keras_kd.data.text_windows import text_windows
from keras_kd.data.tokenization import Tokenizer
from keras_kd.language.language_models import LanguageModels
from keras_kd.language.masked_lm_distillation import MaskedLMDistillation
from keras_kd.language.masked_lm_settings import MaskedLMSettings
from keras_kd.runs import huggingface_run
from tests import tiny
from tests import tiny_language_models as tiny_lm


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language_model")
    settings = MaskedLMSettings(
        data=tiny_lm.write_texts(folder / "text.txt", 80),
        teacher=tiny_lm.write_masked_lm(folder / "bert"),
        **tiny_lm.SETTINGS,
        steps=2,
        alpha_ce=0.0,
        alpha_cos=0.0,
    )
    MaskedLMDistillation(settings, folder / "run", lambda text: None).execute()
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def export(run):
    return cli.main(["export", str(run), "--format", "huggingface"])


class TestOtherText:
    """Another file under the same name, and `--overwrite`."""

    def test_a_run_that_was_trained(self, run, tmp_path):
        settings = read_json(run / "settings.json")
        settings["data"] = tiny_lm.write_texts(tmp_path / "b.txt", 80, seed=1)
        write_json(run / "settings.json", settings)
        manifest = (run / "tokens" / "train" / "shards.json").read_text()
        again = MaskedLMDistillation(
            MaskedLMSettings(**settings, overwrite=True), run, print
        )
        with pytest.raises(ConfigurationError, match="data of the run"):
            again.prepare()
        assert manifest == (run / "tokens/train/shards.json").read_text()

    def test_rows_of_the_teacher(self, tmp_path):
        """As many windows as before, of other text."""
        settings = MaskedLMSettings(
            data="text.txt",
            teacher=tiny_lm.write_masked_lm(tmp_path / "bert"),
            student=tiny_lm.write_masked_lm(tmp_path / "roberta", "roberta"),
            alpha_ce=0.0,
            max_length=16,
        )
        models = LanguageModels(settings)
        for word in ("fine", "dull"):
            windows = text_windows(
                [" ".join([word] * 9)] * 2, models.tokenizer, 64
            )
            rows = write_rows(tmp_path / word, windows, {})
            make = models.beside_teacher(
                lambda *_: ({}, {}), rows, tmp_path / "teacher_rows"
            )
            _, y = make([0, 1], None, 0)
            ids = y["teacher_inputs"]["token_ids"]
            assert tiny.WORDS[ids[1, 1]] == word


class TestExport:
    def test_from_another_folder(self, finished, tmp_path, monkeypatch):
        settings = {**read_json(finished / "settings.json")}
        settings["tokenized_data"] = "tokens"
        monkeypatch.chdir(tmp_path)
        MaskedLMDistillation(
            MaskedLMSettings(**settings), "run", lambda text: None
        ).execute()
        monkeypatch.chdir("/")
        assert export(tmp_path / "run") == 0

    def test_tokens_that_are_gone(self, run, capsys):
        shutil.rmtree(run / "tokens")
        assert export(run) == 1
        assert "There is no folder" in capsys.readouterr().err

    def test_what_was_trained(self, run, capsys):
        assert export(run) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["architecture"] == "BertForMaskedLM"
        assert report["rows"] == 8 and report["max_difference"] < 1e-5
        folder = run / "huggingface"
        card = (folder / "README.md").read_text()
        assert "distilled from" in card and "student at step 0" in card
        tokenizer = Tokenizer.from_folder(folder)
        torch = pytest.importorskip("torch", reason="compares with PyTorch")
        from transformers import AutoModelForMaskedLM

        ids = np.array([tokenizer.encode(["fine film was dull"], 16)[0][0]])
        places = np.arange(ids.shape[1])[None]
        student = keras.saving.load_model(
            run / "units/distilled/student.keras", compile=False
        )
        ours = student(
            {
                "token_ids": ids,
                "padding_mask": np.ones_like(ids),
                "segment_ids": np.zeros_like(ids),
                "mask_positions": places,
            }
        )
        theirs = AutoModelForMaskedLM.from_pretrained(folder).eval()
        with torch.no_grad():
            expected = theirs(torch.tensor(ids)).logits.numpy()
        np.testing.assert_allclose(ours, expected, atol=1e-4)

    def test_other_logits_leave_no_folder(self, run, monkeypatch, capsys):
        monkeypatch.setattr(
            huggingface_run, "largest_difference", lambda *_: float("nan")
        )
        assert export(run) == 1
        assert "differ from the student's" in capsys.readouterr().err
        assert "huggingface" not in " ".join(os.listdir(run))

    def test_a_run_that_is_not_finished(self, run, capsys):
        (run / "results.json").unlink()
        assert export(run) == 1
        assert "it was not finished" in capsys.readouterr().err

    def test_a_causal_student(self, run, capsys):
        (run / "model" / "student.keras").touch()
        assert export(run) == 1
        assert "whose student is a GPT-2" in capsys.readouterr().err

"""A run's student, exported to Hugging Face by the command line."""

import json
import os

import keras
import numpy as np
import pytest

from keras_kd import cli
from keras_kd.atomic_files import write_json
from keras_kd.data.segmentation import make_segmenter
from keras_kd.data.tokenizer_folder import write_segmenter
from keras_kd.models.bert_student import bert_student
from keras_kd.runs import huggingface_run
from keras_kd.runs.deployment import TrainedStudent
from keras_kd.tasks.token_tagging import TokenTagging
from tests import tiny


@pytest.fixture
def run(miniature_copy):
    """The miniature run, with a BERT in its student's place."""
    keras.utils.set_random_seed(0)
    student = bert_student(len(tiny.WORDS), 2, 1, 8, 2, max_length=tiny.LENGTH)
    student.save(miniature_copy.folder / "student.keras")
    return miniature_copy


def test_same_logits_in_pytorch(run, capsys):
    folder = run.folder / "huggingface"
    arguments = ["export", str(run.folder), "--format", "huggingface"]
    assert cli.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["architecture"] == "BertForSequenceClassification"
    assert report["max_difference"] < 1e-6
    card = (folder / "README.md").read_text()
    assert "BertForSequenceClassification" in card and "distilled" in card
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    from transformers import AutoModelForSequenceClassification
    from transformers import AutoTokenizer

    texts = ["a fine film", "it was dull weak the film"]
    encoded = AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, return_tensors="pt"
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**encoded).logits.numpy()
    student = TrainedStudent(run)
    for text, expected in zip(texts, logits):
        ((answer, probability),) = student.predict([text])
        p = np.exp(expected) / np.exp(expected).sum()
        assert answer == model.config.id2label[int(p.argmax())]
        assert probability == pytest.approx(p.max(), abs=1e-4)


def test_a_chain_of_tags_is_refused(run, capsys):
    """transformers has no such head: it would not load the folder."""
    task = TokenTagging(["O", "B-PER", "I-PER"], chain=True)
    keras.utils.set_random_seed(0)
    student = bert_student(
        len(tiny.WORDS), task.student_outputs, 1, 8, 2, pooling=None
    )
    student.save(run.folder / "student.keras")
    write_json(run.folder / "task.json", task.to_dict())
    arguments = ["export", str(run.folder), "--format", "huggingface"]
    assert cli.main(arguments) == 1
    assert "gives 12 for 3 tags" in capsys.readouterr().err
    assert not (run.folder / "huggingface").exists()


def test_words_that_are_cut_before_are_refused(run, capsys):
    """transformers would read other tokens, and nobody would be told."""
    pytest.importorskip("jieba", reason='pip install ".[chinese]"')
    write_segmenter(run.folder / "tokenizer", make_segmenter("jieba"))
    arguments = ["export", str(run.folder), "--format", "huggingface"]
    assert cli.main(arguments) == 1
    assert "cut by jieba before" in capsys.readouterr().err
    assert not (run.folder / "huggingface").exists()


def test_other_students_are_refused(miniature_copy, capsys):
    folder = str(miniature_copy.folder)
    assert cli.main(["export", folder, "--format", "huggingface"]) == 1
    assert "--student bert" in capsys.readouterr().err


def test_other_logits_are_refused(run, monkeypatch, capsys):
    monkeypatch.setattr(
        huggingface_run, "largest_difference", lambda *_: float("nan")
    )
    arguments = ["export", str(run.folder), "--format", "huggingface"]
    assert cli.main(arguments) == 1
    assert "differ from the student's" in capsys.readouterr().err
    # Not even under another name.
    assert "huggingface" not in " ".join(os.listdir(run.folder))

"""A masked-LM head, trained in miniature and read by an augmentation."""

import json

import numpy as np
import pytest

from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.pretrained import load_pretrained
from recipes import masked_lm_head
from tests import tiny


@pytest.fixture
def flags(tmp_path):
    tiny.write_bert(tmp_path / "bert", head=False)
    # Of each text all words are the same one: what is masked stands beside.
    generator = np.random.default_rng(0)
    words = generator.choice([tiny.GOOD[0], tiny.BAD[0]], 700)
    texts = "".join(" ".join([word] * 8) + "\n" for word in words)
    (tmp_path / "texts.txt").write_text(texts)
    values = {
        "data": tmp_path / "texts.txt",
        "run": tmp_path / "run",
        "teacher": tmp_path / "bert",
        "steps": 60,
        "evaluate-every": 30,
        "learning-rate": 0.05,
        "max-length": 16,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def test_from_text_to_a_folder(flags, tmp_path, capsys):
    parser = masked_lm_head.make_parser()
    masked_lm_head.run(parser.parse_args(flags))
    said = capsys.readouterr().out
    assert "'train': '200 windows'" in said
    result = json.loads((tmp_path / "run/unit/result.json").read_text())
    # One of two words, where nothing is learned.
    assert result["best_score"] > 0.8
    folder = tmp_path / "run" / "model"
    model = load_pretrained(folder, "masked_lm")
    assert model.output.shape[-1] == len(tiny.WORDS)
    assert Tokenizer.from_folder(folder).mask_id is not None
    # A second start trains nothing.
    masked_lm_head.run(parser.parse_args(flags))
    again = capsys.readouterr().out
    assert "step 30" not in again and "Masked tokens told right" in again

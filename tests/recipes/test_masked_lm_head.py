"""A masked-LM head, trained in miniature and read by an augmentation."""

import json
import shutil

import pytest

from keras_kd.configuration import ConfigurationError
from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.pretrained import load_pretrained
from recipes import masked_lm_head
from tests import tiny
from tests import tiny_language_models as tiny_lm


@pytest.fixture
def flags(tmp_path):
    tiny.write_bert(tmp_path / "bert", head=False)
    # Of each text all words are the same one: what is masked stands beside.
    # Capital letters, which the tokenizer drops, make each another text.
    texts = []
    for number in range(450):
        word = (tiny.GOOD[0], tiny.BAD[0])[number % 2]
        capitals = [number >> bit & 1 for bit in range(1, 9)]
        words = [word.upper() if capital else word for capital in capitals]
        texts.append(" ".join(words) + "\n")
    assert len(set(texts)) == len(texts)
    (tmp_path / "texts.txt").write_text("".join(texts))
    values = {
        "data": tmp_path / "texts.txt",
        "run": tmp_path / "run",
        "teacher": tmp_path / "bert",
        "steps": 60,
        "evaluate-every": 30,
        "learning-rate": 0.05,
        "max-length": 16,
        "validation-texts": 200,
        "test-texts": 50,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def test_from_text_to_a_folder(flags, tmp_path, capsys):
    parser = masked_lm_head.make_parser()
    masked_lm_head.run(parser.parse_args(flags))
    said = capsys.readouterr().out
    assert "'train': '200 windows'" in said
    result = json.loads(
        (tmp_path / "run/units/masked_lm_head/result.json").read_text()
    )
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
    # Nor does one with other settings, texts or teachers: it is refused.
    with pytest.raises(ConfigurationError, match="`steps` was 60, and is 61"):
        masked_lm_head.run(parser.parse_args([*flags, "--steps=61"]))
    shutil.rmtree(tmp_path / "run" / "tokens")
    with open(tmp_path / "texts.txt", "a") as file:
        file.write("another text\n")
    with pytest.raises(ConfigurationError, match="The data of the run"):
        masked_lm_head.run(parser.parse_args(flags))
    assert not (tmp_path / "run" / "tokens").exists()
    tiny.change_weights(tmp_path / "bert")
    with pytest.raises(ConfigurationError, match="The teacher of the run"):
        masked_lm_head.run(parser.parse_args(flags))


@pytest.mark.parametrize("family", ["distilbert", "roberta"])
def test_the_folder_names_the_encoders_own_architecture(
    flags, tmp_path, family
):
    encoder = tiny_lm.write_masked_lm(tmp_path / family, family)
    more = [f"--teacher={encoder}", "--steps=1", "--validation-texts=20"]
    parser = masked_lm_head.make_parser()
    masked_lm_head.run(parser.parse_args([*flags, *more, "--texts=20"]))
    config = json.loads((tmp_path / "run/model/config.json").read_text())
    assert config["model_type"] == family
    assert config["architectures"] == [tiny_lm.ARCHITECTURES[family]]
    load_pretrained(tmp_path / "run" / "model", "masked_lm")

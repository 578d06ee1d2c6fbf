"""Nearest words against a float64 oracle, in any order and any chunks."""

import functools

import numpy as np
import pytest

from keras_kd.data.augmentation import nearest_words as module
from keras_kd.data.augmentation.nearest_words import nearest_words
from keras_kd.models.word_vectors import read_vectors


@pytest.fixture
def glove(tmp_path):
    """Writes a GloVe file; gives the function that reads it."""

    def write(vectors):
        path = tmp_path / "vectors.txt"
        lines = (
            f"{word} {' '.join(map(str, vector))}\n"
            for word, vector in vectors.items()
        )
        path.write_text("".join(lines), encoding="utf-8")
        return functools.partial(read_vectors, path)

    return write


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_against_an_oracle(glove, monkeypatch, chunk):
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", chunk)
    generator = np.random.default_rng(0)
    words = [f"{a}{b}" for a in "abcdefgh" for b in "ijklm"]
    vectors = dict(zip(words, generator.normal(size=(40, 5)).round(3)))
    table = np.array(list(vectors.values()), "float64")
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    found = nearest_words(glove(vectors), ["ai", "hm", "dk"], count=6)
    assert list(found) == ["ai", "dk", "hm"]
    for word, nearest in found.items():
        cosines = table @ table[words.index(word)]
        order = [words[i] for i in np.argsort(-cosines) if words[i] != word]
        assert nearest == sorted(order[:6])


def test_only_words_are_found_and_never_the_word_itself(glove):
    read = glove(
        {
            ",": [1.0, 0.0],
            "film": [1.0, 0.0],
            "Film": [1.0, 0.0],
            "1999": [1.0, 0.01],
            "new-york": [1.0, 0.01],
            "movie": [1.0, 0.1],
            "don't": [1.0, 0.2],
            "dog": [-1.0, 0.0],
        }
    )
    assert nearest_words(read, ["film"], count=2) == {
        "film": ["don't", "movie"]
    }
    # There are not as many as are asked for.
    assert nearest_words(read, ["FILM"], count=9) == {
        "FILM": ["dog", "don't", "movie"]
    }


@pytest.mark.parametrize("chunk", [1, 1000])
def test_a_word_is_found_in_its_nearest_spelling(glove, monkeypatch, chunk):
    monkeypatch.setattr(module, "VECTORS_AT_ONCE", chunk)
    read = glove(
        {
            "film": [1.0, 0.0],
            "MOVIE": [1.0, 0.3],
            "movie": [1.0, 0.1],
            "Movie": [1.0, 0.2],
            "show": [1.0, 0.5],
            "dog": [-1.0, 0.0],
        }
    )
    assert nearest_words(read, ["film"], count=2) == {"film": ["movie", "show"]}


def test_words_without_a_vector_are_left_out(glove):
    read = glove({"film": [1.0, 0.0], "movie": [1.0, 1.0], "nil": [0.0, 0.0]})
    assert nearest_words(read, ["unseen", "nil"]) == {}
    assert nearest_words(read, []) == {}
    assert set(nearest_words(read, ["Film", "unseen"])) == {"Film"}


def test_the_length_of_a_vector_does_not_count(glove):
    read = glove({"film": [1, 0], "movie": [100, 10], "dog": [1, 1]})
    assert nearest_words(read, ["film"], count=1) == {"film": ["movie"]}

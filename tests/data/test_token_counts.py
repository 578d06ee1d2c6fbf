"""Counts of tokens, and what they say about masks."""

import json

import numpy as np
import pytest

from keras_kd.batch import NO_TOKEN
from keras_kd.data.errors import DataError
from keras_kd.data.masking import TokenMasking
from keras_kd.data.token_counts import count_tokens
from keras_kd.data.token_counts import masking_weights
from keras_kd.data.token_counts import open_or_count_tokens
from keras_kd.data.tokenization import Tokenizer
from tests import tiny


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder)
    return Tokenizer.from_folder(folder)


def test_counts(small_rows):
    rows = small_rows([[2, 5, 5, 3], [2, 7, 3]])
    for at_once in (1, 2, 100):
        counts = count_tokens(rows, 9, at_once)
        assert counts.tolist() == [0, 0, 2, 2, 0, 2, 0, 1, 0]


def test_a_file_is_used_again(small_rows, tokenizer, tmp_path):
    path = tmp_path / "counts.json"
    rows, other = (
        small_rows([[2, word, 3]], name=f"{word}") for word in (5, 6)
    )
    first = open_or_count_tokens(path, rows, tokenizer)
    assert first[5] == 1 and len(first) == tokenizer.vocabulary_size
    again = open_or_count_tokens(path, other, tokenizer)
    np.testing.assert_array_equal(again, first)
    anew = open_or_count_tokens(path, other, tokenizer, overwrite=True)
    assert anew[6] == 1 and anew[5] == 0
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, "tokenizer": "other"}))
    with pytest.raises(DataError, match="another tokenizer's"):
        open_or_count_tokens(path, other, tokenizer)


def test_rare_words_are_masked_more_often(tokenizer):
    counts = np.ones(tokenizer.vocabulary_size)
    common, rare = 9, 10
    counts[common] = 1000
    weights = masking_weights(counts, 0.7)
    assert weights[rare] / weights[common] == pytest.approx(1000**0.7)
    np.testing.assert_array_equal(masking_weights(counts, 0.0), 1.0)
    masking = TokenMasking(tokenizer, share=0.1, token_weights=weights)
    ids = np.tile([2] + [common] * 5 + [rare] * 5 + [3], (500, 1))
    _, _, told = masking(ids, np.random.default_rng(0))
    shares = np.bincount(told[told != NO_TOKEN], minlength=rare + 1)
    # One of ten is drawn: by weight 126 times as likely a rare one.
    assert shares[common] < 0.03 * shares[rare]


def test_smoothing_that_can_not_be():
    with pytest.raises(ValueError, match="0 or more"):
        masking_weights([1], -0.1)

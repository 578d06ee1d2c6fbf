"""Texts with masks: as tokens, as columns of rows, and read by a student."""

import itertools

import pytest
import tokenizers
from tokenizers import AddedToken
from tokenizers import decoders
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers
from tokenizers import processors
from tokenizers import trainers

from keras_kd.data.example import Example
from keras_kd.data.masked_text import read_text
from keras_kd.data.masked_text import text_columns
from keras_kd.data.retokenization import retokenize
from keras_kd.data.retokenization import texts_of
from keras_kd.data.rows import Rows
from keras_kd.data.rows import write_rows
from keras_kd.data.tokenization import Tokenizer
from keras_kd.data.vocabularies import build_tokenizer
from keras_kd.tasks.text_classification import TextClassification

TEXTS = ["a fine film", "it was not a film, it was fine", "fine fine was not"]
TASK = TextClassification(["bad", "good"])


def bert():
    return build_tokenizer("wordpiece", TEXTS * 9, 80, minimum_count=1)


def roberta():
    """Byte-level BPE; the mask takes the space before it."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    mask = AddedToken("<mask>", lstrip=True, special=True)
    backend.train_from_iterator(
        TEXTS * 9,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>", mask],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0)
    )
    return Tokenizer(backend)


def xlm_roberta():
    """SentencePiece's Unigram, with XLM-R's normaliser and mask."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = dict.fromkeys(" ".join(TEXTS).replace(",", " ,").split())
    pieces += [(f"\u2581{word}", -3.0) for word in words]
    pieces += [(c, -9.0) for c in "\u2581,aefilmnotsw"]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, 3, False))
    backend.normalizer = normalizers.Replace(tokenizers.Regex(" {2,}"), " ")
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0)
    )
    return Tokenizer(backend)


def words():
    return build_tokenizer("word", TEXTS, 80, minimum_count=1)


def characters():
    return build_tokenizer("character", TEXTS, 80, minimum_count=1)


class TestEncode:
    @pytest.mark.parametrize("make", [bert, roberta, xlm_roberta, words])
    def test_ids_are_those_of_the_mask_written_in_the_text(self, make):
        # Without our switch, `tokenizers` reads it as the special token.
        tokenizer = make()
        reference = tokenizer.backend
        mask = tokenizer.vocabulary[tokenizer.mask_id]
        for text in TEXTS:
            parts = text.split(" ")
            for chosen in itertools.product([0, 1], repeat=len(parts)):
                if len(parts) > 4 and sum(chosen) not in (1, 2, len(parts)):
                    continue
                shown = [mask if c else w for w, c in zip(parts, chosen)]
                shown = " ".join(shown)
                ((ids, _),) = tokenizer.encode([tuple(shown.split(mask))], 99)
                reference.encode_special_tokens = False
                expected = reference.encode(shown).ids
                reference.encode_special_tokens = True
                assert ids == expected, shown
                assert ids.count(tokenizer.mask_id) == sum(chosen)

    def test_a_mask_inside_a_row_of_characters(self):
        tokenizer = characters()
        ((ids, _),) = tokenizer.encode([("a f", "ne")], 99)
        shown = [tokenizer.vocabulary[i] for i in ids]
        assert shown == ["[CLS]", "a", "f", "[MASK]", "n", "e", "[SEP]"]

    def test_what_a_user_writes_stays_text(self):
        tokenizer = bert()
        ((ids, _),) = tokenizer.encode([("a [MASK] film ", "[SEP]")], 99)
        assert ids.count(tokenizer.mask_id) == 1
        assert ids.count(tokenizer.sep_id) == 1

    def test_texts_with_and_without_masks_and_pairs(self):
        tokenizer = words()
        texts = ["a film", ("a ", ""), ("fine",)]
        others = [("", " film"), "not", ("it", "", "")]
        rows = tokenizer.encode(texts, 99, others)
        shown = [" ".join(tokenizer.vocabulary[i] for i in r) for r, _ in rows]
        assert shown == [
            "[CLS] a film [SEP] [MASK] film [SEP]",
            "[CLS] a [MASK] [SEP] not [SEP]",
            "[CLS] fine [SEP] it [MASK] [MASK] [SEP]",
        ]
        assert rows[0][1] == [0, 0, 0, 0, 1, 1, 1]

    def test_long_texts_are_cut_with_their_masks(self):
        tokenizer = words()
        ((ids, _),) = tokenizer.encode([("fine ",) + (" film",) * 500], 6)
        shown = " ".join(tokenizer.vocabulary[i] for i in ids)
        assert shown == "[CLS] fine [MASK] film [MASK] [SEP]"

    def test_without_a_mask_token_it_is_an_unknown_word(self, word_tokenizer):
        assert word_tokenizer.mask_id is None
        ((ids, _),) = word_tokenizer.encode([("w4 ", " w5")], 9)
        assert ids == [2, 4, word_tokenizer.unk_id, 5, 3]

    def test_words_of_jieba(self):
        pytest.importorskip("jieba")
        texts = ["今天股票上涨了"] * 2
        tokenizer = build_tokenizer("jieba", texts, 80, lowercase=False)
        ((ids, _),) = tokenizer.encode([("今天", "上涨了")], 9)
        shown = [tokenizer.vocabulary[i] for i in ids]
        assert shown == ["[CLS]", "今天", "[MASK]", "上涨", "了", "[SEP]"]


class TestRows:
    def rows(self, folder, tokenizer, fields):
        examples = [Example(f"x:{i}", f) for i, f in enumerate(fields)]
        return write_rows(folder, TASK.featurize(examples, tokenizer, 16), {})

    @pytest.mark.parametrize(
        "field", [("a ", " film"), ("", "", ""), ("中", "国\U0001f600", "é")]
    )
    def test_there_and_back(self, tmp_path, field):
        rows = write_rows(
            tmp_path / "rows", [text_columns("text", field)] * 2, {}
        )
        assert read_text(rows, "text", 1) == field
        assert rows.text("text", 1) == "".join(field)

    def test_the_first_row_may_have_no_mask(self, tmp_path):
        fields = [(("a film",),), (("a ", ""),), (("", " film"),)]
        rows = self.rows(tmp_path / "rows", words(), fields)
        found = [read_text(rows, "text", i) for i in range(3)]
        assert found == [field for (field,) in fields]

    def test_keys_tell_masks_from_words(self, tmp_path):
        tokenizer = words()
        fields = [(("a ", " film"),), (("a film",),), (("a  film",),)]
        rows = self.rows(tmp_path / "masked", tokenizer, fields)
        plain = self.rows(tmp_path / "plain", tokenizer, [("a film",)])
        assert set(plain.columns) == set(rows.columns) - {"text_masks"}
        keys = rows.keys()
        assert keys[0] != keys[1]
        assert keys[1] == keys[2] == plain.keys()[0]
        both = Rows.join([plain, rows])
        assert both.columns == plain.columns
        assert both.text("text", 1) == "a  film"

    def test_a_student_reads_its_own_mask(self, tmp_path):
        teacher, student = bert(), characters()
        plain = self.rows(tmp_path / "plain", teacher, [("fine", "a film")])
        masked = self.rows(
            tmp_path / "masked",
            teacher,
            [(("a f", "m"), ("",)), (("was",), ("it ", " no"))],
        )
        joined = Rows.join([plain, masked]).select([2, 0, 1])
        own = retokenize(joined, student, tmp_path / "own", 16)
        shown = [
            " ".join(student.vocabulary[i] for i in own.row("token_ids", n))
            for n in range(3)
        ]
        assert shown == [
            "[CLS] w a s [SEP] i t [MASK] n o [SEP]",
            "[CLS] f i n e [SEP] a f i l m [SEP]",
            "[CLS] a f [MASK] m [SEP] [SEP]",
        ]
        assert own.row("segment_ids", 0).tolist() == [0] * 5 + [1] * 6
        # What a vocabulary is made of has no masks in it.
        assert list(texts_of(masked)) == ["a fm", "", "was", "it  no"]

    def test_rows_of_examples_that_are_in_memory(self, tmp_path):
        examples = [Example("x", (("a ", ""),)), Example("y", (("it",),))]
        rows = TASK.make_rows(iter(examples), words(), tmp_path / "rows", 9)
        assert rows.text("example_id", 1) == "y"
        assert rows.column("label_weight").tolist() == [0.0, 0.0]

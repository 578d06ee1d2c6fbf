"""TinyBERT's augmentation, with models that propose what is known."""

import random

import numpy as np
import pytest
import tokenizers

from keras_kd.data.augmentation.masked_words import MaskedWords
from keras_kd.data.augmentation.tinybert import TinyBertAugmentation
from keras_kd.data.example import Example
from keras_kd.data.tokenization import Tokenizer
from tests import tiny

PIECES = ["un", "##aff", "##able", ".", ",", "1999", "中", "国", "films"]
VOCABULARY = [*tiny.WORDS, *PIECES]
SPECIAL, OTHER = len(tiny.SPECIAL), tiny.NEUTRAL + tiny.GOOD + tiny.BAD


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    return Tokenizer.from_folder(folder)


class Model:
    """Stands in for a masked language model, and keeps what it was given.

    The token before the mask scores best, that behind it second, then the
    words of `liked`; all others have scores of their own below.
    """

    def __init__(self, liked=()):
        self.liked = [VOCABULARY.index(word) for word in liked]
        self.batches = []

    def runtime(self):
        return ["token_ids", "segment_ids", "padding_mask"], self.predict

    def predict(self, features):
        ids = features["token_ids"]
        self.batches.append({n: v.copy() for n, v in features.items()})
        scores = np.tile(
            -np.arange(len(VOCABULARY), dtype="float32"), (*ids.shape, 1)
        )
        scores[..., self.liked] = 50.0
        for row, place in zip(*np.nonzero(ids == 4)):
            after = ids[row, place + 1]
            scores[row, place, after] = 60.0
            scores[row, place, ids[row, place - 1]] = 70.0
        return {"logits": scores}


def proposals(model, tokenizer, texts, **settings):
    masked = MaskedWords(model.runtime(), tokenizer, **settings)
    return [
        [(text[slice(*span)], words) for span, words in found]
        for text, found in zip(texts, masked.propose(texts))
    ]


class TestMaskedWords:
    def test_each_word_is_masked_by_itself(self, tokenizer):
        model = Model()
        found = proposals(
            model, tokenizer, ["the fine film", "it was"], count=2
        )
        # At an end of the text there is a special token, which is no word.
        assert found[0] == [
            ("the", ["film", "fine"]),
            ("fine", ["film", "the"]),
            ("film", ["fine", "the"]),
        ]
        assert [word for word, _ in found[1]] == ["it", "was"]
        rows = [
            " ".join(VOCABULARY[i] for i in ids if i)
            for batch in model.batches
            for ids in batch["token_ids"]
        ]
        assert sorted(rows) == [
            "[CLS] [MASK] fine film [SEP]",
            "[CLS] [MASK] was [SEP]",
            "[CLS] it [MASK] [SEP]",
            "[CLS] the [MASK] film [SEP]",
            "[CLS] the fine [MASK] [SEP]",
        ]
        for batch in model.batches:
            np.testing.assert_array_equal(
                batch["padding_mask"], batch["token_ids"] != 0
            )
            assert not batch["segment_ids"].any()

    def test_a_model_that_is_asked_at_the_mask_alone(self, tokenizer):
        model, texts = Model(), ["the fine film", "it was", "a great film was"]

        def predict(features):
            places = features["mask_positions"]
            masked = np.take_along_axis(features["token_ids"], places, axis=1)
            assert (masked == VOCABULARY.index("[MASK]")).all()
            logits = model.predict(features)["logits"]
            return {"logits": np.take_along_axis(logits, places[..., None], 1)}

        names, _ = model.runtime()
        asked = MaskedWords(([*names, "mask_positions"], predict), tokenizer)
        everywhere = MaskedWords(model.runtime(), tokenizer)
        assert asked.propose(texts) == everywhere.propose(texts)

    def test_nothing_but_other_words_is_proposed(self, tokenizer):
        liked = ["##aff", ".", "1999", "[MASK]", "[UNK]", "中", "films", "fine"]
        ((found,),) = proposals(Model(liked), tokenizer, ["Fine."], count=2)
        assert found == ("Fine", ["films", "中"])

    def test_as_many_as_are_asked_for_or_as_there_are(self, tokenizer):
        ((found,),) = proposals(Model(), tokenizer, ["fine"], count=5)
        # The lowest ids score best.
        assert found[1] == sorted(["the", "film", "was", "it", "great"])
        ((found,),) = proposals(Model(), tokenizer, ["fine"], count=1000)
        words = {*OTHER, "un", "films", "中", "国"} - {"fine"}
        assert set(found[1]) == words

    def test_words_of_several_tokens_and_marks(self, tokenizer):
        text = "Unaffable, it was 1999 xyz!"
        (found,) = proposals(Model(), tokenizer, [text], count=1)
        assert [word for word, _ in found] == ["Unaffable", "it", "was", "xyz"]
        assert [words is None for _, words in found] == [
            True, False, False, True,
        ]  # fmt: skip
        masked = MaskedWords(Model().runtime(), tokenizer)
        texts = [text, "unaffable film's"]
        assert masked.words_of_several_tokens(texts) == {
            "Unaffable", "unaffable", "xyz", "film's",
        }  # fmt: skip

    def test_chinese_characters_are_words(self, tokenizer):
        (found,) = proposals(Model(["中", "国"]), tokenizer, ["中国"], count=1)
        assert found == [("中", ["国"]), ("国", ["中"])]

    def test_a_long_text_is_seen_through_a_window(self, tokenizer):
        model = Model()
        words = random.Random(0).choices(OTHER, k=300)
        (found,) = proposals(
            model, tokenizer, [" ".join(words)], window=12, count=2
        )
        assert len(found) == 300
        for place in range(1, 299):
            own = words[place]
            beside = {words[place - 1], words[place + 1]} - {own}
            assert beside <= set(found[place][1])
        for batch in model.batches:
            assert batch["token_ids"].shape[1] == 12
            for ids in batch["token_ids"]:
                place = int(np.flatnonzero(ids == 4)[0])
                assert (ids[0], ids[-1]) == (2, 3)
                # In the middle, but at the ends of the text.
                first = VOCABULARY[ids[1]] in (words[0], "[MASK]")
                last = VOCABULARY[ids[-2]] in (words[-1], "[MASK]")
                assert place == 6 or first or last

    @pytest.mark.parametrize("tokens", [1, 30, 10000])
    def test_batches_change_nothing(self, tokenizer, tokens):
        texts = ["the fine film", "it was", "bitter", "a poor , weak film it"]
        expected = [
            proposals(Model(), tokenizer, [text], count=3)[0] for text in texts
        ]
        model = Model()
        found = proposals(
            model, tokenizer, texts, count=3, tokens_per_batch=tokens
        )
        assert found == expected
        for batch in model.batches:
            size = batch["token_ids"].size
            assert size <= tokens or len(batch["token_ids"]) == 1

    def test_empty_texts(self, tokenizer):
        assert proposals(Model(), tokenizer, ["", " ", "?!"]) == [[], [], []]
        assert proposals(Model(), tokenizer, []) == []

    def test_byte_level_tokens(self):
        backend = tokenizers.Tokenizer(tokenizers.models.BPE())
        backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
            add_prefix_space=False
        )
        backend.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        texts = ["a café film café film"] * 9
        backend.train_from_iterator(texts, trainer)
        tokenizer = Tokenizer(backend)
        place = {t: i for i, t in enumerate(tokenizer.vocabulary)}

        def predict(features):
            logits = np.zeros((*features["token_ids"].shape, len(place)))
            logits[..., place["\u0120film"]] = 3.0
            logits[..., place["\u0120caf\u00c3\u00a9"]] = 2.0
            return {"logits": logits}

        masked = MaskedWords((["token_ids"], predict), tokenizer, count=1)
        # The first word is one token too, though no space stands before it.
        assert masked.propose(["café film"]) == [
            [((0, 4), ["film"]), ((5, 9), ["café"])]
        ]

    def test_a_word_is_proposed_in_one_spelling(self):
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        words = ["it", "MOVIE", "movie", "Movie", "show", "dog"]
        vocabulary = {w: i for i, w in enumerate([*special, *words])}
        backend = tokenizers.Tokenizer(
            tokenizers.models.WordLevel(vocabulary, unk_token="<unk>")
        )
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        backend.add_special_tokens(special)

        def predict(features):
            logits = np.zeros((*features["token_ids"].shape, len(vocabulary)))
            logits[..., 5:] = [6.0, 3.0, 5.0, 4.0, 2.0, 1.0]
            return {"logits": logits}

        runtime = ["token_ids"], predict
        masked = MaskedWords(runtime, Tokenizer(backend), count=2)
        assert masked.propose(["it"]) == [[((0, 2), ["movie", "show"])]]

    def test_tokenizer_without_a_mask(self, word_tokenizer):
        with pytest.raises(ValueError, match="mask_id=None"):
            MaskedWords(Model().runtime(), word_tokenizer)


class TestCopies:
    def augment(self, tokenizer, texts, nearest=None, liked=(), **settings):
        masked = MaskedWords(Model(liked).runtime(), tokenizer, count=3)
        rows = [Example(f"r:{i}", (t,), "x") for i, t in enumerate(texts)]
        augmentation = TinyBertAugmentation(masked, nearest, **settings)
        return list(augmentation.augment(rows))

    def test_every_word_is_replaced_where_that_is_sure(self, tokenizer):
        made = self.augment(tokenizer, ["The fine, film!"], replace=1.0)
        for example in made:
            (text,) = example.fields
            assert example.label is None
            words = text.replace(",", "").replace("!", "").split()
            assert len(words) == 3 and set(words) <= set(OTHER)
            assert words[0] != "the" and words[1] != "fine"
            assert text[-1] == "!" and text.count(",") == 1
        texts = [example.fields for example in made]
        assert len(texts) == len(set(texts)) > 5

    def test_words_of_several_tokens_come_from_the_vectors(self, tokenizer):
        nearest = {"unaffable": ["mean", "rude"]}
        made = self.augment(tokenizer, ["unaffable."], nearest, replace=1.0)
        assert {e.fields for e in made} == {("mean.",), ("rude.",)}
        assert self.augment(tokenizer, ["unaffable."], replace=1.0) == []

    def test_share_of_words_that_are_replaced(self, tokenizer):
        masked = MaskedWords(Model().runtime(), tokenizer, count=2)
        augmentation = TinyBertAugmentation(masked)
        plan = [((6 * i, 6 * i + 5), ["XXXXX", "YYYYY"]) for i in range(20000)]
        text = "still " * 20000
        words = augmentation.vary(text, plan, random.Random(0).random).split()
        # sqrt(20000 * .4 * .6) = 69; sqrt(8000 / 4) = 45
        replaced = 20000 - words.count("still")
        assert replaced == pytest.approx(8000, abs=277)
        assert words.count("XXXXX") == pytest.approx(replaced / 2, abs=180)

    def test_order_and_company_do_not_matter(self, tokenizer):
        texts = [
            " ".join(random.Random(i).choices(OTHER, k=3 + i % 5))
            for i in range(80)
        ]
        together = self.augment(tokenizer, texts, copies=2)
        masked = MaskedWords(Model().runtime(), tokenizer, count=3)
        augmentation = TinyBertAugmentation(masked, copies=2)
        alone = [
            made
            for number in reversed(range(80))
            for made in augmentation.augment(
                [Example(f"r:{number}", (texts[number],))]
            )
        ]
        assert set(together) == set(alone) and len(together) > 120

    def test_long_texts_are_cut(self, tokenizer):
        made = self.augment(
            tokenizer, ["film was it " * 500], copies=2, max_words=40
        )
        assert [len(e.fields[0].split()) for e in made] == [40, 40]

    def test_replace_that_is_no_share(self, tokenizer):
        with pytest.raises(ValueError, match="`replace` must be from 0 to 1"):
            self.augment(tokenizer, [], replace=2.0)

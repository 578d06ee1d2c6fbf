"""Tang's augmentation: each operation by hand, and how often it happens."""

import collections
import itertools
import random

import pytest

from keras_kd.data.augmentation import augmentation as augmentation_module
from keras_kd.data.augmentation.augmentation import rewrite
from keras_kd.data.augmentation.same_tag_words import SameTagWords
from keras_kd.data.augmentation.tang import TangAugmentation
from keras_kd.data.augmentation.word_splitter import WordSplitter
from keras_kd.data.example import Example

TEXT = "not a fine film, but short"
WORDS = ["not", "a", "fine", "film", "but", "short"]


def drawn(*numbers):
    """Draws the numbers that are given, and no more."""
    return iter(numbers).__next__


def vary(text, draw, **settings):
    augmentation = TangAugmentation(**settings)
    (plan,) = augmentation.plan([text])
    return augmentation.vary(text, plan, draw)


def examples(count, fields=1):
    generator = random.Random(5)
    for number in range(count):
        texts = (
            " ".join(generator.choices(WORDS + [",", "1999", "film's"], k=8))
            for _ in range(fields)
        )
        yield Example(f"rows.tsv:{number}", tuple(texts), "good")


@pytest.fixture
def same_tag_words():
    """The first letter is the tag."""
    return SameTagWords(
        lambda words: [word[0] for word in words],
        ["fine film, fine fun", "short story", "but bad bad"],
    )


class TestOneCopy:
    def test_words_below_the_first_share_are_masked(self):
        # Six words, then the draw that decides about an n-gram.
        draw = drawn(0.5, 0.0999, 0.1, 0.0, 0.9, 0.3, 0.25)
        assert vary(TEXT, draw) == ("not ", " fine ", ", but short")

    def test_without_a_tagger_a_word_of_the_second_share_stays(self):
        draw = drawn(*[0.15] * 6, 0.9)
        assert vary(TEXT, draw) == (TEXT,)

    def test_words_of_the_second_share_are_replaced(self, same_tag_words):
        # "film" by "fine" (0 of 3), or by "fun" (the last of 3).
        for number, word in ((0.0, "fine"), (0.67, "fun")):
            draw = drawn(0.5, 0.5, 0.5, 0.19999, number, 0.5, 0.2, 0.9)
            found = vary(TEXT, draw, same_tag_words=same_tag_words)
            assert found == (f"not a fine {word}, but short",)

    def test_masks_and_other_words_together(self, same_tag_words):
        draw = drawn(0.0, 0.5, 0.5, 0.1, 0.0, 0.0, 0.5, 0.9)
        found = vary(TEXT, draw, same_tag_words=same_tag_words)
        assert found == ("", " a fine fine, ", " short")

    @pytest.mark.parametrize(
        ("length", "place", "expected"),
        [
            (0.0, 0.0, "not"),
            (0.0, 0.999, "short"),
            (0.39, 0.5, "fine film"),
            (0.999, 0.0, "not a fine film, but"),
            (0.999, 0.999, "a fine film, but short"),
        ],
    )
    def test_an_ngram_is_all_that_is_left(self, length, place, expected):
        draw = drawn(*[0.9] * 6, 0.2499, length, place)
        assert vary(TEXT, draw) == (expected,)

    def test_an_ngram_keeps_its_masks(self):
        draw = drawn(0.0, 0.9, 0.0, 0.9, 0.9, 0.0, 0.0, 0.59, 0.3)
        assert vary(TEXT, draw) == ("a ", " film")

    def test_a_short_text_has_no_longer_ngram_than_itself(self):
        assert vary("a film.", drawn(0.9, 0.9, 0.0, 0.999, 0.999)) == (
            "a film",
        )

    @pytest.mark.parametrize("text", ["", " ", "?! ...", "😀"])
    def test_a_text_without_words_stays(self, text):
        assert vary(text, drawn()) == (text,)

    def test_numbers_are_words_and_marks_are_none(self):
        assert vary("1999!", drawn(0.0, 0.9)) == ("", "!")

    def test_each_chinese_character_is_a_word(self):
        assert vary("很好看。", drawn(0.9, 0.0, 0.9, 0.9)) == ("很", "看。")
        pytest.importorskip("jieba")
        splitter = WordSplitter("jieba")
        found = vary("今天上涨", drawn(0.0, 0.9, 0.9), splitter=splitter)
        assert found == ("", "上涨")


class TestShares:
    """Within four standard deviations, on draws of a fixed seed."""

    def test_words(self, same_tag_words):
        augmentation = TangAugmentation(
            same_tag_words=same_tag_words, ngram=0.0
        )
        text = " ".join(["fine"] * 40000)
        (plan,) = augmentation.plan([text])
        pieces = augmentation.vary(text, plan, random.Random(0).random)
        counts = collections.Counter(" ".join(pieces).split())
        # sqrt(40000 * .1 * .9) = 60
        assert len(pieces) - 1 == pytest.approx(4000, abs=240)
        assert counts["film"] + counts["fun"] == pytest.approx(4000, abs=240)
        # Both stand once in the texts: half of the replaced each.
        assert counts["film"] == pytest.approx(2000, abs=180)
        assert counts["fine"] == pytest.approx(32000, abs=320)

    def test_ngrams(self):
        augmentation = TangAugmentation(mask=0.0, replace=0.0)
        text = " ".join(f"w{number}" for number in range(12))
        (plan,) = augmentation.plan([text])
        draw = random.Random(1).random
        found = collections.Counter()
        for _ in range(20000):
            ((piece),) = augmentation.vary(text, plan, draw)
            words = piece.split()
            found[len(words)] += 1
            if len(words) == 2:
                found[words[0]] += 1
        # sqrt(20000 * .75 * .25) = 61, sqrt(20000 * .05 * .95) = 31
        assert found[12] == pytest.approx(15000, abs=244)
        for length in range(1, 6):
            assert found[length] == pytest.approx(1000, abs=124)
        # All eleven places alike: sqrt(91) = 9.5
        for number in range(11):
            assert found[f"w{number}"] == pytest.approx(1000 / 11, abs=38)


class TestCopies:
    def test_they_say_where_they_come_from_and_have_no_label(self):
        made = list(TangAugmentation(copies=7).augment(examples(20)))
        assert len(made) > 80
        for example in made:
            place, number = example.example_id.split("#augmented:")
            assert place.startswith("rows.tsv:")
            assert 1 <= int(number) <= 7
            assert example.label is None

    def test_none_repeats_another_or_the_text_itself(self):
        text = "a film"
        made = TangAugmentation(copies=300).augment([Example("x", (text,))])
        fields = [example.fields for example in made]
        assert len(fields) == len(set(fields)) < 20
        assert ((text,),) not in fields
        assert (("", ""),) in fields  # A masked 1-gram.

    def test_order_does_not_matter(self):
        rows = list(examples(150))
        assert len(rows) > 2 * augmentation_module.EXAMPLES_AT_ONCE
        augmentation = TangAugmentation(copies=3, seed=2)
        forward = list(augmentation.augment(rows))
        backward = list(augmentation.augment(rows[::-1]))
        one_by_one = [m for row in rows for m in augmentation.augment([row])]
        assert forward == one_by_one
        assert set(forward) == set(backward)
        assert forward != list(TangAugmentation(3, seed=3).augment(rows))

    def test_fewer_copies_are_the_first_of_more(self):
        few = set(TangAugmentation(copies=2).augment(examples(40)))
        many = set(TangAugmentation(copies=6).augment(examples(40)))
        assert few < many

    def test_memory_holds_a_few_texts(self):
        read = []

        def counted():
            for example in examples(1000):
                read.append(example)
                yield example

        made = TangAugmentation(copies=2).augment(counted())
        next(made)
        assert len(read) == augmentation_module.EXAMPLES_AT_ONCE

    def test_long_texts_are_cut_and_no_trouble(self):
        text = "very " * 100000 + "long"
        made = TangAugmentation(copies=4, max_words=50).augment(
            [Example("x", (text,))]
        )
        lengths = [len("".join(e.fields[0]).split()) for e in made]
        assert lengths and max(lengths) <= 50
        (example,) = TangAugmentation(copies=1, ngram=0).augment(
            [Example("x", (text,))]
        )
        assert len(example.fields[0]) == pytest.approx(10000, abs=400)

    def test_a_cut_text_is_no_other_text(self):
        augmentation = TangAugmentation(copies=5, mask=0, ngram=0, max_words=3)
        text = "one two three, four five"
        assert augmentation.cut(text) == "one two three"
        assert not list(augmentation.augment([Example("x", (text,))]))


class TestPairs:
    def fields(self, first, second, copies=9):
        example = Example("row", (first, second))
        made = TangAugmentation(copies, mask=0.4, ngram=0).augment([example])
        return {int(e.example_id.rpartition(":")[2]): e.fields for e in made}

    def test_one_the_other_and_both_are_changed_in_turn(self):
        first, second = "a b c d e f g h", "i j k l m n o p"
        found = self.fields(first, second)
        assert set(found) == set(range(1, 10))
        for copy, (one, other) in found.items():
            assert (one == (first,)) == (copy % 3 == 2)
            assert (other == (second,)) == (copy % 3 == 1)

    def test_what_is_drawn_for_one_does_not_depend_on_the_other(self):
        first, second = "a b c d e f g h", "i j k l m n o p"
        found = self.fields(first, second)
        others = self.fields(first, "quite another text, of other words")
        turned = self.fields("another first text", second)
        for copy in (1, 3, 4, 6, 7, 9):
            assert found[copy][0] == others[copy][0]
        for copy in (2, 3, 5, 6, 8, 9):
            assert found[copy][1] == turned[copy][1]

    def test_equal_texts_are_not_changed_alike(self):
        text = "a b c d e f g h"
        found = self.fields(text, text)
        assert any(one != other for one, other in (found[3], found[6]))


class TestRewrite:
    def test_only_what_lies_inside_is_changed(self):
        changes = [((0, 1), None), ((2, 3), "X"), ((4, 5), None)]
        assert rewrite("a b c d", changes, 2, 5) == ("X ", "")
        assert rewrite("a b c d", changes, 2, 3) == ("X",)
        assert rewrite("a b c d", changes) == ("", " X ", " d")

    def test_neighbours(self):
        changes = [((0, 1), None), ((1, 2), None), ((2, 3), "四")]
        assert rewrite("一二三", changes) == ("", "", "四")

    def test_against_another_way_to_do_it(self):
        generator = random.Random(3)
        text = "a b c d e f"
        spans = WordSplitter().spans(text)
        for choice in itertools.product(["keep", None, "XY"], repeat=6):
            if generator.random() < 0.1:
                changes = [
                    (span, word)
                    for span, word in zip(spans, choice)
                    if word != "keep"
                ]
                words = [
                    {"keep": old, None: "\0"}.get(new, new)
                    for old, new in zip(text.split(), choice)
                ]
                expected = tuple(" ".join(words).split("\0"))
                assert rewrite(text, changes) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask": -0.1}, "`mask` must be from 0 to 1. Received: -0.1"),
        ({"ngram": 1.5}, "`ngram` must be from 0 to 1. Received: 1.5"),
        ({"mask": 0.6, "replace": 0.6}, r"`mask \+ replace` must be"),
    ],
)
def test_shares_that_are_none(settings, message):
    with pytest.raises(ValueError, match=message):
        TangAugmentation(**settings)

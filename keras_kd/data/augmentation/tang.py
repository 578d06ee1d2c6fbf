"""Augmentation by masks, words of the same kind, and n-grams."""

from keras_kd.data.augmentation.augmentation import Augmentation
from keras_kd.data.augmentation.augmentation import check_share
from keras_kd.data.augmentation.augmentation import rewrite

LONGEST_NGRAM = 5


class TangAugmentation(Augmentation):
    """Masks words, replaces words, and takes n-grams, each at random.

    For each word, X ~ U[0, 1]:

    | X | the word |
    |---|---|
    | X < `mask` | becomes a mask |
    | `mask` <= X < `mask` + `replace` | another one of its part of speech |
    | otherwise | stays |

    and then, with the probability `ngram`, only n consecutive words of the
    text are kept, n being 1 to 5 with equal probability (or all words, where
    there are no more).

    A mask is the mask token of whatever tokenizer reads the text, the
    teacher's and the student's: each text that this gives is a tuple of what
    stands between the masks.

    Args:
        copies: As in `Augmentation`.
        same_tag_words: `SameTagWords`, or `None`: no word is replaced.
        mask: Probability that a word is masked.
        replace: Probability that it is replaced.
        ngram: Probability that an n-gram is all that is kept.
        seed, max_words, splitter: As in `Augmentation`.

    Raises:
        ValueError: What is given is no probability, or the first two are more
            than 1 together.

    Example:

    >>> from keras_kd.data.example import Example
    >>> example = Example("row 1", ("not a fine film, but short",), "bad")
    >>> for made in TangAugmentation(copies=3, seed=3).augment([example]):
    ...     print(made.example_id, "|", "[MASK]".join(made.fields[0]))
    row 1#augmented:1 | a fine [MASK]
    row 1#augmented:3 | not a fine [MASK]

    Source: Tang et al. 2019, "Distilling Task-Specific Knowledge from BERT
    into Simple Neural Networks", section 3.3
    (https://arxiv.org/abs/1903.12136).
    """

    def __init__(
        self,
        copies=20,
        same_tag_words=None,
        mask=0.1,
        replace=0.1,
        ngram=0.25,
        seed=0,
        max_words=None,
        splitter=None,
    ):
        super().__init__(copies, seed, max_words, splitter)
        check_share("mask", mask)
        check_share("replace", replace)
        check_share("mask + replace", mask + replace)
        check_share("ngram", ngram)
        self.same_tag_words = same_tag_words
        self.mask = mask
        self.replace = replace
        self.ngram = ngram

    def plan(self, texts):
        """`((start, end), tag)` of every word; no tags without a tagger."""
        if self.same_tag_words is not None:
            return map(self.same_tag_words.tagged, texts)
        return ([(word, None) for word in self.words(t)] for t in texts)

    def vary(self, text, plan, draw):
        """One other text, as a tuple of what stands between the masks."""
        changes = []
        for (start, end), tag in plan:
            drawn = draw()
            if drawn < self.mask:
                changes.append(((start, end), None))
            elif drawn < self.mask + self.replace and self.same_tag_words:
                another = self.same_tag_words.another
                word = another(text[start:end], tag, draw())
                changes.append(((start, end), word))
        start, end = 0, len(text)
        if plan and draw() < self.ngram:
            count = min(1 + int(draw() * LONGEST_NGRAM), len(plan))
            first = int(draw() * (len(plan) - count + 1))
            start, end = plan[first][0][0], plan[first + count - 1][0][1]
        return rewrite(text, changes, start, end)

    def unchanged(self, text):
        """A text without masks."""
        return (text,)

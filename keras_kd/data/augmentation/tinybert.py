"""Augmentation by words that a masked language model proposes."""

from keras_kd.data.augmentation.augmentation import Augmentation
from keras_kd.data.augmentation.augmentation import check_share
from keras_kd.data.augmentation.augmentation import rewrite


class TinyBertAugmentation(Augmentation):
    """Replaces words by what a masked language model or word vectors propose.

    Each word has candidates: one that is a single token of the masked language
    model those that the model proposes for its place, one that is several
    tokens the nearest by word vectors (without vectors: none, it stays). In
    each copy, each word that has candidates is replaced with the probability
    `replace` by one of them, all with equal probability. Numbers and marks
    stay.

    Args:
        masked_words: `MaskedWords`.
        nearest: Dictionary from words to lists of words, as `nearest_words`
            gives it for `masked_words.words_of_several_tokens(texts)`.
        copies: As in `Augmentation`.
        replace: Probability that a word is replaced.
        seed, max_words: As in `Augmentation`.

    Raises:
        ValueError: `replace` is no probability.

    Example:

    ```python
    augmentation = TinyBertAugmentation(MaskedWords(runtime, tokenizer))
    rows = task.make_rows(
        augmentation.augment(keras_kd.read_examples("train.csv")),
        teacher.tokenizer,
        "rows/augmented",
    )
    ```

    Source: Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language
    Understanding", Algorithm 1 (https://arxiv.org/abs/1909.10351).
    """

    def __init__(
        self,
        masked_words,
        nearest=None,
        copies=20,
        replace=0.4,
        seed=0,
        max_words=None,
    ):
        super().__init__(copies, seed, max_words, masked_words.splitter)
        check_share("replace", replace)
        self.masked_words = masked_words
        self.nearest = nearest or {}
        self.replace = replace

    def plan(self, texts):
        """`((start, end), candidates)` of the words that have some."""
        for text, words in zip(texts, self.masked_words.propose(texts)):
            candidates = (
                (span, self.nearest.get(text[slice(*span)]) if c is None else c)
                for span, c in words
            )
            yield [(span, found) for span, found in candidates if found]

    def vary(self, text, plan, draw):
        """One other text, as a string."""
        changes = [
            (span, candidates[int(draw() * len(candidates))])
            for span, candidates in plan
            if draw() < self.replace
        ]
        (varied,) = rewrite(text, changes)
        return varied

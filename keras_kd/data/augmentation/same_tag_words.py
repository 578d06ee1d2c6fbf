"""Other words of the same part of speech, as often as they were seen."""

import bisect
import collections
import itertools

from keras_kd.data.augmentation.word_splitter import WordSplitter
from keras_kd.data.augmentation.word_splitter import is_word


class SameTagWords:
    """Gives another word with the same tag, from the words of some texts.

    P(w' | w, tag) = count(w', tag) / sum of count(v, tag) over all v but w.

    The texts are read once, when it is made; memory is that of the different
    words.

    Args:
        tagger: Function from the words and marks of a text (a list of strings)
            to their tags (as many strings), such as
            `keras_kd.data.augmentation.spacy_tagger.SpacyTagger`.
        texts: Iterable of the texts that words are counted in.
        splitter: `WordSplitter`.

    Raises:
        ValueError: The tagger gives another number of tags than there are
            words.

    Example:

    >>> nouns = {"film", "plot", "cast"}
    >>> tagger = lambda words: ["noun" if w in nouns else "" for w in words]
    >>> same = SameTagWords(tagger, ["a film", "the plot", "the plot"])
    >>> same.another("film", "noun", 0.9), same.another("the", "", 0.9)
    ('plot', 'a')

    Source: Tang et al. 2019, section 3.3
    (https://arxiv.org/abs/1903.12136).
    """

    def __init__(self, tagger, texts, splitter=None):
        self.tagger = tagger
        self.splitter = splitter or WordSplitter()
        counts = collections.defaultdict(collections.Counter)
        for text in texts:
            for (start, end), tag in self.tagged(text):
                counts[tag][text[start:end]] += 1
        # In the order of the words: the same whatever the order of the texts.
        self._words = {tag: sorted(words) for tag, words in counts.items()}
        self._ends = {
            tag: list(itertools.accumulate(counts[tag][w] for w in words))
            for tag, words in self._words.items()
        }

    def tagged(self, text):
        """`((start, end), tag)` of every word of a text."""
        spans = self.splitter.spans(text)
        words = [text[start:end] for start, end in spans]
        tags = list(self.tagger(words))
        if len(tags) != len(words):
            raise ValueError(
                f"The tagger gave {len(tags)} tags for {len(words)} words and "
                f"marks, which begin with {words[:5]}. Expected one for each."
            )
        return [
            (span, tag)
            for span, word, tag in zip(spans, words, tags)
            if is_word(word)
        ]

    def another(self, word, tag, number):
        """Another word of that tag.

        Args:
            word: The word that is not meant.
            tag: Its tag.
            number: From 0 to 1, drawn at random.

        Returns:
            A word; the same one where there is no other.
        """
        words, ends = self._words.get(tag, []), self._ends.get(tag, [])
        place = bisect.bisect_left(words, word)
        before = ends[place - 1] if place else 0
        known = place < len(words) and words[place] == word
        own = ends[place] - before if known else 0
        total = (ends[-1] if ends else 0) - own
        if not total:
            return word
        count = int(number * total)
        # The word's own share is stepped over.
        if count >= before:
            count += own
        return words[bisect.bisect_right(ends, count)]

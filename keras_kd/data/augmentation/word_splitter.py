"""Where the words of a text are."""

import functools
import re

from keras_kd.data.segmentation import make_segmenter

# What is written without spaces between words.
UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
# A letter of these; a word with its apostrophes; any other sign.
PATTERN = (
    rf"[{UNSPACED}]\p{{M}}*"
    rf"|[\p{{L}}\p{{M}}\p{{N}}&&[^{UNSPACED}]]+(?:['’][\p{{L}}\p{{M}}]+)*"
    r"|\S"
)


class WordSplitter:
    """Finds the words of a text, and the marks between them, by their places.

    A word is a run of letters and digits, with apostrophes inside (`don't`).
    Where a language writes no spaces each character is a word, as it is to
    BERT; Chinese text can be cut into jieba's words instead.

    Args:
        segmenter: `"jieba"`, or `None`.

    Example:

    >>> splitter, text = WordSplitter(), "Don't go: 很好"
    >>> [text[start:end] for start, end in splitter.spans(text)]
    ["Don't", 'go', ':', '很', '好']
    """

    def __init__(self, segmenter=None):
        self.segmenter = segmenter
        self._segmenter = make_segmenter(segmenter)

    def spans(self, text):
        """`(start, end)` of every word and mark, in order."""
        found = _splitter(self.segmenter is not None).pre_tokenize_str(text)
        if self._segmenter is None:
            return [span for _, span in found]
        spans = []
        for _, (start, end) in found:
            words = [text[start:end]]
            if HAN.match(text, start):
                words = self._segmenter.segment(words[0]).split(" ")
            for word in words:
                spans.append((start, start + len(word)))
                start += len(word)
        return spans

    def is_one_word(self, text):
        """Whether a text is a word and nothing else, with a letter in it."""
        return has_letter(text) and self.spans(text) == [(0, len(text))]


def is_word(text):
    """Whether what stands in a span is a word, and no mark."""
    return any(character.isalnum() for character in text)


def one_of_each(words, count):
    """The first words of some, each in the letters that it is first in."""
    found = {}
    for word in words:
        found.setdefault(word.casefold(), word)
    return list(found.values())[:count]


def has_letter(text):
    """Whether there is a letter in it: a word, and no number."""
    return any(character.isalpha() for character in text)


@functools.cache
def _splitter(han_in_runs):
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    pattern = rf"\p{{Han}}+|{PATTERN}" if han_in_runs else PATTERN
    return Split(Regex(pattern), "removed", invert=True)

"""Words of a language that writes no spaces, found before the tokenizer."""

import functools
import hashlib
import warnings
from pathlib import Path

SEGMENTERS = ("jieba",)


class JiebaSegmenter:
    """Cuts Chinese text into the words of jieba's dictionary.

    Jieba's hidden Markov model, which guesses words that are not in the
    dictionary, is off. What it guesses is rare by nature, hence `[UNK]` in a
    student's vocabulary, where the single characters would have been known;
    and without it the dictionary alone decides about the words.

    The dictionary is that of the package, read from the package itself: words
    that were added to `jieba` in this process change nothing, nor does the
    copy that jieba keeps in the machine's folder for temporary files.

    Attributes:
        name: `"jieba"`.
        description: Dictionary of JSON values: everything that decides about
            the words. It is part of a tokenizer's fingerprint.

    Raises:
        ImportError: jieba is not installed.

    Source: https://github.com/fxsj/jieba
    """

    name = "jieba"

    def __init__(self):
        self._dictionary, version = _installed_jieba()
        self.description = {
            "name": self.name,
            "version": version,
            "dictionary": _digest(self._dictionary),
            "hidden_markov_model": False,
        }

    def segment(self, text):
        """Gives the text with a space between any two words."""
        cut = _words_of(self._dictionary).cut
        return " ".join(cut(text, HMM=False))


def make_segmenter(name):
    """Makes the segmenter of a name.

    Args:
        name: `"jieba"`, or `None` for none.

    Raises:
        ValueError: Another name.
        ImportError: It needs a package that is not installed.
    """
    if name is None:
        return None
    if name not in SEGMENTERS:
        raise ValueError(
            f"`segmenter` must be None or one of {list(SEGMENTERS)}. "
            f"Received: {name!r}"
        )
    return JiebaSegmenter()


def _installed_jieba():
    """Path of jieba's dictionary, and jieba's version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It imports pkg_resources.
            import jieba
    except ImportError as error:
        raise ImportError(
            "Chinese words are cut by the package jieba, which is not "
            f"installed ({error}). Run: pip install jieba (or keras_kd with "
            "the extra 'chinese'); or take single characters as tokens."
        ) from error
    return Path(jieba.__file__).with_name("dict.txt"), jieba.__version__


@functools.cache
def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


@functools.cache
def _words_of(path):
    """A `jieba.Tokenizer` with the words of one dictionary and no others."""
    import jieba

    cutter = jieba.Tokenizer()
    # What `initialize` does, without its cache file and without its messages.
    cutter.FREQ, cutter.total = cutter.gen_pfdict(open(path, "rb"))
    cutter.initialized = True
    return cutter

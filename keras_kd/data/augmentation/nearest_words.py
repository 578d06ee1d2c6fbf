"""The nearest words by the cosine of their vectors."""

import itertools

import numpy as np

from keras_kd.data.augmentation.word_splitter import WordSplitter
from keras_kd.data.augmentation.word_splitter import one_of_each

VECTORS_AT_ONCE = 256
# How many are kept for each that is found: film, Film and FILM are one word.
SPELLINGS = 4


def nearest_words(read, words, count=15, splitter=None):
    """Finds, for some words, the nearest ones among all that have vectors.

    The vectors are read twice, piece by piece; only those of the words that
    are asked for are kept.

    Args:
        read: Function that yields `(word, vector)` of the words for which a
            function that it is given says so: `functools.partial(
            keras_kd.models.word_vectors.read_vectors, path)`, say.
        words: Iterable of words. One that has no vector is looked up in small
            letters.
        count: How many are found for each.
        splitter: `WordSplitter`: what it takes for several words, for a mark
            or a number is not found.

    Returns:
        Dictionary from the words that have a vector to a list of the nearest
        in alphabetical order. A word in other letters (`Film`, `film`) is the
        same word.

    Example:

    >>> vectors = {"film": [1, 0], "movie": [9, 1], "dog": [0, 1]}
    >>> def read(wanted):
    ...     return ((w, v) for w, v in vectors.items() if wanted(w))
    >>> nearest_words(read, ["film", "cat"], count=1)
    {'film': ['movie']}
    """
    splitter = splitter or WordSplitter()
    asked = set(words)
    spellings = asked | {word.lower() for word in asked}
    vectors = {}
    for word, vector in read(spellings.__contains__):
        vectors.setdefault(word, vector)
    found = {}
    for word in sorted(asked):
        vector = vectors.get(word, vectors.get(word.lower()))
        if vector is not None and np.any(vector):
            found[word] = vector
    if not found:
        return {}
    queries = _of_length_one(list(found.values()))
    own = {}
    for row, word in enumerate(found):
        own.setdefault(word.casefold(), []).append(row)
    kept = count * SPELLINGS
    names = np.full((len(found), kept), None, object)
    scores = np.full((len(found), kept), -np.inf, "float32")
    # What is asked for may be told anyway: a file's first word always is.
    others = (
        entry
        for entry in read(splitter.is_one_word)
        if splitter.is_one_word(entry[0])
    )
    while chunk := list(itertools.islice(others, VECTORS_AT_ONCE)):
        near = queries @ _of_length_one([vector for _, vector in chunk]).T
        for column, (word, _) in enumerate(chunk):
            near[own.get(word.casefold(), []), column] = -np.inf
        scores = np.hstack([scores, near])
        best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        new = np.array([word for word, _ in chunk], object)
        names = np.where(
            best < kept,
            np.take_along_axis(names, np.minimum(best, kept - 1), axis=1),
            new[np.maximum(best - kept, 0)],
        )
        scores = np.take_along_axis(scores, best, axis=1)
    nearest = {}
    for row, word in enumerate(found):
        order = np.argsort(-scores[row], kind="stable")
        order = order[np.isfinite(scores[row][order])]
        nearest[word] = sorted(one_of_each(names[row][order], count))
    return nearest


def _of_length_one(vectors):
    vectors = np.asarray(vectors, "float32")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths, lengths, 1.0)

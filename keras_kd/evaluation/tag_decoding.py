"""The best sequence of tags that is a valid one."""

import numpy as np

# Of a step that may not be: no sum of others outweighs it.
IMPOSSIBLE = -1e9


def best_sequences(scores, lengths, allowed=None):
    """Viterbi: the sequences of tags whose scores add up to most.

    Args:
        scores: `[words, tags]`, of all sentences one after the other; or
            `[words, 1 + tags, tags]`, where a tag's score depends on the tag
            before it, and row 0 is of a sentence's first word.
        lengths: Words of each sentence.
        allowed: `[1 + tags, tags]` booleans, which tag may follow which; row 0
            says what a sentence may begin with. `None` allows all.

    Returns:
        `[words]` numbers of tags.

    Example:

    >>> scores = np.log([[0.5, 0.4, 0.1], [0.1, 0.2, 0.7]])  # O, B-X, I-X
    >>> allowed = [[1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]]
    >>> best_sequences(scores, [2], allowed).tolist()
    [1, 2]

    Source: Viterbi 1967; Ramshaw and Marcus 1995 for the tags.
    """
    scores = np.asarray(scores, "float64")
    tags = scores.shape[-1]
    if scores.ndim == 2:
        scores = np.broadcast_to(
            scores[:, np.newaxis], (len(scores), 1 + tags, tags)
        )
    lengths = np.asarray(lengths)
    starts = np.cumsum(lengths) - lengths
    barred = np.zeros((1 + tags, tags))
    if allowed is not None:
        barred = np.where(np.asarray(allowed, bool), 0.0, IMPOSSIBLE)
    # Sentences side by side, the longest first: those at the end of a step's
    # range have ended.
    order = np.argsort(-lengths, kind="stable")
    result = np.zeros(len(scores), "int64")
    if not len(lengths) or not lengths.max():
        return result
    best, pointers = None, []
    for step in range(lengths.max()):
        going = int((lengths > step).sum())
        here = scores[starts[order[:going]] + step]
        if best is None:
            best = here[:, 0] + barred[0]
            continue
        paths = best[:going, :, np.newaxis] + here[:, 1:] + barred[1:]
        pointers.append(paths.argmax(1))
        best[:going] = paths.max(1)
    for row, sentence in enumerate(order):
        if not lengths[sentence]:
            continue
        tag = best[row].argmax()
        first, last = starts[sentence], starts[sentence] + lengths[sentence] - 1
        result[last] = tag
        for word in range(last, first, -1):
            tag = pointers[word - first - 1][row, tag]
            result[word - 1] = tag
    return result

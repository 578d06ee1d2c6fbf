"""Precision, recall and F1 of entities, as conlleval and seqeval count them."""

import collections

import numpy as np

from keras_kd.tag_schemes import entities


def entity_scores(gold, predicted):
    """Scores of whole entities: their type and both their ends must be right.

    Args:
        gold: List of sentences, each a list of IOB2 tags.
        predicted: The same, of as many words.

    Returns:
        Dictionary: `entity_f1`, `entity_precision` and `entity_recall` over all
        types, `word_accuracy`, `word_error`, and `per_class` with `precision`,
        `recall`, `f1` and `support` of each type. Where nothing was found, or
        nothing was to be found, a share is 0.

    Raises:
        ValueError: Other numbers of sentences, or of words.

    Example:

    >>> scores = entity_scores([["B-PER", "O", "B-LOC"]],
    ...                        [["B-PER", "O", "O"]])
    >>> scores["entity_precision"], scores["entity_recall"]
    (1.0, 0.5)

    Source: Tjong Kim Sang and De Meulder 2003, and the script of that task.
    """
    right, found, there = (collections.Counter() for _ in range(3))
    words_right = words = 0
    for number, (one, other) in enumerate(zip(gold, predicted, strict=True)):
        if len(one) != len(other):
            raise ValueError(
                f"Sentence {number} has {len(one)} tags, and {len(other)} were "
                "predicted. Expected one for each word."
            )
        of_gold, of_predicted = set(entities(one)), set(entities(other))
        there.update(kind for kind, *_ in of_gold)
        found.update(kind for kind, *_ in of_predicted)
        right.update(kind for kind, *_ in of_gold & of_predicted)
        words_right += sum(map(str.__eq__, one, other))
        words += len(one)
    precision, recall, f1 = _shares(right.total(), found.total(), there.total())
    per_class = {}
    for kind in sorted(there | found):
        shares = _shares(right[kind], found[kind], there[kind])
        names = ("precision", "recall", "f1")
        per_class[kind] = dict(zip(names, shares)) | {"support": there[kind]}
    return {
        "entity_f1": f1,
        "entity_precision": precision,
        "entity_recall": recall,
        "word_accuracy": words_right / max(words, 1),
        "word_error": 1.0 - words_right / max(words, 1),
        "per_class": per_class,
    }


def entity_counts(gold, predicted):
    """`[sentences, 3]`: entities that are right, were found, and are there."""
    counts = np.zeros((len(gold), 3))
    for row, one, other in zip(counts, gold, predicted, strict=True):
        of_gold, of_predicted = set(entities(one)), set(entities(other))
        row[:] = (
            len(of_gold & of_predicted),
            len(of_predicted),
            len(of_gold),
        )
    return counts


def f1_of_counts(counts):
    """The F1 of counts `[..., 3]` as `entity_counts` gives them, summed up."""
    right, found, there = np.moveaxis(np.asarray(counts, "float64"), -1, 0)
    return np.divide(
        2 * right, found + there, out=np.zeros_like(right),
        where=found + there > 0,
    )  # fmt: skip


def _shares(right, found, there):
    """Precision, recall and F1."""
    return (
        right / found if found else 0.0,
        right / there if there else 0.0,
        float(f1_of_counts((right, found, there))),
    )

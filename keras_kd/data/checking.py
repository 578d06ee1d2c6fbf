"""Counts of what is odd in a data set, before anything is trained on it."""

import collections
import dataclasses
from collections.abc import Iterable

from keras_kd.data.example import Example
from keras_kd.data.splitting import normalize_text


@dataclasses.dataclass(frozen=True)
class ExampleCounts:
    """What `check_examples` found.

    Attributes:
        rows: All examples.
        labelled: Those with a label.
        unlabelled: Those without.
        empty: Examples with an empty text (of a pair: either one).
        duplicates: Examples whose text occurred before.
        contradictions: Texts that occur with more than one label.
        repeated_ids: Examples whose id occurred before.
        labels: Number of examples a label, the most frequent first.
    """

    rows: int
    labelled: int
    unlabelled: int
    empty: int
    duplicates: int
    contradictions: int
    repeated_ids: int
    labels: dict[str, int]

    def warnings(self) -> list[str]:
        """One sentence for each thing that a person ought to look at."""
        found = [
            (self.empty, "rows have an empty text"),
            (self.duplicates, "rows repeat a text that was there before"),
            (self.contradictions, "texts occur with more than one label"),
            (self.repeated_ids, "rows have an id that was there before"),
        ]
        return [
            f"{count} of {self.rows} {what}." for count, what in found if count
        ]


def check_examples(examples: Iterable[Example]) -> ExampleCounts:
    """Counts labels, empty texts, duplicates and contradictions.

    Texts are compared without regard to case and white space. Memory grows
    with the number of different texts (hashes only).

    Args:
        examples: The examples; an iterator is used up.
    """
    labels = collections.Counter()
    first_label = {}
    contradicting = set()
    ids = set()
    rows = empty = duplicates = 0
    for example in examples:
        rows += 1
        labels[example.label] += 1
        ids.add(hash(example.example_id))
        texts = tuple(map(normalize_text, example.fields))
        empty += not all(texts)
        key = hash(texts)
        if key in first_label:
            duplicates += 1
        known = first_label.setdefault(key, example.label)
        if known is None:
            first_label[key] = example.label
        elif example.label not in (None, known):
            contradicting.add(key)
    unlabelled = labels.pop(None, 0)
    return ExampleCounts(
        rows=rows,
        labelled=rows - unlabelled,
        unlabelled=unlabelled,
        empty=empty,
        duplicates=duplicates,
        contradictions=len(contradicting),
        repeated_ids=rows - len(ids),
        labels=dict(labels.most_common()),
    )

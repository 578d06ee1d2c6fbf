"""Splitting a data set, and finding texts that two of them share."""

import hashlib
import math
from collections.abc import Iterable
from collections.abc import Sequence

from keras_kd.data.errors import DataError
from keras_kd.data.example import Example


def normalize_text(text: str) -> str:
    """Text without what makes no other text of it: case and white space."""
    return " ".join(text.casefold().split())


def split_examples(
    examples: Iterable[Example], fractions: Sequence[float], seed: int = 0
) -> list[list[Example]]:
    """Splits examples at random, and equal texts never into two parts.

    Where an example goes depends on its normalised text and the seed alone,
    not on its position: rows that are added later move none of the others.
    Sizes are therefore near the fractions, not exactly those.

    Args:
        examples: The examples.
        fractions: Share of each part, such as `(0.9, 0.1)`. They sum to 1.
        seed: Another seed gives another split.

    Returns:
        A list of lists of examples, in the order of `fractions`; inside a part
        the examples keep their order.

    Raises:
        DataError: The fractions do not sum to 1, or a part would be empty.
    """
    fractions = list(fractions)
    if (
        not fractions
        or not all(0 < fraction <= 1 for fraction in fractions)
        or not math.isclose(sum(fractions), 1.0, abs_tol=1e-6)
    ):
        raise DataError(
            f"Expected fractions above 0 that sum to 1. Received: {fractions}."
        )
    bounds = [sum(fractions[: i + 1]) for i in range(len(fractions) - 1)]
    parts = [[] for _ in fractions]
    for example in examples:
        digest = _digest(example, salt=f"split {seed}")
        place = int.from_bytes(digest[:8], "big") / 2**64
        parts[sum(place >= bound for bound in bounds)].append(example)
    sizes = [len(part) for part in parts]
    if not all(sizes):
        raise DataError(
            f"A part would be empty: {sizes} examples for the fractions "
            f"{fractions}. Equal texts stay together. Give more examples, "
            "larger fractions, or another seed."
        )
    return parts


def overlap_count(
    a: Iterable[Example | str], b: Iterable[Example | str]
) -> int:
    """Counts the texts of `b` that occur in `a` as well.

    Texts are compared without regard to case and white space. Of pairs, both
    texts have to be the same. Memory: 16 bytes a text of `a`, and overhead.

    Args:
        a: Examples or strings, such as the training set.
        b: Examples or strings, such as the test set. A text that stands in
            it twice counts twice.
    """
    known = {_digest(text) for text in a}
    return sum(_digest(text) in known for text in b)


def _digest(example, salt=""):
    fields = (example,) if isinstance(example, str) else example.fields
    # U+001F is white space, so it is in no normalised text.
    key = "\x1f".join([salt, *map(normalize_text, fields)])
    return hashlib.blake2b(key.encode("utf-8"), digest_size=16).digest()

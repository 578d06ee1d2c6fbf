"""Splitting rows, and counting what stands in two places."""

import hashlib

import numpy as np

from keras_kd.data.errors import DataError
from keras_kd.data.rows import as_keys


def split_rows(rows, sizes):
    """Splits rows into parts of about the given sizes, and a `rest`.

    Rows that read alike (the same `target_key`, or `group_key` where rows have
    one) always fall into one part.
    The parts depend on the rows' texts alone, not on their order or on a seed.

    Args:
        rows: `Rows`.
        sizes: Dictionary from names to numbers of rows.

    Returns:
        Dictionary of `Rows`, with `rest`.

    Raises:
        DataError: The sizes leave nothing for the last part.
    """
    keys = rows.keys()
    if "group_key" in rows.columns:
        keys = as_keys(rows.column("group_key"))
    hashes = [
        hashlib.blake2b(bytes(key), digest_size=8).digest() for key in keys
    ]
    order = np.argsort(np.array(hashes, "S8"), kind="stable")
    *first, _ = sizes.items()
    if sum(size for _, size in first) >= len(rows):
        taken = [f"{size} {name} rows" for name, size in first]
        raise DataError(
            f"Can't take {' and '.join(taken)} of {len(rows)} labelled rows, "
            "and have any left. Give fewer validation and test rows, or files "
            "of their own."
        )
    parts, start = {}, 0
    for name, size in [*sizes.items(), ("rest", len(rows))]:
        end = min(start + size, len(rows))
        while 0 < end < len(rows) and keys[order[end]] == keys[order[end - 1]]:
            end += 1
        parts[name] = rows.select(np.sort(order[start:end]))
        start = end
    return parts


def overlap(first, second):
    """How many rows of `second` read like one of `first`."""
    return int(np.isin(second.keys(), first.keys()).sum())


def repetitions(rows):
    """Rows that repeat another one, and those that contradict it.

    Returns:
        Dictionary: `repeated_rows`, and `contradicting_rows`, the repeated
        ones whose label is not that of the first.
    """
    _, first, inverse = np.unique(
        rows.keys(), return_index=True, return_inverse=True
    )
    if rows.is_ragged("label"):
        several = np.flatnonzero(first[inverse] != np.arange(len(rows)))
        differs = np.array(
            [
                not np.array_equal(
                    rows.row("label", row),
                    rows.row("label", first[inverse[row]]),
                )
                for row in several
            ]
        )
    else:
        labels = rows.column("label").reshape(len(rows), -1)
        differs = (labels != labels[first[inverse]]).any(axis=-1)
    return {
        "repeated_rows": len(rows) - len(first),
        "contradicting_rows": int(differs.sum()),
    }

"""Cutting what is longer than a model reads into windows that overlap."""

import numpy as np


def token_windows(sizes, room, overlap):
    """The windows that cover a sequence: `(start, stop)` of each.

    An item, such as a word of several pieces, is never cut.

    Args:
        sizes: Tokens of each item; none more than `room`.
        room: The most tokens of a window.
        overlap: The most tokens that a window shares with the next one.

    Raises:
        ValueError: The windows would not advance.

    Example:

    >>> token_windows([1] * 10, 6, 2)
    [(0, 6), (4, 10)]
    """
    if overlap >= room:
        raise ValueError(
            f"Windows of {room} tokens that share {overlap} do not advance. "
            "Give a smaller `stride`, or a larger `max_length`."
        )
    ends = np.cumsum([0, *sizes])
    windows, start = [], 0
    while not windows or windows[-1][1] < len(sizes):
        stop = int(np.searchsorted(ends, ends[start] + room, "right")) - 1
        windows.append((start, stop))
        first_shared = int(np.searchsorted(ends, ends[stop] - overlap))
        start = max(first_shared, start + 1)
    return windows


def own_window(windows, length):
    """The window of each item: the one in which it has most context.

    Args:
        windows: List of `(start, stop)`.
        length: Items of the sequence.

    Returns:
        `[length]` numbers of windows.

    Example:

    >>> own_window([(0, 6), (4, 10)], 10).tolist()
    [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]

    Source: the "maximum context" of Devlin et al. 2019's code for SQuAD.
    """
    items = np.arange(length)
    context = [
        np.where(
            (items >= start) & (items < stop),
            np.minimum(items - start, stop - 1 - items),
            -1,
        )
        for start, stop in windows
    ]
    return np.argmax(context, axis=0)

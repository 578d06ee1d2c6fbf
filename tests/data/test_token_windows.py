"""Windows cover everything, are not too long, and own each item once."""

import numpy as np
import pytest

from keras_kd.data.token_windows import own_window
from keras_kd.data.token_windows import token_windows


@pytest.mark.parametrize("seed", range(20))
def test_windows_of_words(seed):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 5, generator.integers(1, 60))
    room, overlap = 12, int(generator.integers(0, 12))
    windows = token_windows(sizes, room, overlap)
    assert windows[0][0] == 0 and windows[-1][1] == len(sizes)
    for start, stop in windows:
        assert start < stop
        assert sum(sizes[start:stop]) <= room
        # No further word would have fitted.
        assert stop == len(sizes) or sum(sizes[start : stop + 1]) > room
    for (first, end), (second, _) in zip(windows, windows[1:]):
        assert first < second <= end
        assert sum(sizes[second:end]) <= overlap
    owners = own_window(windows, len(sizes))
    for item, owner in enumerate(owners):
        start, stop = windows[owner]
        assert start <= item < stop
        context = min(item - start, stop - 1 - item)
        for other_start, other_stop in windows:
            if other_start <= item < other_stop:
                assert min(item - other_start, other_stop - 1 - item) <= context


def test_windows_that_do_not_advance():
    with pytest.raises(ValueError, match="share 6 do not advance"):
        token_windows([1] * 9, 6, 6)

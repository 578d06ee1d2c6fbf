"""What a model gives for each token, without padding."""

import numpy as np


class TokenOutputs:
    """One array for each token of each row, rows one after the other.

    Tagging gives `[length, tags]` for a row and the search for an answer
    `[length]`; rows differ in length, and padding would be most of a file of
    long and short ones.

    Args:
        values: `[tokens of all rows, ...]`.
        lengths: `[rows]`, the tokens of each.

    Raises:
        ValueError: There are more or fewer tokens than the lengths say.

    Example:

    >>> outputs = TokenOutputs(np.array([5.0, 6.0, 7.0]), [1, 2])
    >>> outputs[1].tolist(), outputs.padded([1, 0]).tolist()
    ([6.0, 7.0], [[6.0, 7.0], [5.0, 0.0]])
    """

    def __init__(self, values, lengths):
        self.values = values
        self.lengths = np.asarray(lengths, "int64")
        self._starts = np.cumsum(self.lengths) - self.lengths
        if len(values) != self.lengths.sum():
            raise ValueError(
                f"The lengths must add up to the {len(values)} tokens. "
                f"Received: {self.lengths.sum()} in {len(self.lengths)} rows."
            )

    @classmethod
    def join(cls, rows):
        """Those of a list of arrays, one a row."""
        lengths = [len(row) for row in rows]
        return cls(np.concatenate(rows) if rows else np.empty(0), lengths)

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, row):
        start = self._starts[row]
        return self.values[start : start + self.lengths[row]]

    def taken(self, positions):
        """Other tokens of the same rows.

        Args:
            positions: List with the numbers of tokens of each row, below zero
                for zeros.
        """
        rows = []
        for row, places in enumerate(positions):
            places = np.asarray(places)
            values = np.zeros((len(places), *self.values.shape[1:]), "float32")
            values[places >= 0] = self[row][places[places >= 0]]
            rows.append(values)
        return self.join(rows)

    def padded(self, rows, length=None):
        """Some rows side by side, `[rows, length, ...]` float32, then 0.

        Args:
            rows: Numbers of the rows.
            length: Width; by default that of the longest of them.
        """
        if length is None:
            length = max((self.lengths[row] for row in rows), default=0)
        shape = (len(rows), length, *self.values.shape[1:])
        result = np.zeros(shape, "float32")
        for target, row in zip(result, rows):
            values = self[row][:length]
            target[: len(values)] = values
        return result

    def owners(self):
        """The number of its row, of each token."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

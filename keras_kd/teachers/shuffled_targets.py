"""Teacher targets of other rows, as a control."""

import numpy as np


class ShuffledTargets:
    """Teacher targets of other rows: a control that must not help.

    Args:
        targets: `TeacherTargets`.
        rows: The rows whose targets are exchanged.
        seed: Seed of the exchange.
    """

    def __init__(self, targets, rows, seed):
        self._targets = targets
        keys = np.unique(rows.keys())
        self._keys = keys
        self._other = np.random.default_rng(seed).permutation(keys)

    @property
    def per_token(self):
        """Names of the outputs that have one array a token."""
        return self._targets.per_token

    def lookup(self, keys):
        """The targets of the rows that these were exchanged with."""
        return self._targets.lookup(
            self._other[np.searchsorted(self._keys, keys)]
        )

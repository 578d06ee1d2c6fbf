"""The columns of one folder over those of another."""


class LayeredColumns:
    """Columns of one folder laid over those of another, row by row.

    Args:
        below: `ColumnFiles`.
        above: `ColumnFiles` of as many rows, whose columns hide those below.

    Raises:
        ValueError: The two have different numbers of rows.
    """

    def __init__(self, below, above):
        if len(below) != len(above):
            raise ValueError(
                f"'{above.folder}' has {len(above)} rows, '{below.folder}' "
                f"has {len(below)}. Delete the first, it is made again."
            )
        self.below, self.above = below, above
        self.folder = above.folder
        self.specs = {**below.specs, **above.specs}
        self.fingerprint = [below.fingerprint, above.fingerprint]
        self.notes = below.notes

    def __len__(self):
        return len(self.below)

    def _owner(self, name):
        return self.above if name in self.above.specs else self.below

    def fixed(self, name):
        return self._owner(name).fixed(name)

    def ragged(self, name, number):
        return self._owner(name).ragged(name, number)

    def lengths(self, name):
        return self._owner(name).lengths(name)

    def digest(self, name):
        return self._owner(name).digest(name)

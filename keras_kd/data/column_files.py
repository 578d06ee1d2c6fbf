"""The memory-mapped files that hold the columns of rows."""

import json
from pathlib import Path

import numpy as np

MANIFEST = "manifest.json"


class ColumnFiles:
    """The memory-mapped files of one folder that `write_rows` made."""

    def __init__(self, folder):
        self.folder = Path(folder)
        manifest = json.loads((self.folder / MANIFEST).read_text("utf-8"))
        self.count = manifest["rows"]
        self.specs = manifest["columns"]
        self.fingerprint = manifest["fingerprint"]
        self.notes = manifest["notes"]
        self._maps = {}

    def __len__(self):
        return self.count

    def _map(self, file, dtype, shape):
        if file not in self._maps:
            size = int(np.prod([d for d in shape if d != -1]))
            self._maps[file] = (
                np.memmap(self.folder / file, dtype, "r").reshape(shape)
                if size and (self.folder / file).stat().st_size
                else np.empty([max(d, 0) for d in shape], dtype)
            )
        return self._maps[file]

    def fixed(self, name):
        spec = self.specs[name]
        return self._map(
            f"{name}.bin", spec["dtype"], (self.count, *spec["shape"])
        )

    def _offsets(self, name):
        return self._map(f"{name}.offsets.bin", "int64", (self.count + 1,))

    def ragged(self, name, number):
        offsets = self._offsets(name)
        values = self._map(f"{name}.bin", self.specs[name]["dtype"], (-1,))
        return values[offsets[number] : offsets[number + 1]]

    def lengths(self, name):
        return np.diff(self._offsets(name))

"""The memory-mapped files that hold the columns of rows."""

import hashlib
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
        # All at once: a folder that is replaced later leaves them as they are.
        self._values, self._offsets = {}, {}
        for name, spec in self.specs.items():
            shape = (self.count, *spec.get("shape", ()))
            if spec["kind"] == "ragged":
                shape = (-1,)
                self._offsets[name] = self._map(
                    f"{name}.offsets.bin", "int64", (self.count + 1,)
                )
            self._values[name] = self._map(f"{name}.bin", spec["dtype"], shape)

    def __len__(self):
        return self.count

    def _map(self, file, dtype, shape):
        path = self.folder / file
        size = int(np.prod([d for d in shape if d != -1]))
        if size and path.stat().st_size:
            return np.memmap(path, dtype, "r").reshape(shape)
        return np.empty([max(d, 0) for d in shape], dtype)

    def fixed(self, name):
        return self._values[name]

    def ragged(self, name, number):
        offsets = self._offsets[name]
        return self._values[name][offsets[number] : offsets[number + 1]]

    def lengths(self, name):
        return np.diff(self._offsets[name])

    def digest(self, name):
        """Hash (hexadecimal) of a ragged column: its lists and their ends."""
        digest = hashlib.blake2b(self._offsets[name], digest_size=16)
        digest.update(self._values[name])
        return digest.hexdigest()

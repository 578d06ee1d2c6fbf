"""Rows: a data set, tokenised once, in memory-mapped columns."""

import hashlib
import json
from pathlib import Path

import numpy as np

from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import write_json
from keras_kd.data.column_files import MANIFEST
from keras_kd.data.column_files import ColumnFiles
from keras_kd.data.errors import DataError

KEY_BYTES = 16


class Rows:
    """Columns of a data set on disk; memory stays flat however many rows.

    A column holds one number a row, or a ragged list of numbers or text. Every
    row has an `example_id` (where it came from) and a `target_key` (a hash of
    exactly what the teacher reads), so that augmented texts, windows and
    pieces get teacher targets of their own, and duplicates share one.

    Use `write_rows` to make the files and `Rows.open` to read them. `select`
    and `join` give views; nothing is copied.

    Args:
        parts: List of `ColumnFiles`.
        numbers: Row numbers over all parts, in the order of the view.

    Example:

    ```python
    rows = Rows.open("rows/train")
    rows.lengths("token_ids")[:3], rows.row("token_ids", 0)
    ```
    """

    def __init__(self, parts, numbers=None):
        self.parts = list(parts)
        self._starts = np.cumsum([0] + [len(part) for part in self.parts])
        self.numbers = (
            np.arange(self._starts[-1]) if numbers is None else numbers
        )

    @classmethod
    def open(cls, folder):
        """Opens what `write_rows` wrote."""
        return cls([ColumnFiles(folder)])

    @classmethod
    def join(cls, several):
        """One view over the rows of several, in order."""
        parts, numbers = [], []
        for rows in several:
            numbers.append(rows.numbers + sum(len(part) for part in parts))
            parts.extend(rows.parts)
        return cls(parts, np.concatenate(numbers))

    def __len__(self):
        return len(self.numbers)

    def select(self, positions):
        """A view of the rows at `positions` (numbers or a boolean array)."""
        return Rows(self.parts, self.numbers[positions])

    @property
    def columns(self):
        """Names of the columns that all parts have."""
        return set.intersection(*(set(part.specs) for part in self.parts))

    def _located(self, positions):
        numbers = self.numbers[positions]
        owners = np.searchsorted(self._starts, numbers, side="right") - 1
        return owners, numbers - self._starts[owners]

    def column(self, name, positions=slice(None)):
        """The values of a column with one number a row."""
        owners, local = self._located(positions)
        columns = {o: self.parts[o].fixed(name) for o in np.unique(owners)}
        if not columns:
            return np.empty(0)
        shape = next(iter(columns.values())).shape[1:]
        dtype = np.result_type(*(c.dtype for c in columns.values()))
        result = np.empty((len(owners), *shape), dtype)
        for owner, values in columns.items():
            result[owners == owner] = values[local[owners == owner]]
        return result

    def row(self, name, position):
        """The list (as an array) of one row in a ragged column."""
        (owner,), (local,) = self._located(np.array([position]))
        return self.parts[owner].ragged(name, local)

    def is_ragged(self, name):
        """Whether a column has a list for each row."""
        return self.parts[0].specs[name]["kind"] == "ragged"

    def padded(self, name, positions, length=None, padding=0):
        """`[rows, length]` int32, padded on the right."""
        owners, local = self._located(np.asarray(positions))
        lists = [
            self.parts[owner].ragged(name, number)
            for owner, number in zip(owners, local)
        ]
        length = length or max(len(values) for values in lists)
        result = np.full((len(lists), length), padding, "int32")
        for target, values in zip(result, lists):
            target[: len(values)] = values[:length]
        return result

    def lengths(self, name, positions=slice(None)):
        """The number of items of each row in a ragged column."""
        owners, local = self._located(positions)
        result = np.empty(len(owners), "int64")
        for owner in np.unique(owners):
            result[owners == owner] = self.parts[owner].lengths(name)[
                local[owners == owner]
            ]
        return result

    def text(self, name, position):
        """The string of one row."""
        return bytes(self.row(name, position)).decode("utf-8")

    def keys(self, positions=slice(None)):
        """The `target_key` of each row, as 16-byte strings."""
        return as_keys(self.column("target_key", positions))


def write_rows(folder, rows, fingerprint, notes=None):
    """Writes rows into a folder of columns, streaming.

    Args:
        folder: Where to. Written aside and renamed, so that it is whole.
        rows: Iterable of dictionaries, all with the same keys. A list or
            integer array is a ragged int32 column, a string a ragged text
            column, an int, float or bytes a column of fixed width.
        fingerprint: Dictionary that says what the rows were made of.
        notes: Dictionary of counts to keep, or a function that gives it after
            the last row.

    Returns:
        The opened `Rows`.

    Raises:
        DataError: No rows, or rows with different columns.
        FileExistsError: The folder holds something else than rows.
    """
    with folder_aside(folder, marker=MANIFEST) as temporary:
        writers, count = {}, 0
        try:
            for row in rows:
                if not writers:
                    writers = {
                        name: _ColumnWriter(temporary, name, value)
                        for name, value in row.items()
                    }
                if row.keys() != writers.keys():
                    raise DataError(
                        f"Row {count} has the columns {sorted(row)}, the rows "
                        f"before it have {sorted(writers)}. Give every row "
                        "the same columns."
                    )
                for name, value in row.items():
                    writers[name].append(value)
                count += 1
        finally:
            for writer in writers.values():
                writer.close()
        if not count:
            raise DataError(
                f"No rows for '{folder}'. Received: a source without a single "
                "row. Check the path and the split."
            )
        manifest = {
            "rows": count,
            "columns": {name: w.spec for name, w in writers.items()},
            "fingerprint": fingerprint,
            "notes": (notes() if callable(notes) else notes) or {},
        }
        write_json(temporary / MANIFEST, manifest)
    return Rows.open(folder)


def copy_rows(folder, rows, notes=None):
    """Writes a view as rows of its own, for a folder that stands alone."""

    def each():
        for position in range(len(rows)):
            row = {}
            for name in sorted(rows.columns):
                spec = rows.parts[0].specs[name]
                if spec["kind"] == "ragged":
                    text = spec["dtype"] == "uint8"
                    row[name] = (rows.text if text else rows.row)(
                        name, position
                    )
                else:
                    (value,) = rows.column(name, [position])
                    row[name] = value.tobytes() if value.ndim else value.item()
            yield row

    return write_rows(folder, each(), rows.parts[0].fingerprint, notes)


def open_or_write_rows(folder, make_rows, fingerprint, notes=None):
    """Opens rows made of the same things before, or writes them.

    Args:
        folder: Folder of the rows.
        make_rows: Function that gives the iterable of rows.
        fingerprint: Dictionary; other rows than these are made anew.
        notes: As in `write_rows`.
    """
    fingerprint = json.loads(json.dumps(fingerprint))
    try:
        rows = Rows.open(folder)
    except FileNotFoundError:
        rows = None
    if rows is None or rows.parts[0].fingerprint != fingerprint:
        rows = write_rows(folder, make_rows(), fingerprint, notes)
    return rows


def shared_rows(folder, name, make_rows, fingerprint, notes=None):
    """`open_or_write_rows` in a folder of their own, named by the fingerprint.

    Runs that share a folder share what was made of the same things.

    Args:
        folder: Folder of the folders of rows.
        name: What the name begins with.
        make_rows, fingerprint, notes: As in `open_or_write_rows`.
    """
    path = shared_folder(folder, name, fingerprint)
    return open_or_write_rows(path, make_rows, fingerprint, notes)


def shared_folder(folder, name, fingerprint):
    """Where `shared_rows` puts them."""
    digest = hashlib.blake2b(repr(fingerprint).encode(), digest_size=6)
    return Path(folder) / f"{name}-{digest.hexdigest()}"


class _ColumnWriter:
    """Appends one column to its file, and to that of its offsets."""

    def __init__(self, folder, name, first):
        self.name = name
        self.file = open(folder / f"{name}.bin", "wb", buffering=1 << 20)
        self.offsets = None
        self.end = 0
        if isinstance(first, (list, tuple, np.ndarray, str)):
            self.offsets = open(
                folder / f"{name}.offsets.bin", "wb", buffering=1 << 20
            )
            self.offsets.write(np.int64(0).tobytes())
            dtype = "uint8" if isinstance(first, str) else "int32"
            self.spec = {"kind": "ragged", "dtype": dtype}
        elif isinstance(first, bytes):
            shape = [len(first)]
            self.spec = {"kind": "fixed", "dtype": "uint8", "shape": shape}
        else:
            number = isinstance(first, (float, np.floating))
            dtype = "float32" if number else "int32"
            self.spec = {"kind": "fixed", "dtype": dtype, "shape": []}

    def append(self, value):
        data = self._bytes(value)
        self.file.write(data)
        if self.offsets is not None:
            self.end += len(data) // np.dtype(self.spec["dtype"]).itemsize
            self.offsets.write(np.int64(self.end).tobytes())

    def _bytes(self, value):
        """The bytes of a value that is like the column's first one."""
        dtype, shape = self.spec["dtype"], self.spec.get("shape")
        if isinstance(value, str):
            value = value.encode("utf-8")
        if isinstance(value, bytes):
            if dtype == "uint8" and shape in (None, [len(value)]):
                return value
        elif dtype != "uint8":
            array = np.asarray(value)
            # NumPy would cut 0.5 down to 0, and make None a NaN.
            kinds = "iubf" if dtype == "float32" else "iub"
            fits = array.dtype.kind in kinds or not array.size
            if fits and array.ndim == (1 if shape is None else 0):
                return np.asarray(value, dtype).tobytes()
        raise DataError(
            f"Column '{self.name}' holds {self.spec} since its first row. "
            f"Received: {value!r:.80}. Give every row a value of one kind."
        )

    def close(self):
        self.file.close()
        if self.offsets is not None:
            self.offsets.close()


def target_key(*fields):
    """The 16-byte hash of the integer lists that a teacher reads."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for field in fields:
        values = np.asarray(field, "int32")
        digest.update(np.int64(len(values)).tobytes() + values.tobytes())
    return digest.digest()


def as_keys(array):
    """`[rows, 16]` uint8 as one-dimensional 16-byte strings."""
    array = np.ascontiguousarray(array, "uint8")
    return array.view(f"S{KEY_BYTES}").reshape(-1)

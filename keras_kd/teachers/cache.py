"""Teacher targets on disk: the teacher runs over a data set once."""

import hashlib
import json
from pathlib import Path

import numpy as np

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.batch import TOKEN_IDS
from keras_kd.data.rows import KEY_BYTES
from keras_kd.data.rows import as_keys
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.inference import predict_batches

MANIFEST = "manifest.json"
KEYS = "target_keys"


class TeacherTargets:
    """The teacher's outputs by `target_key`, in shards of safetensors.

    Shards are written aside, checked by a hash and renamed, so a killed
    labelling goes on where it stopped, and a shard that was damaged is made
    again. The fingerprint says which teacher, runtime and outputs they came
    from; targets of another teacher are refused, never mixed.

    Args:
        folder: Folder of the shards.
        fingerprint: Dictionary of what decides the targets.
        per_token: Names of the outputs that have one array a token: their
            second axis is that of the tokens. They are kept without padding.
        tokens: The column with these tokens.

    Raises:
        ValueError: The folder holds targets under another fingerprint.

    Example:

    ```python
    targets = TeacherTargets("run/targets", teacher.fingerprint)
    targets.label(runtime, rows)
    targets.lookup(rows.keys([0, 1, 2]))["logits"]
    ```
    """

    def __init__(self, folder, fingerprint, per_token=(), tokens=TOKEN_IDS):
        self.tokens = tokens
        self.per_token = tuple(per_token)
        self.folder = Path(folder)
        self.fingerprint = json.loads(json.dumps(fingerprint))
        self.rebuilt = []
        self._read()

    def _read(self):
        path = self.folder / MANIFEST
        manifest = {"fingerprint": self.fingerprint, "shards": {}}
        if path.exists():
            manifest = read_json(path)
        stored, now = manifest["fingerprint"], self.fingerprint
        different = {
            name: (stored.get(name), now.get(name))
            for name in sorted({*stored, *now})
            if stored.get(name) != now.get(name)
        }
        if different:
            raise ValueError(
                f"'{self.folder}' holds the targets of another teacher. "
                f"Received (stored, now): {different}. Give another folder, "
                "or delete this one to label again."
            )
        self._shards = {}
        for name, checksum in manifest["shards"].items():
            file = self.folder / name
            if file.exists() and file_hash(file) == checksum:
                self._shards[name] = checksum
            else:
                self.rebuilt.append(name)
        self._map_shards()

    def _map_shards(self):
        tensors = [read_tensors(self.folder / name) for name in self._shards]
        self._outputs = [self._outputs_of(shard) for shard in tensors]
        keys = [as_keys(shard[KEYS]) for shard in tensors]
        sizes = [len(shard) for shard in keys]
        keys = np.concatenate(keys) if keys else np.empty(0, f"S{KEY_BYTES}")
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._owners = np.repeat(np.arange(len(sizes)), sizes)[order]
        self._local = np.concatenate(
            [np.arange(size) for size in sizes] or [np.empty(0, int)]
        )[order]

    def _outputs_of(self, shard):
        names = set(shard) - {KEYS, *map(lengths_of, self.per_token)}
        return {
            name: TokenOutputs(shard[name], shard[lengths_of(name)])
            if name in self.per_token
            else shard[name]
            for name in sorted(names)
        }

    def __len__(self):
        return len(self._keys)

    def _find(self, keys):
        places = np.searchsorted(self._keys, keys)
        places = np.minimum(places, max(len(self._keys) - 1, 0))
        found = (
            self._keys[places] == keys
            if len(self._keys)
            else np.zeros(len(keys), bool)
        )
        return places, found

    def missing(self, rows):
        """Positions of the first row of every key that has no target yet."""
        keys, first = np.unique(rows.keys(), return_index=True)
        return np.sort(first[~self._find(keys)[1]])

    def lookup(self, keys):
        """The outputs of some keys: `{name: [len(keys), ...]}`, float32.

        Those for each token are `TokenOutputs`.

        Raises:
            KeyError: A key without a target.
        """
        places, found = self._find(keys)
        if not found.all():
            raise KeyError(
                f"{(~found).sum()} of {len(keys)} rows have no teacher target "
                f"in '{self.folder}'. Label these rows first: "
                "`targets.label(runtime, rows)`."
            )
        owners, local = self._owners[places], self._local[places]
        result = {}
        for name in self._outputs[0]:
            if name in self.per_token:
                rows = [
                    self._outputs[o][name][i] for o, i in zip(owners, local)
                ]
                result[name] = TokenOutputs.join(rows)
                continue
            first = self._outputs[0][name]
            values = np.empty((len(keys), *first.shape[1:]), "float32")
            for owner in np.unique(owners):
                chosen = owners == owner
                values[chosen] = self._outputs[owner][name][local[chosen]]
            result[name] = values
        return result

    def label(self, runtime, rows, rows_per_shard=4096, progress=None):
        """Runs the teacher over the rows that have no target yet.

        Args:
            runtime: `(input names, predict)` of the teacher, as in
                `keras_kd.inference.predict_batches`.
            rows: `Rows` as the teacher reads them.
            rows_per_shard: Rows that a kill can cost at the most.
            progress: Function that is told how many rows were done.

        Returns:
            The number of rows that the teacher was run on.

        Raises:
            ValueError: The teacher gives NaN or infinite values.
        """
        positions = self.missing(rows)
        # Longest first over all shards: then a batch holds rows of like
        # length, and memory runs out at once or never.
        lengths = rows.lengths(TOKEN_IDS, positions)
        positions = positions[np.argsort(-lengths, kind="stable")]
        try:
            for start in range(0, len(positions), rows_per_shard):
                part = positions[start : start + rows_per_shard]
                collected = []
                for chosen, outputs in predict_batches(runtime, rows, part):
                    collected.append((chosen, outputs))
                    if progress is not None:
                        progress(len(chosen))
                self._write_shard(rows, collected)
        finally:
            # After Ctrl-C too: what is written is not asked for again.
            if len(positions):
                self._map_shards()
        return len(positions)

    def _without_padding(self, rows, collected, name):
        """An output for each token of the rows of a shard."""
        return TokenOutputs.join(
            [
                values[:length]
                for chosen, outputs in collected
                for values, length in zip(
                    np.asarray(outputs[name]), rows.lengths(self.tokens, chosen)
                )
            ]
        )

    def _write_shard(self, rows, collected):
        from safetensors.numpy import save_file

        positions = np.concatenate([chosen for chosen, _ in collected])
        tensors = {}
        for name in collected[0][1]:
            if name in self.per_token:
                outputs = self._without_padding(rows, collected, name)
                tensors[lengths_of(name)] = outputs.lengths.astype("int32")
                values, owners = outputs.values, outputs.owners()
            else:
                values = np.concatenate(
                    [np.asarray(o[name]) for _, o in collected]
                )
                owners = np.arange(len(values))
            tensors[name] = storable(values)
            finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
            if not finite.all():
                wrong = np.unique(owners[~finite])
                raise ValueError(
                    f"The teacher's {name} of {len(wrong)} rows are NaN or "
                    "infinite, first for "
                    f"'{rows.text('example_id', positions[wrong[0]])}'. Check "
                    "the teacher's weights and precision."
                )
        keys = rows.column("target_key", positions)
        name = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
        file = f"{name}.safetensors"
        with write_aside(self.folder / file) as temporary:
            save_file({KEYS: keys, **tensors}, temporary)
        self._shards[file] = file_hash(self.folder / file)
        write_json(
            self.folder / MANIFEST,
            {"fingerprint": self.fingerprint, "shards": self._shards},
        )


def lengths_of(name):
    """The name of the tensor with the tokens of each row."""
    return f"{name}/lengths"


def storable(values):
    """Values as float16, if that is what they are, and else as float32."""
    if values.dtype == "float16":
        return values
    return np.ascontiguousarray(values, "float32")


def read_tensors(path):
    """The tensors of a safetensors file, memory-mapped.

    The library's own NumPy reader copies a tensor whole; a shard may be large
    and a batch needs a few of its rows.
    """
    types = {
        "F32": "float32",
        "F16": "float16",
        "I32": "int32",
        "U8": "uint8",
    }
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return {
        name: np.memmap(
            path,
            types[spec["dtype"]],
            "r",
            offset=8 + size + spec["data_offsets"][0],
            shape=tuple(spec["shape"]),
        )
        for name, spec in header.items()
    }


def file_hash(path):
    """The BLAKE2 hash of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()

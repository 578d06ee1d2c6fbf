"""Teacher targets on disk: the teacher runs over a data set once."""

import json
from pathlib import Path

import numpy as np

from keras_kd.atomic_files import read_json
from keras_kd.batch import TOKEN_IDS
from keras_kd.configuration.errors import in_words
from keras_kd.data.rows import KEY_BYTES
from keras_kd.data.rows import as_keys
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.inference import refuse_attention
from keras_kd.teachers.target_shards import KEYS
from keras_kd.teachers.target_shards import MANIFESTS
from keras_kd.teachers.target_shards import file_hash
from keras_kd.teachers.target_shards import label_shard
from keras_kd.teachers.target_shards import lengths_of
from keras_kd.teachers.target_shards import read_tensors

# That a kill can cost at the most.
ROWS_PER_SHARD = 4096


class TeacherTargets:
    """The teacher's outputs by `target_key`, in shards of safetensors.

    Shards are written aside, checked by a hash and renamed, so a killed
    labelling goes on where it stopped, and a shard that was damaged is made
    again. The fingerprint says which teacher, runtime and outputs they came
    from; targets of another teacher are refused, never mixed. Several processes
    may fill one folder; each finds what the others have written when it opens
    it.

    Args:
        folder: Folder of the shards.
        fingerprint: Dictionary of what decides the targets.
        per_token: Names of the outputs that have one array a token: their
            second axis is that of the tokens. They are kept without padding.
            Attention can't be kept: it has a number for each two tokens.
        tokens: The column with these tokens.

    Raises:
        ValueError: The folder holds targets under another fingerprint, or
            there is attention in `per_token`.

    Example:

    ```python
    targets = TeacherTargets("run/targets", teacher.fingerprint)
    targets.label(runtime, rows)
    targets.lookup(rows.keys([0, 1, 2]))["logits"]
    ```
    """

    def __init__(self, folder, fingerprint, per_token=(), tokens=TOKEN_IDS):
        refuse_attention(per_token)
        self.tokens = tokens
        self.per_token = tuple(per_token)
        self.folder = Path(folder)
        self.fingerprint = json.loads(json.dumps(fingerprint))
        self.rebuilt = []
        self._read()

    def _read(self):
        written = {}
        for path in sorted(self.folder.glob(MANIFESTS)):
            manifest = read_json(path)
            self._check_fingerprint(manifest["fingerprint"])
            for name, checksum in manifest["shards"].items():
                written.setdefault(name, []).append(checksum)
        self._shards = []
        for name, checksums in written.items():
            file = self.folder / name
            if file.exists() and file_hash(file) in checksums:
                self._shards.append(name)
            else:
                self.rebuilt.append(name)
        self._map_shards()

    def _check_fingerprint(self, stored):
        now = self.fingerprint
        different = {
            name: (stored.get(name), now.get(name))
            for name in sorted({*stored, *now})
            if stored.get(name) != now.get(name)
        }
        if different:
            raise ValueError(
                f"'{self.folder}' holds the targets of another teacher. "
                f"Received: {in_words(different)}. Give another folder, or "
                "delete this one to label again."
            )

    def _map_shards(self):
        tensors = [read_tensors(self.folder / name) for name in self._shards]
        found = {name for shard in tensors for name in shard}
        # Row i of a table of tokens is not the i-th row's.
        kept = {name for name in found if lengths_of(name) in found}
        self.per_token = tuple(sorted(kept.union(self.per_token)))
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

    def missing(self, rows, share=None):
        """Positions of the first row of every key that has no target yet.

        Args:
            rows: `Rows`.
            share: `(i, n)` for the i-th of n shares, which have about as many
                keys each, and none in common; always the same ones.
        """
        keys, first = np.unique(rows.keys(), return_index=True)
        absent = ~self._find(keys)[1]
        if share is not None:
            number, count = share
            hashes = np.frombuffer(keys.tobytes(), "<u8").reshape(-1, 2)
            absent &= hashes[:, 0] % np.uint64(count) == number - 1
        return np.sort(first[absent])

    def parts(self, rows, rows_per_shard=ROWS_PER_SHARD, share=None):
        """The rows that have no target yet, cut into shards.

        Args:
            rows: `Rows`.
            rows_per_shard: The most rows of a shard.
            share: As in `missing`.

        Returns:
            List of arrays of positions.
        """
        positions = self.missing(rows, share)
        # Longest first over all shards: then a batch holds rows of like
        # length, and memory runs out at once or never.
        lengths = rows.lengths("token_ids", positions)
        positions = positions[np.argsort(-lengths, kind="stable")]
        return [
            positions[start : start + rows_per_shard]
            for start in range(0, len(positions), rows_per_shard)
        ]

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

    def label(
        self,
        runtime,
        rows,
        rows_per_shard=ROWS_PER_SHARD,
        progress=None,
        share=None,
    ):
        """Runs the teacher over the rows that have no target yet.

        Args:
            runtime: `(input names, predict)` of the teacher, as in
                `keras_kd.inference.predict_batches`.
            rows: `Rows` as the teacher reads them.
            rows_per_shard: Rows that a kill can cost at the most.
            progress: Function that is told how many rows were done.
            share: As in `missing`: what this process labels, where others
                label the rest.

        Returns:
            The number of rows that the teacher was run on.

        Raises:
            ValueError: The teacher gives NaN or infinite values, or attention.
        """
        parts = self.parts(rows, rows_per_shard, share)
        try:
            for positions in parts:
                file = label_shard(
                    self.folder,
                    self.fingerprint,
                    runtime,
                    rows,
                    positions,
                    self.per_token,
                    progress,
                    self.tokens,
                )
                self._shards.append(file)
        finally:
            # After Ctrl-C too: what is written is not asked for again.
            if parts:
                self._map_shards()
        return sum(map(len, parts))

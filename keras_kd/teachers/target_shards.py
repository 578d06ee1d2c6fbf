"""Shards of teacher targets: files that are whole, each with its manifest."""

import hashlib
import json

import numpy as np

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.batch import TOKEN_IDS
from keras_kd.data.token_outputs import TokenOutputs
from keras_kd.inference import predict_batches
from keras_kd.inference import refuse_attention

MANIFESTS = "manifest*.json"
KEYS = "target_keys"


def label_shard(
    folder,
    fingerprint,
    runtime,
    rows,
    positions,
    per_token=(),
    progress=None,
    tokens=TOKEN_IDS,
):
    """Runs a teacher over some rows, and writes what it gives as one shard.

    Shards have the names of their rows, and a manifest each, so that several
    processes write into one folder and no one waits for another: what is done
    twice is the same file.

    Args:
        folder: Folder of the shards.
        fingerprint: Dictionary of what decides the targets.
        runtime: `(input names, predict)` of the teacher.
        rows: `Rows` as the teacher reads them.
        positions: Which rows.
        per_token: Names of the outputs that have one array a token.
        progress: Function that is told how many rows were done.
        tokens: The column with these tokens.

    Returns:
        The name of the file.

    Raises:
        ValueError: The teacher gives NaN or infinite values, or attention.
    """
    from safetensors.numpy import save_file

    collected = []
    for chosen, outputs in predict_batches(runtime, rows, positions):
        refuse_attention(outputs)
        collected.append((chosen, outputs))
        if progress is not None:
            progress(len(chosen))
    positions = np.concatenate([chosen for chosen, _ in collected])
    lengths = rows.lengths(tokens, positions) if per_token else None
    tensors = _tensors(rows, positions, collected, per_token, lengths)
    keys = rows.column("target_key", positions)
    name = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
    file = f"{name}.safetensors"
    with write_aside(folder / file) as temporary:
        save_file({KEYS: keys, **tensors}, temporary)
        checksum = file_hash(temporary)
    # After the shard: what a manifest names is there.
    write_json(
        folder / MANIFESTS.replace("*", f"-{name}"),
        {"fingerprint": fingerprint, "shards": {file: checksum}},
    )
    return file


def _tensors(rows, positions, collected, per_token, lengths):
    """What a file holds of the outputs of some batches, by name."""
    tensors = {}
    for name in collected[0][1]:
        if name in per_token:
            outputs = _without_padding(collected, name, lengths)
            tensors[lengths_of(name)] = outputs.lengths.astype("int32")
            values, owners = outputs.values, outputs.owners()
        else:
            values = np.concatenate([np.asarray(o[name]) for _, o in collected])
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
    return tensors


def _without_padding(collected, name, lengths):
    """An output for each token of the rows of a shard."""
    rows = (
        row for _, outputs in collected for row in np.asarray(outputs[name])
    )
    return TokenOutputs.join(
        [row[:length] for row, length in zip(rows, lengths, strict=True)]
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

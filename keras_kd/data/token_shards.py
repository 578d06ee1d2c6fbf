"""Raw text, tokenised once into shards; a killed run goes on."""

import itertools
import shutil
import time
from pathlib import Path

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_json
from keras_kd.configuration.errors import in_words
from keras_kd.data.errors import DataError
from keras_kd.data.rows import Rows
from keras_kd.data.rows import write_rows
from keras_kd.data.text_windows import text_windows

MANIFEST = "shards.json"
TEXTS_PER_SHARD = 8192


def token_shards(
    folder,
    texts,
    tokenizer,
    max_length,
    source,
    overwrite=False,
    texts_per_shard=TEXTS_PER_SHARD,
):
    """Opens the tokens of raw text, or cuts it into windows of tokens.

    The text is read as a stream and written in shards, each whole or not
    there: memory stays flat, and a run that was killed reads past the texts of
    finished shards, and tokenises the others.

    Args:
        folder: Folder of the shards.
        texts: Function that gives an iterable of strings, always the same.
        tokenizer: `keras_kd.data.tokenization.Tokenizer`.
        max_length: Tokens of a window, special ones included.
        source: What says which texts they are, for JSON.
        overwrite: Whether shards of other text, or of another tokenizer, are
            deleted.
        texts_per_shard: Texts that a kill can cost at the most.

    Returns:
        `(rows, notes)`: the `Rows` of all shards; counts of texts, windows
        and tokens, and the seconds that it took.

    Raises:
        DataError: Other tokens stand in the folder, or no text is long enough
            for a window.
    """
    folder = Path(folder)
    fingerprint = {
        "source": source,
        "tokenizer": tokenizer.fingerprint,
        "max_length": max_length,
        "texts_per_shard": texts_per_shard,
    }
    manifest = _open_manifest(folder, fingerprint, overwrite)
    if "notes" not in manifest:
        count = _write_shards(
            folder, texts(), tokenizer, max_length, texts_per_shard, manifest
        )
        rows = open_token_shards(folder)
        manifest["notes"] = {
            "texts": count,
            "windows": len(rows),
            "tokens": int(rows.lengths("token_ids").sum()),
            "seconds": manifest.pop("seconds", 0.0),
        }
        write_json(folder / MANIFEST, manifest)
    return open_token_shards(folder), manifest["notes"]


def _open_manifest(folder, fingerprint, overwrite):
    """What is known of a folder's shards, if they are those that are asked."""
    manifest = {"fingerprint": fingerprint}
    if (folder / MANIFEST).exists():
        stored = read_json(folder / MANIFEST)
        if stored["fingerprint"] == fingerprint:
            return stored
        different = {
            name: (stored["fingerprint"].get(name), value)
            for name, value in fingerprint.items()
            if stored["fingerprint"].get(name) != value
        }
        if not overwrite:
            raise DataError(
                f"'{folder}' holds the tokens of other text, or of another "
                f"tokenizer. Received: {in_words(different)}. Give another "
                "folder, or delete this one, as `recipes.masked_lm "
                "--overwrite` does."
            )
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise DataError(
            f"'{folder}' has files in it, and no {MANIFEST}. Give a folder "
            "that is empty, or one of tokens."
        )
    write_json(folder / MANIFEST, manifest)
    return manifest


def _write_shards(
    folder, texts, tokenizer, max_length, texts_per_shard, manifest
):
    """Writes the shards that are missing; gives how many texts there are.

    The seconds of those that are written add up in the manifest: other
    processes, which were killed, may have written the ones before.
    """
    texts, count = iter(texts), 0
    for number in itertools.count():
        group = list(itertools.islice(texts, texts_per_shard))
        if not group:
            return count
        shard = folder / f"{number:06d}"
        if not shard.exists():
            start = time.perf_counter()
            windows = text_windows(group, tokenizer, max_length, first=count)
            first = next(windows, None)
            if first is not None:
                write_rows(shard, itertools.chain([first], windows), {})
            manifest["seconds"] = (
                manifest.get("seconds", 0.0) + time.perf_counter() - start
            )
            write_json(folder / MANIFEST, manifest)
        count += len(group)


def open_token_shards(folder):
    """The `Rows` of all shards of a folder.

    Args:
        folder: As in `token_shards`, which wrote them.

    Raises:
        DataError: There are none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"There is no folder '{folder}'. Expected the tokens of a text, as "
            "this run has read them. Put them back, or give the recipe's "
            "command again."
        )
    shards = sorted(path.parent for path in folder.glob("[0-9]*/manifest.json"))
    if not shards:
        raise DataError(
            f"No text gives a window of tokens for '{folder}': all are too "
            "short, or there are none. Check the file, and how many of its "
            "first texts --validation-texts and --test-texts keep for judging."
        )
    return Rows.join([Rows.open(shard) for shard in shards])

"""Raw text, one text a line, as rows that recipes train on."""

import itertools
from pathlib import Path


def read_windows(path, counts, tokenizer, max_length, folder):
    """Cuts a file's texts into windows of tokens, by part; kept for next time.

    Args:
        path: The file.
        counts: Dictionary from parts to how many texts each has; they follow
            one another in the file.
        tokenizer: `keras_kd.data.tokenization.Tokenizer`.
        max_length: Tokens of a window.
        folder: Where the rows are kept.

    Returns:
        Dictionary from parts to `Rows`.
    """
    from keras_kd.data.rows import open_or_write_rows
    from keras_kd.data.sources import read_examples
    from keras_kd.data.text_windows import text_windows
    from keras_kd.teachers.target_shards import file_hash

    fingerprint = {
        "source": file_hash(path),
        "texts": counts["train"],
        "tokenizer": tokenizer.fingerprint,
        "max_length": max_length,
    }
    rows, start = {}, 0
    for part, count in counts.items():

        def windows(start=start, count=count):
            examples = read_examples(path, label=None)
            chosen = itertools.islice(examples, start, start + count)
            texts = (example.fields[0] for example in chosen)
            return text_windows(texts, tokenizer, max_length)

        rows[part] = open_or_write_rows(
            Path(folder) / part, windows, fingerprint
        )
        start += count
    return rows

"""Raw text of a file, as parts of tokens that a model is trained on."""

import itertools
from pathlib import Path

from keras_kd.data.sources import read_examples
from keras_kd.data.token_shards import token_shards
from keras_kd.teachers.target_shards import file_hash


def read_windows(
    run, path, counts, tokenizer, max_length, folder=None, overwrite=False
):
    """Cuts a file's texts into windows of tokens, by part; kept for next time.

    Args:
        run: The `RunFolder` that they are for.
        path: The file: texts, one a line, or in a column `text`.
        counts: Dictionary from parts to how many texts each has; they follow
            one another in the file. `None` is all that are left. A text that
            stands in a part before, too, is left out.
        tokenizer: `keras_kd.data.tokenization.Tokenizer`.
        max_length: Tokens of a window.
        folder: Where they are kept, a folder for each part; by default
            `tokens` in the run's folder.
        overwrite: As in `keras_kd.data.token_shards.token_shards`.

    Returns:
        `(rows, notes)`: dictionaries from parts to `Rows`, and to counts of
        texts, windows and tokens, with the seconds that it took.

    Raises:
        ConfigurationError: The run began with other text, or another tokenizer.
    """
    digest = file_hash(path)
    # Before `overwrite` takes away the tokens that a unit was trained on.
    run.hold_to("data", {"file": digest, "tokenizer": tokenizer.fingerprint})
    folder = Path(folder or run.folder / "tokens")
    rows, notes, start = {}, {}, 0
    for part, count in counts.items():

        def texts(start=start, count=count):
            every = (one.fields[0] for one in read_examples(path, label=None))
            before = set(itertools.islice(every, start))
            for text in itertools.islice(every, count):
                if text not in before:
                    yield text

        rows[part], notes[part] = token_shards(
            folder / part,
            texts,
            tokenizer,
            max_length,
            {"file": digest, "first": start, "texts": count, "without": start},
            overwrite,
        )
        if count is not None:
            start += count
    return rows, notes

"""From files to the rows that a run trains, validates and tests on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd import batch
from keras_kd.data.errors import DataError
from keras_kd.data.rows import Rows
from keras_kd.data.rows import open_or_write_rows
from keras_kd.data.sources import read_examples
from keras_kd.data.sources import resolve_labels

# To be counted up when the columns of a row change.
ROWS_FORMAT = 1


@dataclass
class PreparedRows:
    """The rows of a run. No text stands in two of its parts.

    Attributes:
        labelled: Rows that fine-tune the teacher and train both students.
        unlabelled: Rows that only the teacher labels.
        validation: Rows that checkpoints are chosen on.
        test: Rows that the comparison is judged on.
        counts: Rows of each part, empty texts and overlaps, for the report.
        fingerprint: A hash of each source as it was read.
    """

    labelled: Rows
    unlabelled: Rows
    validation: Rows
    test: Rows
    counts: dict
    fingerprint: dict


def find_labels(configuration, teacher_labels):
    """The class names, in the order of the logits.

    The teacher's own order holds when it knows the names in the data.
    """
    if configuration.labels:
        return configuration.labels
    found = resolve_labels(
        example.label
        for example in _examples(configuration, "train")
        if example.label is not None
    )
    if teacher_labels and set(found) <= set(teacher_labels):
        return teacher_labels
    return found


def prepare_rows(configuration, task, tokenizer, folder):
    """Tokenises the sources once, and splits them.

    Args:
        configuration: `Configuration`.
        task: The task; turns examples into rows.
        tokenizer: `Tokenizer` of teacher and student.
        folder: Where the rows are kept.

    Returns:
        `PreparedRows`.

    Raises:
        DataError: A source that can't be read, an unknown label, or a split
            that leaves a part without rows or with a single class.
    """
    rows, empty, fingerprint = {}, {}, {}
    for part in ("train", "validation", "test", "unlabelled"):
        if getattr(configuration, part) is not None:
            rows[part] = _rows_of(configuration, part, task, tokenizer, folder)
            empty[part] = rows[part].parts[0].notes["empty_texts"]
            fingerprint[part] = rows[part].parts[0].folder.name
    without_label = {}
    for part in ("validation", "test"):
        if part in rows:
            has_label = find_labelled(rows[part], part)
            without_label[part] = int((~has_label).sum())
            rows[part] = rows[part].select(has_label)
    train = rows["train"]
    has_label = train.column("label_weight") > 0
    rest = train.select(has_label)
    unlabelled = [train.select(~has_label)]
    sizes = {}
    if "test" not in rows:
        sizes["test"] = configuration.test_rows or len(rest) // 10
    if "validation" not in rows:
        sizes["validation"] = configuration.validation_rows or len(rest) // 10
    sizes["labelled"] = configuration.labelled_rows or len(rest)
    split = split_rows(rest, sizes)
    unlabelled.append(split.pop("rest"))
    if "unlabelled" in rows:
        unlabelled.append(rows["unlabelled"])
    unlabelled = Rows.join(unlabelled)
    prepared = {**split, **{n: rows[n] for n in rows if n in split or n in (
        "validation", "test")}}  # fmt: skip
    # What is judged on must not be trained on, not even without its label.
    held_out = np.concatenate(
        [prepared["validation"].keys(), prepared["test"].keys()]
    )
    seen = np.isin(unlabelled.keys(), held_out)
    unlabelled = unlabelled.select(~seen)
    counts = {
        "train": len(prepared["labelled"]),
        "unlabelled": len(unlabelled),
        "validation": len(prepared["validation"]),
        "test": len(prepared["test"]),
        "empty_texts": empty,
        "unlabelled_rows_left_out_because_held_out": int(seen.sum()),
        "rows_left_out_because_they_have_no_label": without_label,
        "overlaps": {
            f"train and {part}": overlap(prepared["labelled"], prepared[part])
            for part in ("validation", "test")
        },
    }
    for part in ("labelled", "validation", "test"):
        _check_classes(prepared[part], part, task)
    return PreparedRows(
        prepared["labelled"],
        unlabelled,
        prepared["validation"],
        prepared["test"],
        counts,
        fingerprint,
    )


def split_rows(rows, sizes):
    """Splits rows into parts of about the given sizes, and a `rest`.

    Rows that read alike (the same `target_key`) always fall into one part.
    The parts depend on the rows' texts alone, not on their order or on a seed.

    Args:
        rows: `Rows`.
        sizes: Dictionary from names to numbers of rows.

    Returns:
        Dictionary of `Rows`, with `rest`.

    Raises:
        DataError: The sizes leave nothing for the last part.
    """
    keys = rows.keys()
    hashes = [
        hashlib.blake2b(bytes(key), digest_size=8).digest() for key in keys
    ]
    order = np.argsort(np.array(hashes, "S8"), kind="stable")
    taken = sum(list(sizes.values())[:-1])
    if taken >= len(rows):
        raise DataError(
            f"Can't split {len(rows)} labelled rows into {sizes}. Give fewer "
            "validation and test rows, or files of their own."
        )
    parts, start = {}, 0
    for name, size in [*sizes.items(), ("rest", len(rows))]:
        end = min(start + size, len(rows))
        while 0 < end < len(rows) and keys[order[end]] == keys[order[end - 1]]:
            end += 1
        parts[name] = rows.select(np.sort(order[start:end]))
        start = end
    return parts


def overlap(first, second):
    """How many rows of `second` read like one of `first`."""
    return int(np.isin(second.keys(), first.keys()).sum())


def _examples(configuration, part):
    source = getattr(configuration, part)
    is_prepared = str(source).startswith("tfds:")
    return read_examples(
        source,
        text=configuration.text,
        label=None if part == "unlabelled" else configuration.label,
        delimiter=configuration.delimiter,
        split=getattr(configuration, f"{part}_split") if is_prepared else None,
    )


def _rows_of(configuration, part, task, tokenizer, folder):
    source = str(getattr(configuration, part))
    path = Path(source)
    content = None
    if path.is_file():
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
    fingerprint = {
        "format": ROWS_FORMAT,
        "source": path.name if content else source,
        "content": content,
        "split": getattr(configuration, f"{part}_split"),
        "columns": [configuration.text, configuration.label],
        "labels": task.labels,
        "tokenizer": tokenizer.fingerprint,
        "max_length": configuration.max_length,
    }
    empty = [0]

    def counted():
        for example in _examples(configuration, part):
            empty[0] += not any(text.strip() for text in example.fields)
            yield example

    # Runs that share a folder share what was made of the same things.
    digest = hashlib.blake2b(repr(fingerprint).encode(), digest_size=6)
    return open_or_write_rows(
        Path(folder) / f"{part}-{digest.hexdigest()}",
        lambda: task.featurize(counted(), tokenizer, configuration.max_length),
        fingerprint,
        notes=lambda: {"empty_texts": empty[0]},
    )


def find_labelled(rows, part):
    """Says of each row whether it can be scored: a boolean array.

    Raises:
        DataError: No row can.
    """
    has_label = rows.column("label_weight") > 0
    if not has_label.any():
        raise DataError(
            f"None of the {len(rows)} {part} rows has a label, the first being "
            f"{rows.text('example_id', 0)}. Labels are needed to score: give "
            "rows that have them, and check the label column."
        )
    return has_label


def _check_classes(rows, part, task):
    if not len(rows):
        raise DataError(f"The {part} part has no rows. Give more rows.")
    classes = np.unique(rows.column("label"))
    if len(classes) < 2:
        raise DataError(
            f"All {len(rows)} rows of the {part} part have the label "
            f"'{task.labels[int(classes[0])]}'. Two classes or more are needed "
            "to train and to score. Check the label column, or shuffle a file "
            "that is sorted by label before it is cut."
        )


def training_rows(prepared):
    """Labelled and unlabelled rows as one view."""
    return Rows.join([prepared.labelled, prepared.unlabelled])


def average_length(rows):
    """Mean number of tokens a row."""
    return float(np.mean(rows.lengths(batch.TOKEN_IDS)))

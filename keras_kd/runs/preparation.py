"""From files to the rows that a run trains, validates and tests on."""

import collections
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_kd.data.errors import DataError
from keras_kd.data.prepared_datasets import PREFIX
from keras_kd.data.prepared_datasets import prepared_files
from keras_kd.data.rows import Rows
from keras_kd.data.rows import shared_rows
from keras_kd.data.splits import overlap
from keras_kd.data.splits import repetitions
from keras_kd.data.splits import split_rows
from keras_kd.runs.augmented_rows import leave_out
from keras_kd.runs.augmented_rows import make_augmented_rows
from keras_kd.runs.run_sources import read_part

# To be counted up when the columns of a row change.
ROWS_FORMAT = 2
# What may stand between the labels of a row.
SEPARATORS = ",;|/"
# Of what was repaired, how many a warning names.
SHOWN_IDS = 5
PARTS = ("labelled", "unlabelled", "validation", "test")


@dataclass
class PreparedRows:
    """The rows of a run.

    What is split from one file has no text in common, and unlabelled rows share
    none with validation or test. Files that are given may overlap: `counts` and
    `warnings` say what validation and test have in common with other parts.

    Attributes:
        labelled: Rows that fine-tune the teacher and train both students.
        unlabelled: Rows that only the teacher labels; augmented ones are
            among them.
        validation: Rows that checkpoints are chosen on.
        test: Rows that the comparison is judged on.
        counts: Rows of each part, empty texts and overlaps, for the report.
        warnings: Sentences about what a person ought to look at.
        fingerprint: A hash of each source as it was read.
    """

    labelled: Rows
    unlabelled: Rows
    validation: Rows
    test: Rows
    counts: dict
    warnings: list
    fingerprint: dict

    @property
    def training(self):
        """Labelled and unlabelled rows as one view."""
        return Rows.join([self.labelled, self.unlabelled])


def prepare_rows(configuration, task, tokenizer, folder, say=lambda text: None):
    """Tokenises the sources once, splits them, and augments the labelled rows.

    Args:
        configuration: `Configuration`.
        task: The task; turns examples into rows.
        tokenizer: `Tokenizer` of the teacher.
        folder: Where the rows are kept.
        say: Function that is told what happens.

    Returns:
        `PreparedRows`.

    Raises:
        DataError: A source that can't be read, an unknown label, or a split
            that leaves a part without rows or with a single class.
    """
    rows, fingerprint = {}, {}
    for part in ("train", "validation", "test", "unlabelled"):
        if getattr(configuration, part) is not None:
            rows[part] = _rows_of(configuration, part, task, tokenizer, folder)
            fingerprint[part] = rows[part].parts[0].folder.name
    notes = {name: dict(r.parts[0].notes) for name, r in rows.items()}
    empty = {name: one.pop("empty_texts") for name, one in notes.items()}
    ids = {name: one.pop("ids", {}) for name, one in notes.items()}
    without_label = {}
    for part in ("validation", "test"):
        if part in rows:
            has_label = find_labelled(rows[part], part)
            without_label[part] = int((~has_label).sum())
            rows[part] = rows[part].select(has_label)
    train = rows.pop("train")
    has_label = train.column("label_weight") > 0
    rest = train.select(has_label)
    sizes = {
        part: getattr(configuration, f"{part}_rows") or len(rest) // 10
        for part in ("test", "validation")
        if part not in rows
    }
    sizes["labelled"] = configuration.labelled_rows or len(rest)
    split = split_rows(rest, sizes)
    unlabelled = [train.select(~has_label), split.pop("rest")]
    if "unlabelled" in rows:
        unlabelled.append(rows.pop("unlabelled"))
    parts = {**split, **rows}
    unlabelled = Rows.join(unlabelled)
    # What is judged on must not be trained on, not even without its label.
    held_out = np.concatenate([parts[p].keys() for p in ("validation", "test")])
    seen = np.isin(unlabelled.keys(), held_out)
    parts["unlabelled"] = unlabelled.select(~seen)
    for part in ("labelled", "validation", "test"):
        if not len(parts[part]):
            raise DataError(
                f"The {part} part has no rows: {len(rest)} labelled rows, of "
                f"which {len(np.unique(rest.keys()))} read differently, were "
                f"split into {sizes}. Give more rows, fewer validation and "
                "test rows, or files of their own."
            )
        task.check_labels(task.references(parts[part]), part)
    counts = {
        "train": len(parts["labelled"]),
        **{p: len(parts[p]) for p in ("unlabelled", "validation", "test")},
        "empty_texts": empty,
        "unlabelled_rows_left_out_because_held_out": int(seen.sum()),
        "rows_left_out_because_they_have_no_label": without_label,
        "repaired_or_cut": _by_kind_and_part(notes),
        "ids_of_repaired": _by_kind_and_part(ids),
        "overlaps": {
            f"train and {part}": overlap(parts["labelled"], parts[part])
            for part in ("validation", "test")
        },
        "overlap_of_validation_and_test": overlap(
            parts["validation"], parts["test"]
        ),
        **repetitions(parts["labelled"]),
    }
    if configuration.augment != "none":
        augmented = make_augmented_rows(
            configuration, task, tokenizer, parts["labelled"], folder, say
        )
        fingerprint["augmented"] = augmented.parts[0].folder.name
        others = [parts["labelled"], parts["unlabelled"]]
        new, further = leave_out(augmented, held_out, Rows.join(others).keys())
        parts["unlabelled"] = Rows.join([parts["unlabelled"], new])
        counts |= further
    return PreparedRows(
        **parts,
        counts=counts,
        warnings=data_warnings(counts, parts, task),
        fingerprint=fingerprint,
    )


def _by_kind_and_part(notes):
    return {
        f"{kind.replace('_', ' ')} ({part})": found
        for part, own in notes.items()
        for kind, found in own.items()
        if found
    }


def data_warnings(counts, parts, task):
    """Sentences about the data that a person ought to look at."""
    warnings = []
    for name, count in counts["overlaps"].items():
        if count:
            warnings.append(
                f"{count} rows stand in both {name}: scores on them are too "
                "good."
            )
    both = counts["overlap_of_validation_and_test"]
    if both:
        warnings.append(
            f"{both} rows stand in both validation and test, of "
            f"{counts['test']} test rows: checkpoints were chosen on them."
        )
    empty = sum(counts["empty_texts"].values())
    if empty:
        warnings.append(f"{empty} rows have no text: {counts['empty_texts']}.")
    for kind, ids in counts["ids_of_repaired"].items():
        more = ", ..." if len(ids) > SHOWN_IDS else ""
        warnings.append(
            f"{len(ids)} {kind}: {', '.join(ids[:SHOWN_IDS])}{more}. "
            "metrics.json names all."
        )
    if counts["contradicting_rows"]:
        warnings.append(
            f"{counts['contradicting_rows']} labelled rows read like another "
            "one and have another label."
        )
    labels = task.references(parts["labelled"])
    if task.name == "multi_label" and labels.sum(axis=1).max() < 2:
        other = [
            character
            for character in SEPARATORS
            if any(character in label for label in task.labels)
        ]
        if other:
            warnings.append(
                "No training row has two labels, and labels hold "
                f"{' and '.join(map(repr, other))}: is that what stands "
                "between them (--label-separator)?"
            )
    if task.name in ("classification", "multi_label"):
        held = (
            labels.sum(axis=0)
            if task.name == "multi_label"
            else np.bincount(labels, minlength=task.num_outputs)
        )
        rare = [
            f"{label!r} ({count})"
            for label, count in zip(task.labels, held)
            if count < max(2, len(parts["labelled"]) // 1000)
        ]
        if rare:
            warnings.append(
                f"Classes with hardly a training row: {', '.join(rare)}. A "
                "mistyped label makes a class of its own; give the right ones "
                "with --labels, and the wrong one is refused by its row."
            )
    return warnings


def _rows_of(configuration, part, task, tokenizer, folder):
    source = str(getattr(configuration, part))
    prepared = source.startswith(PREFIX)
    files = prepared_files(source) if prepared else [Path(source)]
    content = _content_of([path for path in files if path.is_file()])
    fingerprint = {
        "format": ROWS_FORMAT,
        "source": Path(source).name if content and not prepared else source,
        "content": content,
        "split": getattr(configuration, f"{part}_split"),
        "columns": [
            configuration.text,
            configuration.text_pair,
            configuration.label,
        ],
        "encoding": configuration.encoding,
        "task": {**task.for_teacher().to_dict(), "metric": None},
        "tokenizer": tokenizer.fingerprint,
        "max_length": configuration.max_length,
    }
    if configuration.delimiter is not None:
        # Left out else: rows that were made without one keep their folder.
        fingerprint["delimiter"] = configuration.delimiter
    counts, ids = collections.Counter(empty_texts=0), {}

    def counted():
        examples = read_part(configuration, part)
        for example in examples:
            counts["empty_texts"] += not any(map(str.strip, example.fields))
            yield example
        counts.update(getattr(examples, "counts", {}))
        ids.update(getattr(examples, "ids", {}))

    return shared_rows(
        folder,
        part,
        lambda: task.featurize(
            counted(), tokenizer, configuration.max_length, counts
        ),
        fingerprint,
        notes=lambda: {**counts, "ids": ids},
    )


def _content_of(files):
    """A hash of files, one after the other; `None` of no file."""
    if not files:
        return None
    content = hashlib.blake2b()
    for path in files:
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: content)
    return content.hexdigest()[:32]


def find_labelled(rows, part):
    """Says of each row whether it can be scored: a boolean array.

    Raises:
        DataError: No row can.
    """
    has_label = rows.column("label_weight") > 0
    if "answers" in rows.columns:  # Some are scored by, and teach nothing.
        has_label = np.array(
            [rows.text("answers", row) != "null" for row in range(len(rows))]
        )
    if not has_label.any():
        raise DataError(
            f"None of the {len(rows)} {part} rows has a label, the first being "
            f"{rows.text('example_id', 0)}. Labels are needed to score: give "
            "rows that have them, and check the label column."
        )
    return has_label

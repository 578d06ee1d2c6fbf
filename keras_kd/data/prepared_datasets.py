"""Rows of data sets that TensorFlow Datasets has prepared."""

import contextlib
import io
from pathlib import Path

from keras_kd.data.errors import DataError
from keras_kd.data.errors import missing_column_remedy

PREFIX = "tfds:"


def read_prepared(source, split, columns):
    """Yields `(row number, values)`, the values in the order of `columns`.

    Nothing is ever downloaded here: without a network TFDS would retry for
    minutes. Classes come as their names, and class -1 (GLUE's way to say that
    there is no label) as `None`.

    Args:
        source: A name such as `"tfds:glue/sst2"`.
        split: Name of the split; slices such as `"train[:90%]"` work as well.
        columns: Dictionary from what each is for to the feature's name.

    Raises:
        DataError: There is no such data set, split or feature, or it has not
            been prepared on this machine.
        ImportError: tensorflow-datasets is not installed.
    """
    tfds = _import_tfds(source)
    name = source.removeprefix(PREFIX)
    builder = _find_builder(tfds, name)
    features = builder.info.features
    for role, column in columns.items():
        if column not in features:
            raise DataError(
                f"{source} has no column '{column}'. Its features: "
                f"{sorted(features)}.{missing_column_remedy(role)}"
            )
    columns = columns.values()
    if split is None:
        raise DataError(
            f"{source} needs a split. Received: split=None. Known splits: "
            f"{sorted(builder.info.splits) or 'unknown before it is prepared'}"
            ". Give one, such as split='train'."
        )
    dataset = _open_split(tfds, builder, name, split)
    converters = [_converter(tfds, features[column]) for column in columns]
    for number, row in enumerate(tfds.as_numpy(dataset), 1):
        yield (
            number,
            [
                convert(row[column])
                for convert, column in zip(converters, columns)
            ],
        )


def prepared_files(source):
    """The files of a prepared data set, sorted; none if it is not prepared."""
    tfds = _import_tfds(source)
    builder = _find_builder(tfds, source.removeprefix(PREFIX))
    folder = Path(builder.data_dir)
    return sorted(path for path in folder.glob("*") if path.is_file())


def _import_tfds(source):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            f"Reading {source} needs TensorFlow Datasets: pip install "
            f"tensorflow-datasets importlib_resources. ({error})"
        ) from error
    return tfds


def _find_builder(tfds, name):
    try:
        # It prints lists of all data sets when the name is unknown.
        with contextlib.redirect_stdout(io.StringIO()):
            return tfds.builder(name, try_gcs=False)
    except Exception as error:  # It raises anything from KeyError to OSError.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"TFDS has no data set '{name}': {reason[0]}. Expected a name as "
            "in its catalogue, such as 'tfds:imdb_reviews/plain_text' or "
            "'tfds:glue/sst2'."
        ) from error


def _open_split(tfds, builder, name, split):
    try:
        return builder.as_dataset(
            split=split,
            shuffle_files=False,
            read_config=tfds.ReadConfig(try_autocache=False),
        )
    except (AssertionError, FileNotFoundError) as error:
        raise DataError(
            f"The data set '{name}' is known but not prepared in "
            f"{builder.data_dir}. Prepare it once, where there is a network: "
            'python -c "import tensorflow_datasets as tfds; '
            f"tfds.builder('{name}').download_and_prepare()\""
        ) from error
    except (ValueError, KeyError) as error:
        raise DataError(
            f"The data set '{name}' has no split '{split}'. Its splits: "
            f"{sorted(builder.info.splits)}. ({error})"
        ) from error


def _converter(tfds, feature):
    if isinstance(feature, tfds.features.ClassLabel):
        names = feature.names or []

        def to_label(value):
            value = int(value)
            if value < 0:
                return None
            return names[value] if value < len(names) else str(value)

        return to_label
    if isinstance(feature, tfds.features.Sequence):
        convert = _converter(tfds, feature.feature)
        if convert is not _to_python:
            return lambda values: [convert(value) for value in values]
    return _to_python


def _to_python(value):
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {name: _to_python(one) for name, one in value.items()}
    if getattr(value, "ndim", 0):
        return [_to_python(one) for one in value]
    return value.item() if hasattr(value, "item") else value

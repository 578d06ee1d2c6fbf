"""Batches of several tasks, side by side."""

import keras
import tensorflow as tf


def zip_tasks(datasets):
    """A data set of one batch of each task, as Keras has batches.

    Args:
        datasets: Dictionary from the names of tasks to `tf.data.Dataset`s of
            batches.

    Returns:
        `tf.data.Dataset` of `(x, y, sample weights)`, each a dictionary by
        task, without those that have none.

    Raises:
        ValueError: Something else than a data set.
    """
    for name, dataset in datasets.items():
        if not isinstance(dataset, tf.data.Dataset):
            raise ValueError(
                f"`x['{name}']` must be a tf.data.Dataset of batches. "
                f"Received: {type(dataset).__name__}. Make one of arrays with "
                "tf.data.Dataset.from_tensor_slices((x, y)).batch(32)."
            )

    def by_column(batches):
        """`{task: (x, y, w)}` as `({task: x}, {task: y}, {task: w})`."""
        parts = {
            name: keras.utils.unpack_x_y_sample_weight(part)
            for name, part in batches.items()
        }
        return tuple(
            {
                name: part[column]
                for name, part in parts.items()
                if part[column] is not None
            }
            for column in range(3)
        )

    return tf.data.Dataset.zip(datasets).map(by_column)

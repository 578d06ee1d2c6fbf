"""Which rows make a batch, and what a batch holds, in NumPy."""

import functools

import numpy as np

from keras_kd import batch
from keras_kd.data.token_outputs import TokenOutputs

# Rows are sorted by length inside a window of this many batches.
WINDOW = 50


class BatchPlan:
    """Says which rows the batch of a step holds: `plan.rows_at(step)`.

    A batch is a pure function of seed and step. A run that was killed goes on
    at the very next batch, replicas agree, and two students see the same
    batches. Rows of like length share a batch, so that little is padding:
    they are shuffled, cut into windows, sorted by length inside a window, and
    the batches of an epoch are shuffled.

    Args:
        lengths: `[rows]` array.
        batch_size: Rows a batch; the last of an epoch may have fewer.
        seed: Seed of the shuffling.
        window: Batches among which rows are sorted; 1 leaves them unsorted.

    Raises:
        ValueError: No rows, or a batch size below 1.

    Example:

    >>> plan = BatchPlan([3, 9, 4, 8], batch_size=2, seed=0)
    >>> plan.steps_per_epoch, sorted(plan.rows_at(0).tolist())
    (2, [1, 3])
    """

    def __init__(self, lengths, batch_size, seed=0, window=WINDOW):
        if len(lengths) == 0 or batch_size < 1:
            raise ValueError(
                "A plan needs rows and a batch size of 1 or more. Received: "
                f"{len(lengths)} rows, batch_size={batch_size}."
            )
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.window = window
        self.steps_per_epoch = -(-len(lengths) // batch_size)
        self._order = functools.lru_cache(maxsize=2)(self._epoch_order)

    def _epoch_order(self, epoch):
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self.lengths))
        window = self.window * self.batch_size
        order = np.concatenate(
            [
                part[np.argsort(self.lengths[part], kind="stable")]
                for part in np.split(order, range(window, len(order), window))
            ]
        )
        batches = np.split(
            order, range(self.batch_size, len(order), self.batch_size)
        )
        return [batches[index] for index in generator.permutation(len(batches))]

    def rows_at(self, step):
        """The row numbers of the batch of global step `step`."""
        epoch, position = divmod(int(step), self.steps_per_epoch)
        return self._order(epoch)[position]


def by_length(lengths, tokens_per_batch=8192):
    """Row numbers in batches of like length, longest first, each row once.

    For scoring: the longest come first, so that memory runs out at once or
    never. However few rows there are, a quarter of a batch is padding at most.

    Args:
        lengths: `[rows]` array.
        tokens_per_batch: The most tokens in a batch, padding included.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    falling = np.asarray(lengths)[order]
    start = 0
    while start < len(order):
        longest = falling[start]
        size = max(1, tokens_per_batch // max(1, longest))
        alike = np.searchsorted(-falling, -0.75 * longest, side="right")
        end = min(start + size, alike)
        yield order[start:end]
        start = end


def gather_inputs(
    rows,
    positions=None,
    names=(batch.TOKEN_IDS, batch.PADDING_MASK),
    length=None,
):
    """The model inputs `names` of some rows, as padded int32 arrays.

    Args:
        rows: `Rows`.
        positions: Which rows; by default all.
        names: Names of inputs. `padding_mask` is made from the lengths;
            `segment_ids` are zeros where the rows have none.
        length: Width; by default that of the longest row.
    """
    if positions is None:
        positions = np.arange(len(rows))
    token_ids = rows.padded(batch.TOKEN_IDS, positions, length)
    width = token_ids.shape[1]
    inputs = {}
    for name in names:
        if name == batch.TOKEN_IDS:
            inputs[name] = token_ids
        elif name == batch.PADDING_MASK:
            lengths = rows.lengths(batch.TOKEN_IDS, positions)
            inputs[name] = (
                np.arange(width)[None, :] < lengths[:, None]
            ).astype("int32")
        elif name == batch.MASK_POSITIONS:
            inputs[name] = rows.padded(name, positions)
        elif name in rows.columns:
            inputs[name] = rows.padded(name, positions, width)
        elif name == batch.SEGMENT_IDS:
            inputs[name] = np.zeros_like(token_ids)
        else:
            raise KeyError(
                f"The model reads '{name}'. The rows have: "
                f"{sorted(rows.columns)}. Build the model with those inputs."
            )
    return inputs


def gather_batch(
    rows, positions, names, targets=None, length=None, teacher_names=()
):
    """A batch `(x, y)` by the contract of `keras_kd.batch`, in NumPy.

    Args:
        rows: `Rows`; without the columns `label` and `label_weight` a batch
            has no labels.
        positions: Which rows.
        names: The student's inputs.
        targets: Teacher targets (`lookup(keys) -> {name: array}`), if any.
        length: Width; by default that of the longest row.
        teacher_names: Inputs of a live teacher that reads the same tokens;
            put into the batch where the student has not all of them.
    """
    x = gather_inputs(rows, positions, names, length)
    width = x[batch.TOKEN_IDS].shape[1]
    y = {}
    if "label" in rows.columns:
        if rows.is_ragged("label"):
            labels = rows.padded("label", positions, width, batch.NO_TOKEN)
        else:
            labels = rows.column("label", positions)
        if labels.dtype.kind == "f":
            # A number to regress on has the shape of the output that gives it.
            labels = labels[:, None]
        y[batch.LABELS] = labels
        y[batch.LABEL_WEIGHT] = rows.column("label_weight", positions)
    if batch.TOKEN_MASK in rows.columns:
        y[batch.TOKEN_MASK] = rows.padded(batch.TOKEN_MASK, positions, width)
    if targets is not None:
        y[batch.TEACHER] = _teacher_outputs(rows, positions, targets, width)
    if not set(teacher_names) <= set(names):
        y[batch.TEACHER_INPUTS] = gather_inputs(
            rows, positions, teacher_names, length
        )
    return x, y


def _teacher_outputs(rows, positions, targets, width):
    """The teacher's outputs by name, those for each token `width` wide."""
    outputs = targets.lookup(rows.keys(positions))
    for name, values in outputs.items():
        if not isinstance(values, TokenOutputs):
            continue
        if "teacher_positions" in rows.columns:
            # The student has tokens of its own.
            values = values.taken(
                [rows.row("teacher_positions", p) for p in positions]
            )
        outputs[name] = values.padded(range(len(values)), width)
    return outputs

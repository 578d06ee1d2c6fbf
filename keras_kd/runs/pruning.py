"""Magnitude pruning: the smallest weights become zero while others learn."""

import keras
import numpy as np
from keras import ops

# How Keras names biases, and the weights of normalisations.
SPARED = ("bias", "gamma", "beta")


class MagnitudePruning(keras.callbacks.Callback):
    """Sets a growing share of each table and kernel to zero, smallest first.

    After step t the share is `s (1 - (1 - (t - b) / (e - b))^3)` between the
    steps b and e, and s from then on: fast while there is much to spare, and
    the weights that stay have the steps after e to make up for it. Biases and
    normalisations are left alone. A file of zeros is no smaller, but is
    compressed to less: in an app's package, and on its way to the phone.

    Args:
        model: The `keras.Model` whose weights are pruned: the Distiller's
            student.
        sparsity: The share s, above 0 and below 1.
        begin: The step b.
        end: The step e, above b.
        every: Steps between two choices of what is zero. Between them what is
            zero stays so.

    Raises:
        ValueError: A share or steps out of their range; a backend other than
            TensorFlow, whose weights `fit` holds elsewhere.

    Example:

    ```python
    pruning = MagnitudePruning(distiller.student, 0.5, begin=100, end=600)
    distiller.fit(batches, callbacks=[pruning])
    ```

    Source: Zhu and Gupta 2017, "To Prune, or Not to Prune", equation 1.
    """

    def __init__(self, model, sparsity, begin, end, every=50):
        super().__init__()
        if not 0 < sparsity < 1:
            raise ValueError(
                f"`sparsity` must be above 0 and below 1. Received: {sparsity}."
            )
        if not 0 <= begin < end or every < 1:
            raise ValueError(
                "Pruning needs 0 <= `begin` < `end`, and `every` of 1 or more. "
                f"Received: begin={begin}, end={end}, every={every}."
            )
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                "Pruning needs the TensorFlow backend. Received: "
                f"'{keras.config.backend()}'."
            )
        self.pruned = prunable_weights(model)
        self.sparsity, self.begin, self.end = sparsity, begin, end
        self.every = every
        self._masks = None
        self._chosen_at = None

    def share_at(self, step):
        """The share of zeros after a step."""
        done = (step - self.begin) / (self.end - self.begin)
        return self.sparsity * (1.0 - (1.0 - min(max(done, 0.0), 1.0)) ** 3)

    def on_train_begin(self, logs=None):
        step = self._steps_made()
        if self._masks is None and step > self.begin:
            # A training that goes on: what was chosen before is zero.
            self._masks = [
                ops.convert_to_numpy(weight) != 0 for weight in self.pruned
            ]
            self._chosen_at = self._last_choice(step)

    def on_train_batch_end(self, batch, logs=None):
        step = self._steps_made()
        if step <= self.begin:
            return
        choice = self._last_choice(step)
        if choice != self._chosen_at:
            share = self.share_at(choice)
            self._masks = [kept(weight, share) for weight in self.pruned]
            self._chosen_at = choice
        for weight, mask in zip(self.pruned, self._masks):
            # Not a product, which would make negative zeros.
            weight.assign(ops.where(mask, weight, 0.0))

    def _steps_made(self):
        return int(ops.convert_to_numpy(self.model.optimizer.iterations))

    def _last_choice(self, step):
        """The step of the last choice; a call of `fit` may make several."""
        if step >= self.end:
            return self.end
        return step - (step - self.begin) % self.every


def kept(weight, share):
    """Which weights stay: all but a share, the smallest by magnitude.

    Args:
        weight: Array or variable.
        share: Share that does not.

    Returns:
        NumPy array of the weight's shape, of booleans.
    """
    values = np.abs(ops.convert_to_numpy(weight))
    zeros = int(share * values.size)
    stay = np.ones(values.size, bool)
    if zeros:
        stay[np.argpartition(values, zeros - 1, axis=None)[:zeros]] = False
    return stay.reshape(values.shape)


def prunable_weights(model):
    """The trainable tables and kernels of a model."""
    # By name, too: a GRU's bias and those of attention have two axes.
    return [
        weight
        for weight in model.trainable_weights
        if len(weight.shape) > 1 and weight.name not in SPARED
    ]


def share_of_zeros(model):
    """The share of zeros in the weights of a model that may be pruned."""
    weights = [
        ops.convert_to_numpy(weight) for weight in prunable_weights(model)
    ]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    return zeros / sum(weight.size for weight in weights)

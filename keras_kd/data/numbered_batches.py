"""A tf.data pipeline of what NumPy makes, batch by batch."""

import functools
import weakref

import tensorflow as tf

from keras_kd import batch
from keras_kd.distribution import distribute_options


def inputs_of(x, y):
    """The arrays of a batch that are as long as its longest row."""
    return [*x.values(), *y.get(batch.TEACHER_INPUTS, {}).values()]


def numbered_batches(gather, like, count=None, length=None, ragged=inputs_of):
    """A data set of batches that NumPy makes by their numbers 0, 1, 2, ...

    Not by `from_generator`: on Python 3.11 it has the C library map every
    large block of the whole process anew from the kernel, which makes training
    on a CPU a third slower.

    Args:
        gather: Function from a number to `(x, y)`.
        like: One `(x, y)`, of the types that all others have too.
        count: How many batches; `None` is without end.
        length: Length of what is ragged, where it is fixed.
        ragged: Function from `(x, y)` to the list of its arrays `[batch,
            length, ...]` whose length is another one in each batch.
    """
    flat, of_any_length = tf.nest.flatten(like), ragged(*like)

    # TensorFlow never forgets what `numpy_function` is to call. It gets a
    # reference, and the data set holds `gather`, with all that it reads.
    call = functools.partial(_flat_batch, weakref.ref(gather))

    def at(number, held=gather):
        arrays = tf.numpy_function(
            call, [number], [array.dtype for array in flat]
        )
        for array, example in zip(arrays, flat):
            is_ragged = any(example is values for values in of_any_length)
            shape = [None, *example.shape[1:]]
            if is_ragged:
                shape[1] = length
            array.set_shape(shape)
        return tf.nest.pack_sequence_as(like, arrays)

    if count is None:
        numbers = tf.data.Dataset.counter()
    else:
        numbers = tf.data.Dataset.range(count)
    options = tf.data.Options()
    # There is nothing to tune, and the thread that would is waited for at the
    # end of each `fit`, `evaluate` and `predict`: it looks up 10 ms after the
    # start, then 20 ms later, then 40, up to a minute. What took 11 seconds
    # took 20.
    options.autotune.enabled = False
    batches = numbers.map(at).prefetch(4).with_options(options)
    return distribute_options(batches)


def _flat_batch(gather, number):
    return tf.nest.flatten(gather()(int(number)))

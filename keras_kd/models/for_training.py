"""Students as TensorFlow trains them fastest on a CPU."""

import tensorflow as tf

from keras_kd.models.block_gru import BlockGRU
from keras_kd.models.block_lstm import BlockLSTM
from keras_kd.models.layer_replacement import replace_layers
from keras_kd.models.trained_encoder import TrainedEncoder

FASTER = (BlockGRU, BlockLSTM, TrainedEncoder)


def for_training(model):
    """Gives a model with the same weights that is faster to train.

    Args:
        model: A functional `keras.Model` that is built.

    Returns:
        Another model; the model itself, if there is nothing to replace, or a
        GPU, for which Keras has faster ones.
    """
    if tf.config.list_logical_devices("GPU"):
        return model
    return replace_layers(
        model, faster_class, lambda layer: faster_class(layer)(layer)
    )


def faster_class(layer):
    """The class that computes what a layer does in training, or `None`."""
    matches = (kind for kind in FASTER if kind.computes_the_same(layer))
    return next(matches, None)

"""Word tables with rows of four or eight bits, most of a small student."""

import keras
import tensorflow as tf

from keras_kd.models.layer_replacement import replace_layers
from keras_kd.models.weight_quantization import LARGEST_SMALL_TABLE
from keras_kd.models.weight_quantization import is_large_table


class EmbeddingLookup(keras.layers.Layer):
    """An `Embedding` that becomes LiteRT's operation EMBEDDING_LOOKUP.

    Keras' own becomes GATHER, which has one scale for a whole table; this one
    has a scale for each row, which leaves four bits enough. It exists in the
    graph that is converted alone, and gives the same numbers.

    Args:
        layer: A built `keras.layers.Embedding`.

    Example:

    >>> layer = keras.layers.Embedding(1000, 8)
    >>> layer.build()
    >>> EmbeddingLookup(layer).compute_output_shape((1, 9))
    (1, 9, 8)
    """

    def __init__(self, layer):
        super().__init__(name=layer.name, trainable=False)
        self.supports_masking = layer.supports_masking
        self.layer = layer

    def call(self, ids):
        """Gives the rows of the table."""
        table = tf.convert_to_tensor(self.layer.embeddings)

        # The converter knows the operation by this name and this signature.
        @tf.function(
            experimental_implements="embedding_matmul",
            input_signature=[
                tf.TensorSpec(table.shape, table.dtype),
                tf.TensorSpec([None], tf.int32),
            ],
        )
        def look_up(table, ids):
            return tf.gather(table, ids)

        rows = look_up(table, tf.reshape(ids, [-1]))
        shape = tf.concat([tf.shape(ids), table.shape[1:]], axis=0)
        return tf.ensure_shape(
            tf.reshape(rows, shape), [*ids.shape, table.shape[1]]
        )

    def compute_mask(self, ids, mask=None):
        """The mask of the layer that this one stands for."""
        return self.layer.compute_mask(ids, mask)

    def compute_output_shape(self, ids_shape):
        """The shape of the ids, and the table's width."""
        return (*ids_shape, self.layer.output_dim)


def with_embedding_lookups(model):
    """Gives a model with the same weights, its large tables as lookups.

    Args:
        model: A functional `keras.Model` that is built.

    Raises:
        ValueError: It has no such table.
    """
    replaced = replace_layers(model, is_large_table, EmbeddingLookup)
    if replaced is model:
        raise ValueError(
            "There is no word table to make small: no keras.layers.Embedding "
            f"of more than {LARGEST_SMALL_TABLE} rows. Use 'dynamic'."
        )
    return replaced


def quantize_tables(content, bits):
    """Quantises a float32 file: its lookups' rows, and dense kernels to int8.

    Args:
        content: Bytes of a `.tflite` file.
        bits: 4 or 8, of a number in a table.

    Returns:
        Bytes. Activations stay float32, as in dynamic-range files.
    """
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer import quantizer

    names = qtyping.TFLOperationName
    tables = quantizer.Quantizer(bytearray(content))
    tables.add_dynamic_config(".*", names.EMBEDDING_LOOKUP, num_bits=bits)
    tables.add_dynamic_config(".*", names.FULLY_CONNECTED, num_bits=8)
    return with_buffers_inside(bytes(tables.quantize().quantized_model))


def with_buffers_inside(content):
    """Gives a file whose numbers stand in its flatbuffer, not behind it.

    ai-edge-quantizer puts those of larger models behind it, where whoever
    writes the flatbuffer anew, to add metadata, loses them.

    Args:
        content: Bytes of a `.tflite` file.

    Returns:
        Bytes.
    """
    import flatbuffers
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        # 0 and 1 are no places.
        if buffer.offset > 1:
            buffer.data = np.frombuffer(
                content, np.uint8, buffer.size, buffer.offset
            )
            buffer.offset = buffer.size = 0
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())

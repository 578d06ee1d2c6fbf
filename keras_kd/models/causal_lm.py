"""Causal language models: GPT-2 in KerasHub's layers, and its students."""

import keras

from keras_kd.models.huggingface_folder import read_config
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.models.initialization import check_rising


def is_causal(folder):
    """Whether a Hugging Face folder holds a model that tells the next token.

    Args:
        folder: str or path, a Hugging Face folder or a hub name.
    """
    return read_config(resolve_folder(folder)).get("model_type") == "gpt2"


def load_causal_lm(folder):
    """Loads GPT-2 from a Hugging Face folder.

    Args:
        folder: str or path, a folder with `config.json` and
            `model.safetensors`, or a hub name.

    Returns:
        A Functional `keras.Model`: int32 `token_ids` and `padding_mask`
        `[batch, length]` to logits `[batch, length, vocabulary]`: at each
        place those of the next token.
    """
    import keras_hub

    path = str(resolve_folder(folder))
    return _with_logits(keras_hub.models.GPT2Backbone.from_preset(path))


def causal_student(teacher, layers, dropout=None):
    """A causal model that begins as some of its teacher's layers.

    Args:
        teacher: A model of `load_causal_lm`.
        layers: Which of its layers, counted from 0, in rising order.
        dropout: Rate everywhere; by default the teacher's.

    Returns:
        A Functional `keras.Model`, as `load_causal_lm` gives.

    Raises:
        ValueError: There are no such layers.

    Source: Sanh et al. 2019, "DistilBERT", whose code makes DistilGPT2 so.
    """
    import keras_hub

    check_causal_layers(teacher, layers)
    block = teacher.get_layer(f"transformer_layer_{layers[0]}")
    embedding = teacher.get_layer("token_embedding")
    student = keras_hub.models.GPT2Backbone(
        vocabulary_size=embedding.input_dim,
        num_layers=len(layers),
        num_heads=block.num_heads,
        hidden_dim=embedding.output_dim,
        intermediate_dim=block.intermediate_dim,
        dropout=block.dropout if dropout is None else dropout,
        max_sequence_length=teacher.get_layer(
            "position_embedding"
        ).sequence_length,
    )
    pairs = {
        f"transformer_layer_{own}": f"transformer_layer_{index}"
        for own, index in enumerate(layers)
    }
    for layer in student.layers:
        if layer.weights:
            source = teacher.get_layer(pairs.get(layer.name, layer.name))
            layer.set_weights(source.get_weights())
    return _with_logits(student)


def check_causal_layers(teacher, layers):
    """Refuses layers that the teacher has not, or in another order.

    Args:
        teacher, layers: As in `causal_student`.

    Raises:
        ValueError: As said there.
    """
    names = [layer.name for layer in teacher.layers]
    count = sum(name.startswith("transformer_layer_") for name in names)
    check_rising(layers, count, "decoder")


def _with_logits(backbone):
    logits = backbone.token_embedding(backbone.output, reverse=True)
    # The type is float32 whatever the precision of the layers is.
    logits = keras.layers.Activation("linear", dtype="float32", name="logits")(
        logits
    )
    return keras.Model(backbone.input, logits, name="gpt2")

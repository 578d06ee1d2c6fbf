"""Masked language models that begin as some of their teacher's layers."""

from keras_kd.models.bert import bert
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.huggingface_export import config_of
from keras_kd.models.initialization import init_from_teacher
from keras_kd.models.narrowing import narrow_from_teacher
from keras_kd.models.pretrained import load_pretrained


def masked_student(
    folder,
    teacher,
    layers,
    hidden_dim=None,
    num_heads=None,
    intermediate_dim=None,
    sample=None,
    allow_pickle=False,
):
    """Makes a masked language model of some encoder layers of its teacher.

    At the teacher's width the head is copied as well. A narrower student's
    encoder is that of `narrow_from_teacher`; of its head the biases of the
    words are copied, and the dense layer begins afresh.

    Args:
        folder: The teacher's Hugging Face folder.
        teacher: Its model, `load_pretrained(folder, "masked_lm")`.
        layers: Which layers, counted from 0, in rising order.
        hidden_dim, num_heads, intermediate_dim, sample: As in
            `keras_kd.narrow_from_teacher`; by default all is as wide as in the
            teacher.
        allow_pickle: As in `load_pretrained`.

    Returns:
        A Functional `keras.Model`, as `load_pretrained(folder, "masked_lm")`.

    Raises:
        ValueError: As `narrow_from_teacher`.
    """
    sizes = (hidden_dim, num_heads, intermediate_dim)
    if not any(sizes):
        return init_from_teacher(teacher, layers)
    narrow = narrow_from_teacher(
        load_pretrained(folder, None, allow_pickle=allow_pickle),
        layers,
        *sizes,
        sample=sample,
    )
    config = config_of(narrow, None)
    student = bert(read_settings(config), "masked_lm")
    given = {layer.name: layer for layer in narrow.layers}
    for layer in student.layers:
        if layer.name == "masked_lm_bias":
            layer.set_weights(teacher.get_layer(layer.name).get_weights())
        elif layer.weights and layer.name in given:
            layer.set_weights(given[layer.name].get_weights())
    return student

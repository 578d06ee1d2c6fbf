"""Students that begin as some of their teacher's layers."""

import functools
import re

import keras

from keras_kd import batch


def init_from_teacher(teacher, layers, num_outputs=None, dropout=None):
    """Makes a student of some encoder layers of its teacher.

    Embeddings, the chosen layers and the head are copied, and all else is left
    out. With all layers chosen, the student's logits are the teacher's. The
    weights are the student's own: training it never changes the teacher.

    The teacher may be what `load_pretrained` gives, a KerasHub backbone or
    classifier, a `transformer_student` or any other Functional model with one
    chain of KerasHub's `TransformerEncoder` layers. Models inside of it are
    unpacked, so that the student's layers stand side by side, the encoder
    layers as `transformer_layer_0`, `transformer_layer_1`, ... under their
    names in the teacher, counted anew.

    Args:
        teacher: The teacher, a Functional `keras.Model`.
        layers: Which encoder layers, counted from 0, each number above the one
            before: a layer reads what a layer below it has written, so that
            another order, or a layer twice, would be of no use.
        num_outputs: Number of logits. A head of so many is copied, another one
            begins at random; `None` copies the teacher's.
        dropout: Rate everywhere; by default the teacher's own rates.

    Returns:
        A Functional `keras.Model` with the teacher's inputs, of Keras' and
        KerasHub's layers: it reads the teacher's tokens, and loads where
        keras_kd is not installed. It computes in the precision that
        `keras.config.dtype_policy()` says, what gives its outputs in float32.

    Raises:
        ValueError: There are no such layers in the teacher, they are not one
            chain, or it has no head to be replaced.

    Example:

    >>> from keras_kd import bert_student
    >>> teacher = bert_student(1000, 3, num_layers=6, hidden_dim=16)
    >>> student = init_from_teacher(teacher, layers=[0, 2, 5], num_outputs=2)
    >>> encoder_layers(student)[-1].name, student.output.shape
    ('transformer_layer_2', (None, 2))

    Source: Sanh et al. 2019, "DistilBERT", section 3, and Sun et al. 2019,
    "Patient Knowledge Distillation", where it is the first layers.
    """
    student, pairs = copy_graph(teacher, layers, num_outputs, dropout)
    for own, copy in pairs:
        copy.set_weights(own.get_weights())
    return student


def copy_graph(
    teacher,
    layers,
    num_outputs=None,
    dropout=None,
    resize=lambda layer, config: None,
):
    """The model of `init_from_teacher`, with random weights.

    Args:
        teacher: As there.
        layers: As there.
        num_outputs: As there.
        dropout: As there.
        resize: Function of a layer of the teacher and its configuration, which
            it may change.

    Returns:
        `(student, pairs)`: pairs of a layer of the teacher and the student's,
        of all those with weights but for a fresh head.
    """
    encoders = encoder_layers(teacher)
    check_layers(teacher, layers)
    names = {
        id(encoders[index]): re.sub(r"_?\d*$", "", encoders[index].name)
        + f"_{number}"
        for number, index in enumerate(layers)
    }
    head = logits_layer(teacher)
    last = [_source(tensor) for tensor in teacher.outputs]
    if head is None and num_outputs is not None:
        raise ValueError(
            f"`num_outputs` must be left out: '{teacher.name}' has no dense "
            "layer that gives its logits and could be replaced. Received: "
            f"{num_outputs}. Give a teacher with a head, such as "
            "`load_pretrained(folder, num_outputs=...)`."
        )
    copies, pairs, stream = {}, [], []

    def call(layer, *args, **kwargs):
        if layer in encoders:
            _check_chain(teacher, layer, args[0], stream)
            stream.append((layer, args[0]))
            if id(layer) not in names:
                return args[0]
        if id(layer) not in copies:
            copies[id(layer)] = own = _fresh(layer)
            fresh_head = layer is head and own.units != head.units
            if getattr(layer, "weights", None) and not fresh_head:
                pairs.append((layer, own))
        outputs = copies[id(layer)](*args, **kwargs)
        if layer in encoders:
            stream[-1] = (layer, outputs)
        return outputs

    def _fresh(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.Layer):
            policy = keras.config.dtype_policy().name
            config["dtype"] = "float32" if layer in last else policy
            config["trainable"] = True  # A teacher is often frozen.
        else:
            # Operations of several models may have the same automatic name.
            config.pop("name", None)
        if layer is head and num_outputs is not None:
            config["units"] = num_outputs
        if dropout is not None:
            for key in ("rate", "dropout"):
                if isinstance(config.get(key), (int, float)):
                    config[key] = dropout
        config["name"] = names.get(id(layer), config.get("name"))
        resize(layer, config)
        return type(layer).from_config(config)

    inputs = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype=x.dtype, name=x.name),
        teacher._inputs_struct,
    )
    outputs = walk(teacher, inputs, call)
    return keras.Model(inputs, outputs, name=teacher.name), pairs


def walk(model, inputs, call):
    """Computes a Functional model's outputs, each layer by `call`.

    `Functional.call` goes the same way. Models inside of the model are walked
    through as well.

    Args:
        model: A Functional `keras.Model`.
        inputs: Its inputs: tensors, arrays or `keras.Input`.
        call: Function `(layer, *args, **kwargs)` that gives the outputs.
    """

    def call_layer(layer, *args, **kwargs):
        if hasattr(layer, "operations"):
            return walk(layer, args[0], call)
        return call(layer, *args, **kwargs)

    return model._run_through_graph(
        model._standardize_inputs(inputs),
        operation_fn=lambda layer: functools.partial(call_layer, layer),
    )


def encoder_layers(model):
    """The `TransformerEncoder` layers of a model, in the order of its graph.

    Raises:
        ValueError: The model is not Functional, or has none.
    """
    from keras_hub.layers import TransformerEncoder

    batch.input_names(model)
    found = [
        layer
        for layer in graph_layers(model)
        if isinstance(layer, TransformerEncoder)
    ]
    if not found:
        raise ValueError(
            "A student's layers are copied from KerasHub's TransformerEncoder "
            f"layers. Received: the model '{model.name}', which has none, but "
            f"{[layer.name for layer in model.layers][:8]}. Give a BERT-like "
            "teacher, or build the student from scratch (`build_student`)."
        )
    return found


def graph_layers(model):
    """The layers of a Functional model, and of the models inside of it."""
    for layer in model.operations:
        if hasattr(layer, "operations"):
            yield from graph_layers(layer)
        elif isinstance(layer, keras.layers.Layer):
            yield layer


def check_layers(teacher, layers):
    """Refuses layers that the teacher has not, or in another order.

    Args:
        teacher: The teacher.
        layers: As in `init_from_teacher`.

    Raises:
        ValueError: As said there.
    """
    check_rising(layers, len(encoder_layers(teacher)), "encoder")


def check_rising(layers, count, kind):
    """Refuses layers that are not among `count`, or in another order."""
    layers = list(layers)
    rising = all(low < high for low, high in zip(layers, layers[1:]))
    if not layers or not rising or layers[0] < 0 or layers[-1] >= count:
        raise ValueError(
            f"The student's layers must be numbers from 0 to {count - 1}, "
            f"each above the one before: the teacher has {count} {kind} "
            f"layers. Received: {layers}."
        )


def logits_layer(model):
    """The dense layer that gives a model's logits; `None` if none does."""
    output = batch.named_outputs(model.output).get(batch.LOGITS)
    layer = None if output is None else _source(output)
    return layer if isinstance(layer, keras.layers.Dense) else None


def _source(tensor):
    """The layer that a symbolic tensor comes from, in whatever model."""
    layer, _, index = tensor._keras_history
    while hasattr(layer, "operations"):
        layer, _, index = layer.outputs[index]._keras_history
    return layer


def _check_chain(teacher, layer, inputs, stream):
    """Refuses an encoder layer that does not read what the last one gave."""
    if any(layer is before for before, _ in stream):
        reason = f"uses the layer '{layer.name}' more than once"
    elif stream and inputs is not stream[-1][1]:
        reason = (
            f"has more than one chain of them: '{layer.name}' does not read "
            f"what '{stream[-1][0].name}' gives"
        )
    else:
        return
    raise ValueError(
        "The layers of one chain of encoder layers can be chosen. Received: "
        f"the model '{teacher.name}', which {reason}. Of several teachers, "
        "give the one that the student is to begin as."
    )

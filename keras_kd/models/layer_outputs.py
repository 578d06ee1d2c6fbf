"""What the layers of a model compute, by name, in one forward pass."""

import contextlib
import functools

import keras
from keras import ops

from keras_kd import batch
from keras_kd.models.inference_encoder import InferenceEncoder
from keras_kd.models.layer_replacement import is_functional
from keras_kd.models.layer_replacement import leaves

HIDDEN_STATES = "hidden_states"
ATTENTION = (
    "attention_scores",
    "attention_probabilities",
    "queries",
    "keys",
    "values",
)
EMBEDDINGS = "embeddings"
POOLED = "pooled"
LAYERS = "layers"


def layer_outputs(model, names):
    """A model that gives some layers' outputs beside the model's own.

    | name | shape |
    |---|---|
    | `hidden_states/i` | `[batch, length, width]` |
    | `attention_scores/i` | `[batch, heads, length, length]` |
    | `attention_probabilities/i` | `[batch, heads, length, length]` |
    | `queries/i`, `keys/i`, `values/i` | `[batch, length, heads, width]` |
    | `embeddings` | `[batch, length, width]` |
    | `pooled` | `[batch, width]` |
    | `layers/...` | what the layer gives |

    `hidden_states/i` is what block i gives, and `hidden_states/0`, or
    `embeddings`, what the first block reads. Scores are the scaled products of
    queries and keys, before mask and softmax; probabilities come after both,
    before the dropout. `pooled` is what the last dense layer reads, before its
    dropout. `layers/backbone/dense` is the output of any layer, by the names
    on the way to it.

    Blocks are the layers with attention inside; in a model without any, the
    recurrent ones. They are counted in the order in which they are called, in
    models inside of models too.

    Args:
        model: Functional `keras.Model`, also one of KerasHub. It is not
            changed, and shares its layers with the new one.
        names: Names as in the table.

    Returns:
        Functional `keras.Model` with the same inputs: a dictionary of the
        model's own outputs (a lone tensor is called `logits`) and the named
        ones. Random states are shared: dropout is the model's own.

    Raises:
        ValueError: The model has no such layer; says which it has.

    Example:

    ```python
    names = ["hidden_states/3", "attention_scores/3"]
    states = layer_outputs(bert, names)(inputs)["hidden_states/3"]
    ```
    """
    names = list(dict.fromkeys(names))
    with_attention = {
        name.rpartition("/")[2]
        for name in names
        if name.partition("/")[0] in ATTENTION
    }
    tracing = _Tracing(model, with_attention)
    return keras.Model(
        tracing.inputs,
        {**tracing.outputs, **{name: tracing.find(name) for name in names}},
        name=model.name,
    )


def observe(model, names):
    """The model itself, if it gives all of some names, else `layer_outputs`."""
    names = set(names) - set(batch.named_outputs(model.output))
    return layer_outputs(model, sorted(names)) if names else model


def block_count(model):
    """How many blocks `layer_outputs` counts in a model."""
    return len(_Tracing(model).blocks)


class _Tracing:
    """Calls a functional model once more, layer by layer, and looks on.

    Args:
        model: Functional `keras.Model`.
        with_attention: Numbers of the blocks whose attention is to be seen,
            as strings.
    """

    def __init__(self, model, with_attention=()):
        batch.input_names(model)
        self.model = model
        self.with_attention = with_attention
        self.by_path = {}
        self.blocks = []  # (input, outputs by the names in ATTENTION, output)
        self.pooled = None
        self._before_dropout = {}
        self._names = {}
        self._attends = any(map(_attentions, leaves(model)))
        self._is_block = _attentions if self._attends else _is_recurrent
        self.inputs = keras.tree.map_structure(
            lambda x: keras.Input(x.shape[1:], dtype=x.dtype, name=x.name),
            model._inputs_struct,
        )
        outputs = self._run(model, self.inputs, ())
        if isinstance(outputs, (list, tuple)) and len(outputs) == 1:
            (outputs,) = outputs
        self.outputs = batch.named_outputs(outputs)

    def _run(self, model, inputs, path):
        # What `Functional.call` does; Keras' own `clone_model` goes the same
        # way, but shows nothing of models inside of the model.
        return model._run_through_graph(
            model._standardize_inputs(inputs),
            operation_fn=lambda layer: functools.partial(
                self._call, layer, (*path, layer.name)
            ),
        )

    def _call(self, layer, path, *args, **kwargs):
        if is_functional(layer):
            outputs = self._run(layer, args[0], path)
        elif self._is_block(layer):
            outputs = self._call_block(layer, *args, **kwargs)
        else:
            outputs = self._named_once(layer)(*args, **kwargs)
        if isinstance(layer, keras.layers.Dropout):
            self._before_dropout[id(outputs)] = args[0]
        elif isinstance(layer, keras.layers.Dense):
            self.pooled = self._before_dropout.get(id(args[0]), args[0])
        self.by_path["/".join(path)] = outputs
        return outputs

    def _call_block(self, layer, *args, **kwargs):
        attention = {}
        number = str(len(self.blocks) + 1)
        if self._attends and number in self.with_attention:
            if isinstance(layer, InferenceEncoder):
                layer = layer.layer
            outputs = _WithAttention(layer)(*args, **kwargs)
            attention = {name: outputs.pop(name) for name in ATTENTION}
            outputs = outputs["outputs"]
        else:
            outputs = self._named_once(layer)(*args, **kwargs)
        first = keras.tree.flatten(outputs)[0]
        self.blocks.append((args[0], attention, first))
        return outputs

    def _named_once(self, layer):
        # Two models inside of one may have layers of one name, as the teachers
        # of an ensemble do, and side by side they may not.
        if self._names.setdefault(layer.name, layer) is layer:
            return layer
        return _Renamed(layer)

    def find(self, name):
        """The tensor of a name."""
        kind, _, which = name.partition("/")
        if name == EMBEDDINGS:
            kind, which = HIDDEN_STATES, "0"
        found = None
        if kind == HIDDEN_STATES and which.isdigit() and self.blocks:
            states = [self.blocks[0][0], *(block[2] for block in self.blocks)]
            found = dict(enumerate(states)).get(int(which))
        elif kind in ATTENTION and which.isdigit():
            attentions = [{}, *(block[1] for block in self.blocks)]
            found = dict(enumerate(attentions)).get(int(which), {}).get(kind)
        elif name == POOLED:
            found = self.outputs.get("pooled_output", self.pooled)
        elif kind == LAYERS:
            found = self.by_path.get(which)
        if found is None:
            raise ValueError(self._unknown(name))
        return found

    def _unknown(self, name):
        return (
            f"Model '{self.model.name}' has no output '{name}'. It has "
            f"{len(self.blocks)} blocks "
            f"({'with' if self._attends else 'without'} attention): "
            f"'{HIDDEN_STATES}/0' to '{HIDDEN_STATES}/{len(self.blocks)}'"
            + (f", '{ATTENTION[0]}/1' and so on" if self._attends else "")
            + f", '{POOLED}', and '{LAYERS}/' followed by one of "
            f"{sorted(self.by_path)}."
        )


class _WithAttention(keras.layers.Layer):
    """Calls a layer, and gives what its first attention computes as well.

    Args:
        layer: A layer with a `keras.layers.MultiHeadAttention` inside.
    """

    def __init__(self, layer):
        super().__init__(dtype=layer.dtype_policy)
        self.layer = layer

    def build(self, *args, **kwargs):
        pass  # The layer is.

    def call(self, *args, training=None, **kwargs):
        attention = _attentions(self.layer)[0]
        with _seen(attention) as seen:
            outputs = self.layer(*args, training=training, **kwargs)
        return {"outputs": outputs, **seen}


class _Renamed(keras.layers.Layer):
    """A layer, or an operation, under another name.

    Args:
        layer: The layer; its weights are shared.
    """

    def __init__(self, layer):
        super().__init__(autocast=False)
        self.layer = layer

    def build(self, *args, **kwargs):
        pass  # The layer is.

    def call(self, *args, **kwargs):
        return self.layer(*args, **kwargs)


@contextlib.contextmanager
def _seen(attention):
    """Fills a dictionary with what an attention layer computes meanwhile.

    `_compute_attention` is the method that Keras has one override to change
    how attention is computed.
    """
    seen = {}
    compute = attention._compute_attention

    def compute_and_see(
        query, key, value, attention_mask=None, training=None, *_, **kwargs
    ):
        kwargs["return_attention_scores"] = True
        output, probabilities = compute(
            query, key, value, attention_mask, training, **kwargs
        )
        scaled = query * ops.cast(attention._inverse_sqrt_key_dim, query.dtype)
        seen.update(
            attention_scores=ops.einsum(
                attention._dot_product_equation, key, scaled
            ),
            attention_probabilities=probabilities,
            queries=query,
            keys=key,
            values=value,
        )
        return output, probabilities

    # Past Keras' `__setattr__`, which would look for layers in it.
    object.__setattr__(attention, "_compute_attention", compute_and_see)
    try:
        yield seen
    finally:
        object.__delattr__(attention, "_compute_attention")


def _attentions(layer):
    """The attention layers in a layer, itself included."""
    if not isinstance(layer, keras.layers.Layer):
        return []
    return [
        inner
        for inner in layer._flatten_layers()
        if isinstance(inner, keras.layers.MultiHeadAttention)
    ]


def _is_recurrent(layer):
    kinds = (keras.layers.RNN, keras.layers.Bidirectional)
    return isinstance(layer, kinds)

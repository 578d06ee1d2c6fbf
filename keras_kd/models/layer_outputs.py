"""What the layers of a model compute, by name, in one forward pass."""

import contextlib
import functools
import inspect
import typing

import keras
from keras import ops

from keras_kd import batch
from keras_kd.models.blocks import attentions
from keras_kd.models.blocks import block_test
from keras_kd.models.blocks import graph_of
from keras_kd.models.blocks import shows_attention
from keras_kd.models.inference_encoder import InferenceEncoder

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

    Blocks are the layers with attention inside, whatever its class, and others
    of their kind; in a model without any, the recurrent layers; without these
    too, layers with dense ones and a layer normalisation inside, as FNet's.
    They are counted in the order in which they are called, in models inside of
    models too: of BART and T5 the encoder's first, then the decoder's.

    A decoder's attention is that to its own tokens. It can be read where it is
    a `keras.layers.MultiHeadAttention` (BERT, RoBERTa, DistilBERT, ALBERT,
    ELECTRA, GPT-2, OPT, BART); of other backbones there is all the rest.

    Args:
        model: Functional `keras.Model`, also one of KerasHub. It is not
            changed, and shares its layers with the new one.
        names: Names as in the table.

    Returns:
        Functional `keras.Model` with the same inputs: a dictionary of the
        model's own outputs (a lone tensor is called `logits`) and the named
        ones. Random states are shared: dropout is the model's own.

    Raises:
        ValueError: The model has no such layer, or does not show what it
            computes; says what there is.

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


class _Block(typing.NamedTuple):
    """A block, what it reads and gives, and its attention if that was asked."""

    layer: keras.layers.Layer
    reads: object
    gives: object
    attention: dict


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
        self.blocks = []
        self.pooled = None
        self._before_dropout = {}
        self._names = {}
        self._is_block = block_test(model)
        graph = graph_of(model)
        self.inputs = keras.tree.map_structure(
            lambda x: keras.Input(x.shape[1:], dtype=x.dtype, name=x.name),
            graph._inputs_struct,
        )
        outputs = self._run(graph, self.inputs, ())
        if isinstance(outputs, (list, tuple)) and len(outputs) == 1:
            (outputs,) = outputs
        self.outputs = batch.named_outputs(outputs)

    def _run(self, graph, inputs, path):
        # What `Functional.call` does; Keras' own `clone_model` goes the same
        # way, but shows nothing of models inside of the model.
        return graph._run_through_graph(
            graph._standardize_inputs(inputs),
            operation_fn=lambda layer: functools.partial(
                self._call, layer, (*path, layer.name)
            ),
        )

    def _call(self, layer, path, *args, **kwargs):
        graph = graph_of(layer)
        if graph is not None:
            outputs = self._run(graph, _read(layer, args, kwargs), path)
        elif self._is_block(layer):
            outputs = self._call_block(layer, *args, **kwargs)
        else:
            outputs = self._named_once(layer)(*args, **kwargs)
        if isinstance(layer, keras.layers.Dropout):
            self._before_dropout[id(outputs)] = _read(layer, args, kwargs)
        elif isinstance(layer, keras.layers.Dense):
            read = _read(layer, args, kwargs)
            self.pooled = self._before_dropout.get(id(read), read)
        self.by_path["/".join(path)] = outputs
        return outputs

    def _call_block(self, layer, *args, **kwargs):
        attention = {}
        number = str(len(self.blocks) + 1)
        read = _read(layer, args, kwargs)
        if number in self.with_attention and shows_attention(layer):
            if isinstance(layer, InferenceEncoder):
                layer = layer.layer
            attention = _WithAttention(layer)(*args, **kwargs)
            outputs = attention.pop("outputs")
        else:
            outputs = self._named_once(layer)(*args, **kwargs)
        first = keras.tree.flatten(outputs)[0]
        self.blocks.append(_Block(layer, read, first, attention))
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
            states = [self.blocks[0].reads, *(b.gives for b in self.blocks)]
            found = dict(enumerate(states)).get(int(which))
        elif kind in ATTENTION and which.isdigit():
            attentions = [{}, *(block.attention for block in self.blocks)]
            found = dict(enumerate(attentions)).get(int(which), {}).get(kind)
        elif name == POOLED:
            found = self._pooled_output()
        elif kind == LAYERS:
            found = self.by_path.get(which)
        if found is None:
            raise ValueError(self._unknown(name))
        return found

    def _pooled_output(self):
        return self.outputs.get("pooled_output", self.pooled)

    def _unknown(self, name):
        count = len(self.blocks)
        shown = [
            number
            for number, block in enumerate(self.blocks, 1)
            if shows_attention(block.layer)
        ]
        there = []
        if count:
            there.append(f"'{HIDDEN_STATES}/0' to '{HIDDEN_STATES}/{count}'")
        if shown:
            there.append(f"'{ATTENTION[0]}/{shown[0]}' and so on")
        if self._pooled_output() is not None:
            there.append(f"'{POOLED}'")
        there.append(f"'{LAYERS}/' followed by one of {sorted(self.by_path)}")
        of = "none" if not shown else "all" if len(shown) == count else shown
        return (
            f"Model '{self.model.name}' has no output '{name}'. It has {count} "
            f"blocks; attention can be read of {of} (of "
            "keras.layers.MultiHeadAttention alone). Take "
            f"{', or '.join(there)}."
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
        attention = attentions(self.layer)[0]
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


def _read(layer, args, kwargs):
    """What a layer is given first, by position or by keyword."""
    if args:
        return args[0]
    names = [*inspect.signature(layer.call).parameters, *kwargs]
    return next(kwargs[name] for name in names if name in kwargs)

"""Students that begin as a narrower copy of some of their teacher's layers."""

import keras
import numpy as np

from keras_kd import batch
from keras_kd.models.embeddings import token_embedding
from keras_kd.models.initialization import check_layers
from keras_kd.models.initialization import copy_graph
from keras_kd.models.initialization import encoder_layers
from keras_kd.models.initialization import graph_layers
from keras_kd.models.initialization import init_from_teacher
from keras_kd.models.initialization import logits_layer
from keras_kd.models.initialization import walk
from keras_kd.models.narrow_weights import Basis
from keras_kd.models.narrow_weights import narrow_attention
from keras_kd.models.narrow_weights import narrow_units

# Of the texts that are made up where none are given.
SAMPLE_ROWS, SAMPLE_LENGTH = 64, 32


def narrow_from_teacher(
    teacher,
    layers,
    hidden_dim=None,
    num_heads=None,
    intermediate_dim=None,
    num_outputs=None,
    dropout=None,
    sample=None,
):
    """Makes a student of some encoder layers of its teacher, but narrower.

    All hidden states are projected on one basis P, `[teacher's width,
    hidden_dim]`: the principal components of what the chosen layers give for
    the sample. With it

    | weights | become |
    |---|---|
    | word, position and token type tables | `table P` |
    | what reads hidden states | `P^T W`; what P leaves out of the states adds \
its mean to the bias |
    | what is added to hidden states | `W P` |
    | queries and keys | of each head, the best approximation of their scores \
by so many columns (SVD) |
    | values and output | of each head, that of what it adds (SVD) |
    | heads, where there are fewer | those that add most |
    | feed-forward neurons, the pooler's units | those that vary most; \
the others add their mean to the bias |
    | layer normalisation | scale and offset of each component are fitted to \
the teacher's |

    What is exact: the embeddings before their normalisation, and the mean that
    a normalisation subtracts, whose direction is always in the basis; heads
    that are kept at their width and neurons that are kept, as functions of the
    states that they read. What is approximate: the states, whose components
    outside of the basis are lost; normalisations, whose scales are those of
    single components of the teacher; heads that get narrower. With the
    teacher's sizes it is `init_from_teacher`, and nothing is approximate.

    Args:
        teacher: As in `init_from_teacher`; its layers normalise after they
            add, as BERT's do.
        layers: As there.
        hidden_dim: Width of the student, by default and at most the teacher's.
        num_heads: Attention heads, by default as many as the teacher has; a
            head can not be wider than the teacher's.
        intermediate_dim: Width of the feed-forward layers; by default narrower
            by as much as the hidden states.
        num_outputs: As there.
        dropout: As there.
        sample: Dictionary of the teacher's inputs for some hundred texts like
            those that the student is to read. By default random tokens, which
            know nothing of how words follow one another.

    Returns:
        A Functional `keras.Model`, as there.

    Raises:
        ValueError: As there; a size that is not possible; or a layer of the
            teacher that can not be made narrower.

    Example:

    >>> from keras_kd import bert_student
    >>> teacher = bert_student(1000, 2, num_layers=3, hidden_dim=16)
    >>> student = narrow_from_teacher(teacher, [0, 2], hidden_dim=12)
    >>> student.get_layer("transformer_layer_1").output.shape
    (None, None, 12)

    Source: principal components of hidden states, as in Ashkboos et al. 2024,
    "SliceGPT", here for layers that normalise after they add.
    """
    check_layers(teacher, layers)
    chosen = [encoder_layers(teacher)[index] for index in layers]
    full = _full_sizes(teacher)
    width = full[0]
    sizes = narrow_sizes(teacher, hidden_dim, num_heads, intermediate_dim)
    if sizes == full:
        return init_from_teacher(teacher, layers, num_outputs, dropout)
    hidden_dim, num_heads, intermediate_dim = sizes
    head = logits_layer(teacher)
    _check_kinds(teacher, head)

    def resize(layer, config):
        if layer in chosen:
            config["num_heads"] = num_heads
            config["intermediate_dim"] = intermediate_dim
        elif isinstance(layer, keras.layers.Dense):
            if layer is not head and layer.units == width:
                config["units"] = hidden_dim
        else:
            for key in {"output_dim", "embedding_dim"} & set(config):
                config[key] = hidden_dim

    student, pairs = copy_graph(teacher, layers, num_outputs, dropout, resize)
    if sample is None:
        sample = _random_sample(teacher)
    seen = _watch(teacher, chosen, sample)
    basis = Basis(
        [seen[id(one)][key] for one in chosen for key in ("x", "middle", "y")],
        hidden_dim,
    )
    reader = None  # Of the pooler's units, those that are kept.
    for own, copy in pairs:
        states = seen.get(id(own))
        if own in chosen:
            _narrow_encoder(own, copy, states, basis)
        elif isinstance(own, keras.layers.LayerNormalization):
            copy.set_weights(basis.normalization(own, *states))
        elif own is head and reader is not None:
            copy.set_weights(reader)
        elif isinstance(own, keras.layers.Dense):
            weights = basis.reading(own, states[0])
            if copy.units < own.units:
                after = None
                if any(one is head for one, _ in pairs):
                    after = head.get_weights()
                weights, reader = narrow_units(
                    weights, states[1], after, copy.units
                )
            copy.set_weights(weights)
        else:
            copy.set_weights([w @ basis.matrix for w in own.get_weights()])
    return student


def _narrow_encoder(own, copy, states, basis):
    narrow_attention(
        own._self_attention_layer, copy._self_attention_layer,
        states["x"], basis,
    )  # fmt: skip
    copy._self_attention_layer_norm.set_weights(
        basis.normalization(
            own._self_attention_layer_norm, states["added"], states["middle"]
        )
    )
    inner, output = narrow_units(
        basis.reading(own._feedforward_intermediate_dense, states["middle"]),
        states["inner"],
        [w @ basis.matrix for w in own._feedforward_output_dense.get_weights()],
        copy.intermediate_dim,
    )
    copy._feedforward_intermediate_dense.set_weights(inner)
    copy._feedforward_output_dense.set_weights(output)
    copy._feedforward_layer_norm.set_weights(
        basis.normalization(
            own._feedforward_layer_norm, states["added_again"], states["y"]
        )
    )


def _watch(teacher, chosen, sample):
    """What the chosen layers compute on a sample, by the layer's `id`.

    Dense layers and normalisations: `(inputs, outputs)`; encoder layers: a
    dictionary. All are `[tokens that are no padding, width]`, float64.
    """
    inputs = batch.select_inputs(teacher, sample)
    real = np.ones(np.shape(keras.tree.flatten(inputs)[0]), bool)
    if batch.PADDING_MASK in sample:
        real = np.asarray(sample[batch.PADDING_MASK]).astype(bool)
    seen = {}

    def flat(x):
        x = keras.ops.convert_to_numpy(x).astype("float64")
        return x[real] if x.ndim == 3 else x

    def call(layer, *args, **kwargs):
        if layer in encoders:
            if layer not in chosen:
                return args[0]
            steps = _steps(layer, args[0], real[:, None, :])
            seen[id(layer)] = {key: flat(x) for key, x in steps.items()}
            return steps["y"]
        outputs = layer(*args, **kwargs)
        kinds = (keras.layers.Dense, keras.layers.LayerNormalization)
        if isinstance(layer, kinds):
            seen[id(layer)] = flat(args[0]), flat(outputs)
        return outputs

    encoders = encoder_layers(teacher)
    walk(
        teacher,
        keras.tree.map_structure(
            lambda x: keras.ops.convert_to_tensor(x, "int32"), inputs
        ),
        call,
    )
    return seen


def _steps(layer, x, mask):
    """What `TransformerEncoder.call` computes, step by step."""
    attended = layer._self_attention_layer(x, x, attention_mask=mask)
    added = x + attended
    middle = layer._self_attention_layer_norm(added)
    inner = layer._feedforward_intermediate_dense(middle)
    added_again = middle + layer._feedforward_output_dense(inner)
    return {
        "x": x,
        "added": added,
        "middle": middle,
        "inner": inner,
        "added_again": added_again,
        "y": layer._feedforward_layer_norm(added_again),
    }


def _random_sample(teacher):
    """Rows of random tokens for the inputs that BERT has."""
    longest = [
        layer.sequence_length
        for layer in graph_layers(teacher)
        if isinstance(getattr(layer, "sequence_length", None), int)
    ]
    shape = (SAMPLE_ROWS, min([SAMPLE_LENGTH, *longest]))
    tokens = np.random.default_rng(0).integers(
        token_embedding(teacher).input_dim, size=shape
    )
    return {
        batch.TOKEN_IDS: tokens,
        batch.SEGMENT_IDS: np.zeros(shape, "int32"),
        batch.PADDING_MASK: np.ones(shape, "int32"),
    }


def _full_sizes(teacher):
    """The teacher's width, its heads, and the width between."""
    layer = encoder_layers(teacher)[0]
    width = layer._feedforward_output_dense.units
    return width, layer.num_heads, layer.intermediate_dim


def narrow_sizes(
    teacher, hidden_dim=None, num_heads=None, intermediate_dim=None
):
    """The sizes of a narrower copy, those that are left out filled in.

    Args:
        teacher, hidden_dim, num_heads, intermediate_dim: As in
            `narrow_from_teacher`.

    Returns:
        `(hidden_dim, num_heads, intermediate_dim)`.

    Raises:
        ValueError: No copy has such sizes.
    """
    width, heads, inner = _full_sizes(teacher)
    hidden_dim = hidden_dim or width
    num_heads = num_heads or heads
    if intermediate_dim is None:
        intermediate_dim = inner * hidden_dim // width
    reason = None
    if not 2 <= hidden_dim <= width:
        reason = f"`hidden_dim` from 2 to {width}"
    elif not 1 <= num_heads <= heads or hidden_dim % num_heads:
        reason = f"`num_heads` of {heads} at the most, dividing {hidden_dim}"
    elif hidden_dim // num_heads > width // heads:
        reason = (
            f"heads no wider than {width // heads}, so `num_heads` of "
            f"{-(-hidden_dim * heads // width)} or more"
        )
    elif not 1 <= intermediate_dim <= inner:
        reason = f"`intermediate_dim` from 1 to {inner}"
    if reason:
        raise ValueError(
            f"A copy of this teacher must have {reason}. Received: hidden_dim="
            f"{hidden_dim}, num_heads={num_heads}, intermediate_dim="
            f"{intermediate_dim}. Give other sizes, or build the student from "
            "scratch (`bert_student`)."
        )
    return hidden_dim, num_heads, intermediate_dim


def _check_kinds(teacher, head):
    """Refuses a teacher with a layer that there is no rule for."""
    from keras_hub import layers

    tables = (
        keras.layers.Embedding,
        layers.PositionEmbedding,
        layers.TokenAndPositionEmbedding,
    )
    dense = []
    for layer in graph_layers(teacher):
        known = isinstance(layer, (*tables, keras.layers.LayerNormalization))
        if isinstance(layer, layers.TransformerEncoder):
            known = not layer.normalize_first
        if isinstance(layer, keras.layers.Dense):
            dense += [layer] if layer is not head else []
            known = len(dense) < 2
        if layer.weights and not known:
            break
    else:
        if head is not None or batch.LOGITS not in batch.named_outputs(
            teacher.output
        ):
            return
    raise ValueError(
        f"There is no rule for a narrower copy of the layer '{layer.name}' "
        f"({type(layer).__name__}) of '{teacher.name}'. Expected embeddings, "
        "encoder layers that normalise after they add, at most one dense layer "
        "and one that gives the logits. Load a checkpoint with another head "
        "(`task_head=None`), or copy it at its own width."
    )

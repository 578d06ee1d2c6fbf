"""The names of Hugging Face's tensors beside the paths of Keras' variables.

One table for BERT, RoBERTa, XLM-R and DistilBERT and their heads. It is read
both ways: `Tensor.to_keras` for loading, `Tensor.to_huggingface` for writing.
"""

from dataclasses import dataclass

import numpy as np

# (Hugging Face module, Keras layer, kind), the kinds as in `_PARTS`.
_BERT_LAYER = (
    ("attention.self.query", "self_attention_layer/query", "heads"),
    ("attention.self.key", "self_attention_layer/key", "heads"),
    ("attention.self.value", "self_attention_layer/value", "heads"),
    (
        "attention.output.dense",
        "self_attention_layer/attention_output",
        "heads_output",
    ),
    ("attention.output.LayerNorm", "self_attention_layer_norm", "norm"),
    ("intermediate.dense", "feedforward_intermediate_dense", "dense"),
    ("output.dense", "feedforward_output_dense", "dense"),
    ("output.LayerNorm", "feedforward_layer_norm", "norm"),
)
_DISTILBERT_LAYER = (
    ("attention.q_lin", "self_attention_layer/query", "heads"),
    ("attention.k_lin", "self_attention_layer/key", "heads"),
    ("attention.v_lin", "self_attention_layer/value", "heads"),
    (
        "attention.out_lin",
        "self_attention_layer/attention_output",
        "heads_output",
    ),
    ("sa_layer_norm", "self_attention_layer_norm", "norm"),
    ("ffn.lin1", "feedforward_intermediate_dense", "dense"),
    ("ffn.lin2", "feedforward_output_dense", "dense"),
    ("output_layer_norm", "feedforward_layer_norm", "norm"),
)
_POOLER = (("pooler.dense", "pooled_dense", "dense"),)
_TOKEN = (("classifier", "logits", "dense"),)
_SPAN = (("qa_outputs", "logits", "dense"),)

# What each kind of module holds: (its tensor, the variable, the transform).
_PARTS = {
    "dense": ((".weight", "/kernel", "dense"), (".bias", "/bias", "same")),
    "heads": ((".weight", "/kernel", "heads"), (".bias", "/bias", "flat")),
    "heads_output": (
        (".weight", "/kernel", "heads_output"),
        (".bias", "/bias", "same"),
    ),
    "norm": ((".weight", "/gamma", "same"), (".bias", "/beta", "same")),
    "embedding": ((".weight", "/embeddings", "same"),),
    "vector": (("", "/embeddings", "flat"),),
}


@dataclass(frozen=True)
class Family:
    """How one architecture names its tensors.

    `prefix` stands before the encoder's names in a model that has a head.
    `heads` has the modules of each head. `decoder` names the copies of the
    token table and the bias that a masked-LM head may carry.
    """

    prefix: str
    layers: str
    layer: tuple
    heads: dict
    decoder: tuple


_BERT = Family(
    prefix="bert.",
    layers="encoder.layer",
    layer=_BERT_LAYER,
    heads={
        "pooler": _POOLER,
        "sequence": _POOLER + (("classifier", "logits", "dense"),),
        "token": _TOKEN,
        "span": _SPAN,
        "masked_lm": (
            ("cls.predictions.transform.dense", "masked_lm_dense", "dense"),
            (
                "cls.predictions.transform.LayerNorm",
                "masked_lm_layer_norm",
                "norm",
            ),
            ("cls.predictions.bias", "masked_lm_bias", "vector"),
        ),
    },
    decoder=("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"),
)
_ROBERTA = Family(
    prefix="roberta.",
    layers="encoder.layer",
    layer=_BERT_LAYER,
    heads={
        "pooler": _POOLER,
        "sequence": (
            ("classifier.dense", "pooled_dense", "dense"),
            ("classifier.out_proj", "logits", "dense"),
        ),
        "token": _TOKEN,
        "span": _SPAN,
        "masked_lm": (
            ("lm_head.dense", "masked_lm_dense", "dense"),
            ("lm_head.layer_norm", "masked_lm_layer_norm", "norm"),
            ("lm_head.bias", "masked_lm_bias", "vector"),
        ),
    },
    decoder=("lm_head.decoder.weight", "lm_head.decoder.bias"),
)
_DISTILBERT = Family(
    prefix="distilbert.",
    layers="transformer.layer",
    layer=_DISTILBERT_LAYER,
    heads={
        "sequence": (
            ("pre_classifier", "pooled_dense", "dense"),
            ("classifier", "logits", "dense"),
        ),
        "token": _TOKEN,
        "span": _SPAN,
        "masked_lm": (
            ("vocab_transform", "masked_lm_dense", "dense"),
            ("vocab_layer_norm", "masked_lm_layer_norm", "norm"),
            ("vocab_projector.bias", "masked_lm_bias", "vector"),
        ),
    },
    decoder=("vocab_projector.weight", "vocab_projector.bias"),
)
FAMILIES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "distilbert": _DISTILBERT,
}
# Buffers, and the next-sentence head of BERT's pre-training.
IGNORED = (
    "embeddings.position_ids",
    "embeddings.token_type_ids",
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
)


@dataclass(frozen=True)
class Tensor:
    """One row: tensors of a checkpoint, and the variable that they fill.

    Args:
        names: tuple of str, one name; two where the single row of token types
            is added into the positions.
        variable: str, the path of a Keras variable.
        transform: str, one of `"same"`, `"flat"`, `"dense"`, `"heads"`,
            `"heads_output"`, `"positions"`.
        offset: int, for `"positions"`: how many rows of the checkpoint stand
            before the first position (RoBERTa counts from `pad_token_id + 1`).
    """

    names: tuple
    variable: str
    transform: str
    offset: int = 0

    def to_keras(self, arrays, shape):
        """The value of the variable, of shape `shape`."""
        array = arrays[0]
        if self.transform == "positions":
            types = arrays[1] if len(arrays) == 2 else 0.0
            return array[self.offset :] + types
        if self.transform in ("dense", "heads", "heads_output"):
            array = array.T
        return array.reshape(shape)

    def to_huggingface(self, array):
        """A tuple of arrays, one for each of `names`.

        A sum of positions and token types cannot be taken apart: all of it
        goes to the positions, and the types, like the rows before the first
        position, are zeros.
        """
        if self.transform == "positions":
            arrays = (np.pad(array, ((self.offset, 0), (0, 0))),)
            if len(self.names) == 2:
                arrays += (np.zeros_like(array[:1]),)
            return arrays
        if self.transform == "flat":
            array = array.reshape(-1)
        elif self.transform == "dense":
            array = array.T
        elif self.transform == "heads":
            array = array.reshape(array.shape[0], -1).T
        elif self.transform == "heads_output":
            array = array.reshape(-1, array.shape[-1]).T
        return (np.ascontiguousarray(array),)


def encoder_tensors(family, num_layers, num_segments, offset):
    """The rows of embeddings and transformer layers.

    Args:
        family: a `Family`.
        num_layers: int, the number of transformer layers.
        num_segments: int, the number of token types; 0 for none. One type is
            a constant, and is added into the positions.
        offset: int, rows before the first position.

    Returns:
        A list of `Tensor`.
    """
    positions = ("embeddings.position_embeddings.weight",)
    modules = [
        ("embeddings.word_embeddings", "token_embedding", "embedding"),
        ("embeddings.LayerNorm", "embeddings_layer_norm", "norm"),
    ]
    types = "embeddings.token_type_embeddings"
    if num_segments == 1:
        positions += (f"{types}.weight",)
    elif num_segments > 1:
        modules.append((types, "segment_embedding", "embedding"))
    for i in range(num_layers):
        modules += [
            (f"{family.layers}.{i}.{name}", f"transformer_layer_{i}/{to}", kind)
            for name, to, kind in family.layer
        ]
    variable = "position_embedding/embeddings"
    table = [Tensor(positions, variable, "positions", offset)]
    return table + _expand(modules)


def head_tensors(family, head):
    """The rows of one head: a list of `Tensor`.

    Args:
        family: a `Family`.
        head: str, a key of `family.heads`; any other has no rows.
    """
    return _expand(family.heads.get(head, ()))


def known_names(family):
    """All names that may stand in a checkpoint beside the encoder's."""
    names = set(IGNORED) | set(family.decoder)
    for head in family.heads:
        names.update(n for row in head_tensors(family, head) for n in row.names)
    return names


def plain_name(name, family):
    """`name` without the family's prefix and without TensorFlow's endings.

    `bert.embeddings.LayerNorm.gamma` is `embeddings.LayerNorm.weight`.
    """
    name = name.removeprefix(family.prefix)
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name


def _expand(modules):
    return [
        Tensor((module + ending,), layer + variable, transform)
        for module, layer, kind in modules
        for ending, variable, transform in _PARTS[kind]
    ]

"""BERT-like teachers from Hugging Face folders, as plain Keras models."""

import dataclasses

import keras
import numpy as np

from keras_kd.models.bert import bert
from keras_kd.models.huggingface_checkpoint import Checkpoint
from keras_kd.models.huggingface_config import num_segments
from keras_kd.models.huggingface_config import position_offset
from keras_kd.models.huggingface_config import read_family
from keras_kd.models.huggingface_config import read_head
from keras_kd.models.huggingface_config import read_settings
from keras_kd.models.huggingface_folder import read_config
from keras_kd.models.huggingface_folder import read_pooling
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.models.huggingface_names import encoder_tensors
from keras_kd.models.huggingface_names import head_tensors
from keras_kd.models.huggingface_names import known_names
from keras_kd.models.huggingface_names import plain_name

TASK_HEADS = (None, "sequence", "token", "span", "masked_lm")
POOLINGS = (None, "cls", "mean")


class MissingHead(ValueError):
    """The checkpoint has no head for the task, and none was asked for."""


def load_pretrained(
    folder,
    task_head="sequence",
    num_outputs=None,
    pooling=None,
    dropout=None,
    allow_pickle=False,
):
    """Loads a BERT, RoBERTa, XLM-R or DistilBERT checkpoint into Keras.

    The model is Functional, made of Keras' and KerasHub's own layers, so that
    its `.keras` file loads in a process that has KerasHub and not keras_kd.
    Inputs: a dict of int32 `[batch, length]`: `token_ids`, `padding_mask`
    (1 = token, 0 = padding, on the right) and, where the checkpoint has more
    than one token type, `segment_ids`. Outputs are float32, raw logits:

    | `task_head` | output |
    |---|---|
    | `"sequence"` | `[batch, num_outputs]` |
    | `"token"` | `[batch, length, num_outputs]` |
    | `"span"` | `[batch, length, 2]`: where an answer starts, and ends |
    | `"masked_lm"` | `[batch, length, vocabulary]` |
    | `None` | `{"sequence_output"}`, and `"pooled_output"` with a pooler |

    A head that the checkpoint has is loaded with it. Otherwise a fresh one is
    made, if `num_outputs` says how wide. Padded positions of a `"token"`,
    `"span"` or `"masked_lm"` output hold values without meaning.

    Args:
        folder: str or path, a Hugging Face folder with `config.json` and
            `model.safetensors` (one file or shards), or a name on the hub.
        task_head: str or None, see the table.
        num_outputs: int or None, the number of classes. Must agree with the
            head that the checkpoint has. A fresh `"span"` head has 2.
        pooling: `"cls"`, `"mean"` or None, for a fresh `"sequence"` head:
            the first position through the pooler (a fresh one where the
            checkpoint has none), or the mean of the last hidden states of
            the tokens. Defaults to `"mean"` where a `1_Pooling/config.json`
            of sentence-transformers says so, else to `"cls"`.
        dropout: float or None, one rate for the embeddings, the transformer
            layers and the head. Defaults to the checkpoint's own rates; a
            layer has one rate for attention and hidden states, the latter's.
        allow_pickle: bool, whether `pytorch_model.bin` may be read where
            there is no safetensors file. Defaults to False.

    Returns:
        A `keras.Model`, named after the architecture, with the layers
        `token_embedding`, `position_embedding`, `segment_embedding`,
        `embeddings_layer_norm`, `embeddings_dropout`, `transformer_layer_0`,
        ..., `pooled_dense` and `logits`, each where there is one.

    Raises:
        FileNotFoundError: if there is no such folder, or no weights in it.
        MissingHead: if the checkpoint has no such head, and `num_outputs`
            asks for no fresh one.
        ValueError: if the architecture, the number of outputs or a tensor is
            not what is expected.

    Example:

    ```python
    teacher = load_pretrained("path/of/folder", num_outputs=2)
    logits = teacher({
        "token_ids": np.array([[101, 7592, 102, 0]]),
        "segment_ids": np.array([[0, 0, 0, 0]]),
        "padding_mask": np.array([[1, 1, 1, 0]]),
    })
    ```

    Source: Devlin et al., 2018 (https://arxiv.org/abs/1810.04805), Liu et
    al., 2019 (https://arxiv.org/abs/1907.11692), Conneau et al., 2019
    (https://arxiv.org/abs/1911.02116), Sanh et al., 2019
    (https://arxiv.org/abs/1910.01108).
    """
    _check_choice("task_head", task_head, TASK_HEADS)
    _check_choice("pooling", pooling, POOLINGS)
    path = resolve_folder(folder, allow_pickle)
    config = read_config(path)
    settings = read_settings(config, dropout)
    weights = _Weights(Checkpoint(path, allow_pickle), read_family(config))
    found = weights.heads(read_head(config))
    head = task_head if task_head in found else None
    if task_head is None:
        _check_unused("num_outputs", num_outputs, "task_head=None")
        head = "pooler" if "pooler" in found else None
    elif head:
        num_outputs = weights.check_width(head, num_outputs, settings)
        if pooling == "mean":
            raise ValueError(
                f"Received pooling='mean', but the head of {str(path)!r} "
                "reads the first position. Leave pooling out."
            )
    else:
        _check_fresh_width(path, task_head, num_outputs, found, settings)
        if task_head == "sequence":
            pooling = pooling or read_pooling(path) or "cls"
            head = "pooler" if pooling == "cls" and "pooler" in found else None
    if task_head != "sequence":
        _check_unused("pooling", pooling, f"task_head={task_head!r}")
    if head == "pooler":
        settings = dataclasses.replace(settings, head_activation="tanh")

    table = tensor_table(config, head)
    weights.check_names(table, masked_lm=head == "masked_lm")
    model = bert(settings, task_head or head, num_outputs, pooling)
    weights.assign(model, table)
    return model


def find_heads(folder, allow_pickle=False):
    """The heads that a checkpoint has; its weights are not read.

    Args:
        folder: str or path, as in `load_pretrained`.
        allow_pickle: bool, as in `load_pretrained`.

    Returns:
        A set of `"pooler"` and the names of `task_head`.
    """
    path = resolve_folder(folder, allow_pickle)
    config = read_config(path)
    weights = _Weights(Checkpoint(path, allow_pickle), read_family(config))
    return weights.heads(read_head(config))


def tensor_table(config, head):
    """The rows of names by which `load_pretrained` fills a model.

    Args:
        config: dict, the contents of `config.json`.
        head: str or None, the head that is read or written: a `task_head`,
            or `"pooler"`, or None for the encoder alone.

    Returns:
        A list of `keras_kd.models.huggingface_names.Tensor`.
    """
    family = read_family(config)
    table = encoder_tensors(
        family,
        read_settings(config).num_layers,
        num_segments(config),
        position_offset(config),
    )
    return table + (head_tensors(family, head) if head else [])


def state_dict(model, config, head):
    """The weights of a model under Hugging Face's names.

    The inverse of `load_pretrained`. The token table, which a masked-LM head
    shares, is there once: `tie_word_embeddings` must be on.

    Args:
        model: a `keras.Model` from `load_pretrained`.
        config: dict, the contents of the checkpoint's `config.json`.
        head: str or None, the head that is written, as in `tensor_table`.

    Returns:
        A dict from names to contiguous float32 arrays.

    Raises:
        ValueError: if the model lacks a variable that a row asks for.
    """
    family = read_family(config)
    own = {n for row in head_tensors(family, head) for n in row.names}
    own -= {n for row in head_tensors(family, "pooler") for n in row.names}
    # A bare model has no prefix; a head stands beside the prefixed encoder.
    prefix = family.prefix if own else ""
    variables = {v.path: v for v in model.variables}
    arrays = {}
    for row in tensor_table(config, head):
        if row.variable not in variables:
            raise ValueError(
                f"The model {model.name!r} has no variable {row.variable!r}. "
                "Expected a model that load_pretrained made, and a head that "
                f"it has. Received head={head!r}."
            )
        value = keras.ops.convert_to_numpy(variables[row.variable])
        for name, array in zip(
            row.names, row.to_huggingface(value), strict=True
        ):
            name = name if name in own else prefix + name
            arrays[name] = np.ascontiguousarray(array, dtype="float32")
    return arrays


class _Weights:
    """The tensors of a checkpoint under the names of the table."""

    def __init__(self, checkpoint, family):
        self.folder = str(checkpoint.folder)
        self.family = family
        self.checkpoint = checkpoint
        self.names = {plain_name(n, family): n for n in checkpoint.names}
        table, bias = family.decoder
        self.decoder = table
        if bias in self.names:
            own = head_tensors(family, "masked_lm")[-1].names[0]
            self.names.setdefault(own, self.names[bias])

    def read(self, name):
        return self.checkpoint.read(self.names[name])

    def heads(self, classifier):
        """The heads that have a tensor here.

        `classifier.weight` may belong to a head for texts or for tokens. The
        config says which; failing that, the rest of the head for texts does.
        """
        names = {
            head: {
                n for row in head_tensors(self.family, head) for n in row.names
            }
            for head in ("pooler", "sequence", "token", "span", "masked_lm")
        }
        here = set(self.names)
        of_texts_alone = names["sequence"] - names["token"]
        names["sequence"] = names["sequence"] - names["pooler"]
        found = {head for head in names if names[head] & here}
        both = {"sequence", "token"}
        if classifier != "unknown":
            return found - (both - {classifier})
        if both <= found:
            found.remove("token" if of_texts_alone & here else "sequence")
        return found

    def check_width(self, head, num_outputs, settings):
        """The number of outputs of the head; an error if it was not asked."""
        if head == "masked_lm":
            width = settings.vocabulary_size
        else:
            rows = head_tensors(self.family, head)
            names = [r.names[0] for r in rows if r.variable == "logits/bias"]
            self.check_missing(names)
            width = len(self.read(names[0]))
        if num_outputs not in (None, width):
            raise ValueError(
                f"Received num_outputs={num_outputs}, but the {head} head of "
                f"{self.folder!r} has {width} outputs. Leave num_outputs out "
                "to use that head as it is; to train another, load with "
                "task_head=None and put a layer on top."
            )
        return width

    def check_missing(self, names):
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ValueError(
                f"The checkpoint {self.folder!r} lacks {len(missing)} of the "
                f"tensors that its config.json asks for: {_some(missing)}. "
                "Expected config and weights of one model: fetch or save the "
                "folder once more."
            )

    def check_names(self, table, masked_lm):
        """Every tensor is used, or known to be of no use here."""
        names = [name for row in table for name in row.names]
        self.check_missing(names)
        known = known_names(self.family).union(names)
        unknown = [name for name in self.names if name not in known]
        if unknown:
            raise ValueError(
                f"The checkpoint {self.folder!r} has {len(unknown)} tensors "
                f"that its architecture does not: {_some(unknown)}. Expected "
                "the weights of the model that config.json describes. If "
                "they belong to a head of your own, save the encoder alone: "
                "`AutoModel.from_pretrained(...).save_pretrained(...)`."
            )
        if masked_lm and self.decoder in self.names:
            embeddings = self.read("embeddings.word_embeddings.weight")
            if not np.array_equal(self.read(self.decoder), embeddings):
                raise ValueError(
                    f"The masked-LM head of {self.folder!r} has an output "
                    f"table of its own ({self.decoder!r}). Expected one that "
                    "is tied to the token embeddings; others are not "
                    "supported."
                )

    def assign(self, model, table):
        """Fills the model. A shape that does not fit is an error."""
        variables = {v.path: v for v in model.variables}
        for row in table:
            variable = variables[row.variable]
            arrays = [self.read(name) for name in row.names]
            blank = np.broadcast_to(np.float32(0), variable.shape)
            expected = [a.shape for a in row.to_huggingface(blank)]
            for name, array, shape in zip(
                row.names, arrays, expected, strict=True
            ):
                if array.shape != shape:
                    raise ValueError(
                        f"Received {name!r} of shape {array.shape} in "
                        f"{self.folder!r}. Expected {shape} after its "
                        "config.json: fetch or save the folder once more."
                    )
            variable.assign(row.to_keras(arrays, variable.shape))


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(
            f"Received {name}={value!r}. Expected one of "
            f"{', '.join(repr(choice) for choice in choices)}."
        )


def _check_unused(name, value, where):
    if value is not None:
        raise ValueError(
            f"Received {name}={value!r} with {where}, which has no use for "
            f"it. Leave {name} out."
        )


def _check_fresh_width(path, task_head, num_outputs, found, settings):
    fixed = {"span": 2, "masked_lm": settings.vocabulary_size}.get(task_head)
    if num_outputs is None:
        heads = ", ".join(sorted(found - {"pooler"})) or "none"
        raise MissingHead(
            f"Received the checkpoint {str(path)!r}, which has no "
            f"{task_head} head (its heads: {heads}). Expected one, or "
            f"num_outputs={fixed or '<number of classes>'} to put a fresh "
            "head on it, which has to be trained before it is a teacher."
        )
    if num_outputs < 1 or num_outputs != (fixed or num_outputs):
        raise ValueError(
            f"Received num_outputs={num_outputs} for a fresh {task_head} "
            f"head. Expected {fixed or 'at least 1'}."
        )


def _some(names):
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more

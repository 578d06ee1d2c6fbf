"""BERT-like teachers from Hugging Face folders, as plain Keras models."""

import keras
import numpy as np

from keras_kd.models.bert import BertSettings
from keras_kd.models.bert import bert
from keras_kd.models.huggingface_folder import Checkpoint
from keras_kd.models.huggingface_folder import read_config
from keras_kd.models.huggingface_folder import read_pooling
from keras_kd.models.huggingface_folder import resolve_folder
from keras_kd.models.huggingface_names import FAMILIES
from keras_kd.models.huggingface_names import encoder_tensors
from keras_kd.models.huggingface_names import head_tensors
from keras_kd.models.huggingface_names import known_names
from keras_kd.models.huggingface_names import plain_name

TASK_HEADS = (None, "sequence", "token", "span", "masked_lm")
POOLINGS = (None, "cls", "mean")


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
    | `"span"` | `{"start_logits", "end_logits"}`, each `[batch, length]` |
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
        ValueError: if the architecture, the head, the number of outputs or a
            tensor is not what is expected.

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
    family = _family(config, path)
    settings = _settings(config, dropout)
    weights = _Weights(Checkpoint(path, allow_pickle), family)
    found = weights.heads(config)
    head = task_head if task_head in found else None
    if task_head is None:
        _check_unused("num_outputs", num_outputs, "task_head=None")
        head = "pooler" if "pooler" in found else None
    elif head:
        num_outputs = _found_width(weights, head, num_outputs, settings)
        if pooling == "mean":
            raise ValueError(
                f"Received pooling='mean', but the head of {str(path)!r} "
                "reads the first position. Leave pooling out."
            )
    else:
        _check_fresh_width(task_head, num_outputs, found, settings, path)
        if task_head == "sequence":
            pooling = pooling or read_pooling(path) or "cls"
            head = "pooler" if pooling == "cls" and "pooler" in found else None
    if task_head != "sequence":
        _check_unused("pooling", pooling, f"task_head={task_head!r}")

    rows = tensor_table(config, head)
    weights.check(rows, masked_lm=head == "masked_lm")
    if head == "pooler":
        settings = replace(settings, head_activation="tanh")
    model = bert(settings, task_head or head, num_outputs, pooling)
    weights.assign(model, rows)
    return model


def tensor_table(config, head):
    """The table that `load_pretrained` fills a model by.

    Args:
        config: dict, the contents of `config.json`.
        head: a head of the checkpoint: one of `task_head`'s names,
            `"pooler"`, or None for the encoder alone.

    Returns:
        A list of `keras_kd.models.huggingface_names.Tensor`.
    """
    family = _family(config, "config.json")
    rows = encoder_tensors(
        family,
        num_layers=int(_value(config, "num_layers")),
        num_segments=_num_segments(config),
        offset=_position_offset(config),
    )
    return rows + (head_tensors(family, head) if head else [])


def state_dict(model, config, head):
    """The arrays of a model under Hugging Face's names, ready to be saved.

    The inverse of `load_pretrained`. The tied table of a masked-LM head is
    not repeated.

    Args:
        model: a `keras.Model` from `load_pretrained`.
        config: dict, the contents of `config.json` of the checkpoint.
        head: as for `tensor_table`, the head to write.

    Returns:
        A dict from str to contiguous float32 arrays.

    Raises:
        ValueError: if the model has no variable for a row of the table.
    """
    family = _family(config, "config.json")
    # A model with a head keeps its encoder under the family's prefix.
    encoder = {n for row in tensor_table(config, "pooler" if "pooler" in family.heads else None) for n in row.names}
    variables = _variables(model)
    arrays = {}
    for row in tensor_table(config, head):
        if row.variable not in variables:
            raise ValueError(
                f"The model {model.name!r} has no variable {row.variable!r}, "
                f"which {row.names[0]!r} is written from. Expected a model of "
                f"`load_pretrained` with the head {head!r}."
            )
        value = keras.ops.convert_to_numpy(variables[row.variable])
        for name, array in zip(row.names, row.to_huggingface(value)):
            prefix = family.prefix if head not in (None, "pooler") and name in encoder else ""
            arrays[prefix + name] = np.ascontiguousarray(array, "float32")
    return arrays


class _Weights:
    """A checkpoint under the names of the table."""

    def __init__(self, checkpoint, family):
        self.folder = str(checkpoint.folder)
        self.family = family
        self._checkpoint = checkpoint
        self._names = {plain_name(n, family): n for n in checkpoint.names}
        for bias, copy in family.copies:
            if copy in self._names:
                self._names.setdefault(bias, self._names[copy])

    def read(self, name):
        return self._checkpoint.read(self._names[name])

    def heads(self, config):
        """The names of the heads that the checkpoint has, as a set."""
        names = {
            head: {n for row in head_tensors(self.family, head) for n in row.names}
            for head in self.family.heads
        }
        pooler = names.get("pooler", set())
        found = {
            head
            for head in names
            if self._names.keys() & (names[head] - (pooler if head != "pooler" else set()))
        }

"""The contract of a batch: who puts what under which name.

A batch is `(x, y, sample_weight)`, as Keras has it. `x` is always the
student's inputs. `y` is a dictionary:

| key | holds |
|---|---|
| `labels` | the hard labels; any value where there is none |
| `label_weight` | `[batch]`, 1 where a row has a label, 0 where not |
| `token_mask` | `[batch, length]`, 1 on tokens whose own logits count |
| `teacher` | the teacher's outputs by name, when they come from the cache |
| `teacher_inputs` | the teacher's own inputs, when it runs live |

A plain `y` means labels. Padding is on the right, `padding_mask` is 1 on real
tokens and 0 on padding.
"""

TOKEN_IDS = "token_ids"
SEGMENT_IDS = "segment_ids"
PADDING_MASK = "padding_mask"
MASK_POSITIONS = "mask_positions"  # Of a masked language model.

LABELS = "labels"
LABEL_WEIGHT = "label_weight"
TOKEN_MASK = "token_mask"
TEACHER = "teacher"
TEACHER_INPUTS = "teacher_inputs"
TARGET_KEYS = (LABELS, LABEL_WEIGHT, TOKEN_MASK, TEACHER, TEACHER_INPUTS)

LOGITS = "logits"
PROBABILITIES = "probabilities"  # Of exported files alone.

NO_TOKEN = -1  # The label of a position that has none.
STARTS, ENDS = 1, 2  # Summed up, the label of an answer's tokens.


def input_names(model):
    """The names of a functional model's inputs, in its own order.

    Raises:
        ValueError: The model is a subclass, and has no inputs of its own.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"Model '{model.name}' ({type(model).__name__}) has no named "
            "inputs. Expected a functional model: put it into one, "
            "`keras.Model(inputs, model(inputs))`, with a dictionary of "
            f"keras.Input called '{TOKEN_IDS}', '{PADDING_MASK}', ..."
        )
    return [tensor.name for tensor in model.inputs]


def select_inputs(model, x, is_teacher=False):
    """Picks from `x` exactly the entries that `model` has inputs for.

    A functional model that is given one key too many only warns, and maps the
    values by sorted position: `segment_ids` then goes in as `token_ids`. So
    nothing is ever passed to a model but through this function.

    Args:
        model: A functional `keras.Model` with named inputs.
        x: Dictionary of arrays or tensors. Anything else is passed through.
        is_teacher: Whether `model` is a live teacher, which the batch may have
            other inputs for.

    Raises:
        KeyError: An input of the model is missing in `x`.
    """
    if not isinstance(x, dict):
        return x
    names = input_names(model)
    missing = [name for name in names if name not in x]
    if missing:
        remedy = "Add them to the batch"
        if is_teacher:
            own = ", ".join(f"'{name}': ..." for name in names)
            remedy = f"Give it its own, y['{TEACHER_INPUTS}'] = {{{own}}}"
        raise KeyError(
            f"{'Teacher' if is_teacher else 'Model'} '{model.name}' needs the "
            f"inputs {names}. Received: {sorted(x)}. Missing: {missing}. "
            f"{remedy}, or build the model with the inputs that the batch has."
        )
    selected = {name: x[name] for name in names}
    if len(names) == 1 and not isinstance(model._inputs_struct, dict):
        return selected[names[0]]
    return selected


def named_outputs(outputs):
    """Gives a model's outputs as a dictionary: a lone tensor is `logits`."""
    return outputs if isinstance(outputs, dict) else {LOGITS: outputs}


def split_targets(y):
    """Gives `y` as a dictionary of the contract: a plain `y` means labels.

    Raises:
        KeyError: `y` is a dictionary with a key outside of the contract.
    """
    if not isinstance(y, dict):
        return {} if y is None else {LABELS: y}
    unknown = sorted(set(y) - set(TARGET_KEYS))
    if unknown:
        raise KeyError(
            f"Targets may hold the keys {list(TARGET_KEYS)}. Received also: "
            f"{unknown}. Put the teacher's outputs under '{TEACHER}'."
        )
    return y


def row_weights(sample_weight):
    """The `[batch]` sample weights, or `None`.

    For arrays, Keras repeats one `sample_weight` for each entry of `y`.
    """
    while isinstance(sample_weight, dict):
        sample_weight = next(iter(sample_weight.values()), None)
    return sample_weight

"""What can be wrong with the arguments of an export, found before the work."""

import numpy as np

from keras_kd import batch
from keras_kd.export.conversion_worker import QUANTIZATIONS

MINIMUM_LENGTH = 8


def check_length(max_length):
    """Raises a `ValueError` for a length that no text fits into."""
    if max_length is not None and max_length < MINIMUM_LENGTH:
        raise ValueError(
            f"`max_length` must be {MINIMUM_LENGTH} or more: shorter files "
            f"cut off nearly every text. Received: {max_length}"
        )


def check_labels(student, labels):
    """Raises a `ValueError` for labels that are not those of the outputs."""
    if labels is None:
        return
    for name, output in batch.named_outputs(student.output).items():
        widths = {len(labels), None}
        if len(output.shape) == 3:
            # A chain has a score for each tag behind each other one.
            widths.add((1 + len(labels)) * len(labels))
        if output.shape[-1] not in widths:
            raise ValueError(
                f"The student's output '{name}' is {output.shape[-1]} wide. "
                f"Received: {len(labels)} labels, {list(labels)}. Give one "
                "label for each logit, in their order."
            )
    for label in labels:
        if not label.strip() or "\n" in label:
            raise ValueError(
                "Labels must be one line each and not empty. Received: "
                f"{label!r}"
            )


def check_quantization(quantization):
    """Raises a `ValueError` for another quantization than there is."""
    if quantization in QUANTIZATIONS:
        return
    reason = ""
    if quantization in ("int8", "full_int8"):
        reason = (
            " Full int8 halves the agreement with Keras, and crashes the "
            "converter on recurrent students: use 'dynamic', with int8 weights."
        )
    raise ValueError(
        f"`quantization` must be one of {list(QUANTIZATIONS)}. Received: "
        f"{quantization!r}.{reason}"
    )


def check_rows(student, rows, max_length, tokenizer):
    """Gives the student's inputs as int32 arrays `[n, max_length]`.

    Raises:
        ValueError: An input is missing, has another length or no rows, is not
            padded on the right, or holds ids that the tokenizer (if there is
            one) does not have.
    """
    missing = [name for name in batch.input_names(student) if name not in rows]
    if missing:
        raise ValueError(
            f"`rows` must hold {batch.input_names(student)}. Received: "
            f"{sorted(rows)}. Missing: {missing}."
        )
    arrays = {
        name: np.asarray(rows[name], dtype="int32")
        for name in batch.input_names(student)
    }
    for name, values in arrays.items():
        width = max_length or values.shape[-1]
        if values.ndim != 2 or values.shape[1] != width or not len(values):
            other = ""
            if values.ndim == 2 and width != values.shape[1] >= MINIMUM_LENGTH:
                other = f", or give max_length={values.shape[1]}"
            raise ValueError(
                f"Expected rows of {width} tokens in '{name}', at least "
                f"one. Received: an array of the shape {values.shape}. Pad "
                f"real validation rows on the right with 0{other}."
            )
    mask = arrays.get(batch.PADDING_MASK)
    if mask is not None and (np.diff(mask, axis=1) > 0).any():
        raise ValueError(
            "Expected rows that are padded on the right: a `padding_mask` of "
            "ones, then zeros. Received a row with a 1 after a 0. Files read "
            "a text up to its length."
        )
    if tokenizer is not None and batch.TOKEN_IDS in arrays:
        largest = int(arrays[batch.TOKEN_IDS].max())
        if largest >= tokenizer.vocabulary_size:
            raise ValueError(
                f"The rows hold the token id {largest}, the tokenizer has "
                f"{tokenizer.vocabulary_size} tokens. Give the tokenizer that "
                "made the rows."
            )
    return arrays


def check_vocabulary(student, tokenizer):
    """Raises a `ValueError` for a tokenizer with more tokens than embeddings.

    Args:
        student: A `keras.Model`; its layer `token_embedding` is looked at.
        tokenizer: `Tokenizer`, or `None`.
    """
    if tokenizer is None:
        return
    for layer in student.layers:
        if layer.name != "token_embedding":
            continue
        if layer.input_dim < tokenizer.vocabulary_size:
            raise ValueError(
                f"The student has embeddings for {layer.input_dim} tokens, the "
                f"tokenizer {tokenizer.vocabulary_size} tokens. Give the "
                "tokenizer that the student was trained with."
            )


def check_targets(student, rows, labels_of_rows):
    """Gives the class ids of the rows by output name, or `None`.

    Raises:
        ValueError: There are not as many as rows, they are not integers, or
            the student has no such output.
    """
    if labels_of_rows is None:
        return None
    targets = {
        name: np.asarray(ids)
        for name, ids in batch.named_outputs(labels_of_rows).items()
    }
    outputs = batch.named_outputs(student.output)
    count = len(next(iter(rows.values())))
    for name, ids in targets.items():
        if (
            name not in outputs
            or len(ids) != count
            or ids.dtype.kind not in "iu"
        ):
            raise ValueError(
                f"`labels_of_rows` must hold {count} class ids (integers) for "
                f"outputs among {sorted(outputs)}. Received for '{name}': "
                f"{len(ids)} of the type {ids.dtype}."
            )
    return targets

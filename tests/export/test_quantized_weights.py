"""What training for a quantisation rounds to is what files hold."""

import keras
import numpy as np
import pytest

from keras_kd.export.conversion_worker import convert
from keras_kd.models.students import build_student
from keras_kd.models.weight_quantization import WeightQuantization

VOCABULARY, LENGTH = 2000, 16
# Of the types 9, 17 and 19 of LiteRT's schema: INT8, INT4, INT2.
BITS = {9: 8, 17: 4, 19: 2}


def quantized_tensors(content):
    """The integer constants of a file, dequantised: `[outputs, inputs]`."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data, scales = (
                model.buffers[tensor.buffer].data,
                tensor.quantization,
            )
            if data is None or scales is None or scales.scale is None:
                continue
            bits = BITS[tensor.type]
            data = np.asarray(data).view("uint8")
            # Several numbers a byte, the first in its lowest bits; each is
            # moved to the top and back, which extends its sign.
            shifts = 8 - bits - np.arange(0, 8, bits)
            data = (data[:, None] << shifts).astype("uint8").view("int8")
            data = data.reshape(-1) >> (8 - bits)
            values = data.astype("float64").reshape(tensor.shape)
            found.append(values * np.reshape(scales.scale, (-1, 1)))
    return found


def sorted_rows(values):
    return values[np.lexsort(values.T[::-1])]


def same(one, other):
    return one.shape == other.shape and np.allclose(
        one, other, rtol=1e-5, atol=1e-7
    )


def three_projections(weights, path):
    """Those of queries, keys and values as the one product of a file."""
    kernels = [
        weights[path.replace("query/kernel", f"{name}/kernel")]
        for name in ("query", "key", "value")
    ]
    scales = [kernels[0].shape[-1] ** -0.5, 1.0, 1.0]
    return np.concatenate(
        [
            kernel.reshape(len(kernel), -1).T * scale
            for kernel, scale in zip(kernels, scales)
        ]
    )


@pytest.mark.parametrize(
    ("kind", "quantization"),
    [
        pytest.param(
            kind,
            quantization,
            marks=[]
            if (kind, quantization)
            in (("bigru", "int2-embedding"), ("transformer", "dynamic"))
            else [pytest.mark.slow],
        )
        for kind in ("bigru", "bilstm", "attention", "transformer", "bag")
        for quantization in ("dynamic", "int4-embedding", "int2-embedding")
    ],
)
def test_files_hold_the_rounded_weights(kind, quantization, tmp_path):
    # Of a quarter million weights one may lie halfway between two steps, where
    # either is right. With this seed none does.
    keras.utils.set_random_seed(1)
    student = build_student(kind, VOCABULARY, 3, 1, 32, 32, 0.0, LENGTH)
    content = convert(student, tmp_path / "model", quantization, 1, LENGTH)
    found = quantized_tensors(content)
    with WeightQuantization(student, quantization).applied():
        by_path = {weight.path: weight.numpy() for weight in student.weights}
    weights = list(by_path.values())
    # Tables as they are; kernels as outputs by inputs, whose outputs, the
    # gates of recurrent layers among them, may come in another order.
    forms = [weight for weight in weights if weight.ndim == 2]
    forms += [weight.T for weight in weights if weight.ndim == 2]
    for weight in weights:
        if weight.ndim == 3:
            forms.append(weight.reshape(len(weight), -1).T)
            forms.append(weight.reshape(-1, weight.shape[-1]).T)
    forms += [
        three_projections(by_path, path)
        for path in by_path
        if path.endswith("query/kernel")
    ]
    assert any(len(tensor) == VOCABULARY for tensor in found)
    assert len(found) >= 2
    for tensor in found:
        assert any(
            same(tensor, form) or same(sorted_rows(tensor), sorted_rows(form))
            for form in forms
        ), f"{tensor.shape} is none of {[form.shape for form in forms]}"

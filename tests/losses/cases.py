"""What the tests of all losses share: inputs, calls, gradients, one of each.

`everything` makes the outputs of a small model, by all the names that losses
read; each loss takes what it reads.
"""

import keras
import numpy as np

from keras_kd import layer_mapping
from keras_kd import losses
from keras_kd.losses.distillation_loss import weighted_sums

ROWS, LENGTH, WIDTH, HEADS, CLASSES = 4, 5, 6, 2, 4
MASK = np.array(
    [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0]],
    "int32",
)
LABELS = np.array([2, 0, 3, 1], "int32")
ENTRIES = 25  # Of a gradient, that are compared with finite differences.
# Of each kind of output: the axes that are of the length of the text.
LENGTH_AXES = {
    "hidden_states": (1,),
    "attention_scores": (2, 3),
    "attention_probabilities": (2, 3),
    "queries": (1,),
    "keys": (1,),
    "values": (1,),
}
PAIRS = [(1, 2), (2, 1)]

# One loss of each class and option. All are made anew for each test.
CASES = {
    "SoftTargets": lambda: losses.SoftTargets(2.0),
    "SoftTargets shifted": lambda: losses.SoftTargets(
        2.0, probability_shift=True
    ),
    "SoftTargets focal": lambda: losses.SoftTargets(
        losses.FocalTemperature(4.0, beta=1.0, gamma=2.0)
    ),
    "SoftCrossEntropy": lambda: losses.SoftCrossEntropy(3.0),
    "SoftCrossEntropy confidence": lambda: losses.SoftCrossEntropy(
        losses.ConfidenceTemperature(4.0)
    ),
    "SigmoidSoftTargets": lambda: losses.SigmoidSoftTargets(2.0),
    "LogitsMSE": lambda: losses.LogitsMSE(),
    "DecoupledKD": lambda: losses.DecoupledKD(2.0),
    "HiddenStateMSE": lambda: losses.HiddenStateMSE(PAIRS),
    "HiddenStateCosine": lambda: losses.HiddenStateCosine(PAIRS),
    "PatientKnowledge": lambda: losses.PatientKnowledge(PAIRS),
    "PatientKnowledge all": lambda: losses.PatientKnowledge(
        PAIRS, positions="all"
    ),
    "AttentionMSE": lambda: losses.AttentionMSE(PAIRS),
    "AttentionMSE probabilities": lambda: losses.AttentionMSE(
        PAIRS, on="probabilities"
    ),
    "AttentionKL": lambda: losses.AttentionKL(PAIRS),
    "SelfAttentionRelations": lambda: losses.SelfAttentionRelations(
        layer_mapping.last_only(2, 2), relation_heads=3
    ),
    "NeuronSelectivity": lambda: losses.NeuronSelectivity(PAIRS),
    "NeuronSelectivity plain": lambda: losses.NeuronSelectivity(
        PAIRS, normalize=False
    ),
    "FlowMatching": lambda: losses.FlowMatching([(0, 0), (1, 2)]),
    "RelationalDistance": lambda: losses.RelationalDistance("pooled"),
    "RelationalAngle": lambda: losses.RelationalAngle("hidden_states/1"),
    "Contrastive": lambda: losses.Contrastive("pooled"),
    "LayerTransport": lambda: losses.LayerTransport([1, 2], [0, 1, 2]),
    "LayerTransport scores": lambda: losses.LayerTransport(
        [1, 2], [1, 2], on="attention_scores"
    ),
}


def random(*shape, seed=0, scale=1.0):
    """Normal numbers that float32 holds exactly, in float64."""
    values = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return np.float64(np.float32(values))


def everything(rows=ROWS, length=LENGTH, seed=0):
    """The outputs of a model by all names; padding is not set apart."""
    shapes = {"logits": (rows, CLASSES), "pooled": (rows, WIDTH)}
    for layer in range(3):
        shapes[f"hidden_states/{layer}"] = rows, length, WIDTH
        if layer:
            square = rows, HEADS, length, length
            shapes[f"attention_scores/{layer}"] = square
            shapes[f"attention_probabilities/{layer}"] = square
            for kind in ("queries", "keys", "values"):
                shapes[f"{kind}/{layer}"] = rows, length, HEADS, WIDTH // HEADS
    outputs = {
        name: random(*shape, seed=(seed, number))
        for number, (name, shape) in enumerate(shapes.items())
    }
    for name, values in outputs.items():
        if name.startswith("attention_probabilities"):
            exponentials = np.exp(values)
            outputs[name] = np.float64(
                np.float32(exponentials / exponentials.sum(-1, keepdims=True))
            )
    return outputs


def cast(outputs, dtype):
    return {
        name: keras.ops.cast(values, dtype) for name, values in outputs.items()
    }


def read_by(loss, student):
    """The student's outputs that the loss reads."""
    return {name: student[name] for name in loss.student_outputs}


def call(loss, student, teacher, dtype="float32", **context):
    """The values of a loss, as an array."""
    values = loss(cast(student, dtype), cast(teacher, dtype), **context)
    return keras.ops.convert_to_numpy(values)


def gradients(loss, student, teacher, dtype="float32", weights=None, **context):
    """The slope of the sum of a loss, or of its weighted mean, by output."""
    import tensorflow as tf

    student = {
        name: tf.convert_to_tensor(values)
        for name, values in cast(read_by(loss, student), dtype).items()
    }
    with tf.GradientTape() as tape:
        tape.watch(student)
        values = loss(student, cast(teacher, dtype), **context)
        total = (
            tf.reduce_sum(values)
            if weights is None
            else weighted_mean(values, weights)
        )
    return {
        name: tf.convert_to_tensor(slope).numpy()
        for name, slope in tape.gradient(
            total, student, unconnected_gradients="zero"
        ).items()
    }


def numerical_gradient(function, student, name, indices, width=1e-5):
    """Central differences of the sum of `function(student)`, of one output.

    Args:
        function: Function from a dictionary of outputs to `[batch]` values.
        student: The student's outputs.
        name: The output that is moved.
        indices: The entries that are.
    """
    slopes = []
    for index in indices:
        totals = []
        for shift in (width, -width):
            moved = {**student, name: student[name].copy()}
            moved[name][index] += shift
            totals.append(function(moved).sum())
        slopes.append((totals[0] - totals[1]) / (2 * width))
    return slopes


def check_oracle(loss, oracle, student, teacher, **context):
    """Asserts that values and gradients are those of a float64 oracle.

    Args:
        loss: The loss.
        oracle: Function `(student, teacher) -> [batch]`, in NumPy.
        student: Dictionary of float64 arrays, exact in float32.
        teacher: The teacher's.
        **context: What `LossContext` takes.
    """
    expected = oracle(student, teacher)
    assert np.abs(expected).max() > 1e-3
    for dtype, tolerance in (("float32", 1e-5), ("float64", 1e-9)):
        values = call(loss, student, teacher, dtype, **context)
        assert values.dtype == dtype
        np.testing.assert_allclose(
            values, expected, rtol=tolerance, atol=tolerance * 1e-2
        )
    slopes = gradients(loss, student, teacher, "float64", **context)
    generator = np.random.default_rng(0)
    for name, slope in slopes.items():
        assert np.abs(slope).max() > 1e-5, name
        # Some entries of each output; among them most likely some at padding.
        indices = list(np.ndindex(slope.shape))
        chosen = generator.permutation(len(indices))[:ENTRIES]
        indices = [indices[number] for number in chosen]
        np.testing.assert_allclose(
            [slope[index] for index in indices],
            numerical_gradient(
                lambda moved: oracle(moved, teacher), student, name, indices
            ),
            rtol=1e-6,
            atol=1e-9,
            err_msg=name,
        )


def weighted_mean(values, weights=None):
    """`sum(w * v) / sum(w)` over examples, and 0 where all weights are 0."""
    return keras.ops.divide_no_nan(*weighted_sums(values, weights))

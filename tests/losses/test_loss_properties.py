"""What holds for every loss: padding, weights, precision, configurations."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_kd import losses
from tests.losses import cases
from tests.losses.cases import weighted_mean

STUDENT, TEACHER = cases.everything(seed=1), cases.everything(seed=2)
CONTEXT = {"mask": cases.MASK, "labels": cases.LABELS}

# They read nothing but logits of tokens, and have their own tests.
OF_TOKENS = {"SpanSoftTargets", "ChainSoftTargets"}

every_loss = pytest.mark.parametrize("name", cases.CASES)


def test_every_loss_has_a_case():
    public = {
        name
        for name, value in vars(losses).items()
        if isinstance(value, type)
        and issubclass(value, losses.DistillationLoss)
        and value is not losses.DistillationLoss
    }
    assert {name.split()[0] for name in cases.CASES} | OF_TOKENS == public
    for name, make in cases.CASES.items():
        assert type(make()).__name__ == name.split()[0]


def longer(outputs, by, padding):
    """The outputs with more padding, in which stands anything."""
    padded = {}
    for name, values in outputs.items():
        more = [(0, 0)] * values.ndim
        for axis in cases.LENGTH_AXES.get(name.split("/")[0], ()):
            more[axis] = (0, by)
        padded[name] = np.pad(values, more, constant_values=padding)
    return padded


@every_loss
def test_padding_changes_nothing(name):
    loss = cases.CASES[name]()
    student = longer(STUDENT, 3, padding=77.0)
    teacher = longer(TEACHER, 3, padding=-np.inf)
    context = {
        "mask": np.pad(cases.MASK, ((0, 0), (0, 3))),
        "labels": cases.LABELS,
    }
    np.testing.assert_allclose(
        cases.call(loss, student, teacher, **context),
        cases.call(loss, STUDENT, TEACHER, **CONTEXT),
        rtol=1e-5,
        atol=1e-7,
    )
    slopes = cases.gradients(loss, student, teacher, **context)
    expected = cases.gradients(loss, STUDENT, TEACHER, **CONTEXT)
    # Also what stands in the padding that was there before.
    anything = longer(expected, 3, padding=0.0)
    for output, slope in slopes.items():
        np.testing.assert_allclose(
            slope, anything[output], rtol=1e-4, atol=1e-6
        )


@every_loss
def test_what_stands_in_padding_changes_nothing(name):
    loss = cases.CASES[name]()

    def filled(outputs, filling):
        found = {}
        for output, values in outputs.items():
            keep = np.ones(values.shape, bool)
            for axis in cases.LENGTH_AXES.get(output.split("/")[0], ()):
                shape = [1] * values.ndim
                shape[0], shape[axis] = cases.MASK.shape
                keep &= cases.MASK.reshape(shape) == 1
            found[output] = np.where(keep, values, filling)
        return found

    student, teacher = filled(STUDENT, 500.0), filled(TEACHER, np.nan)
    np.testing.assert_allclose(
        cases.call(loss, student, teacher, **CONTEXT),
        cases.call(loss, STUDENT, TEACHER, **CONTEXT),
        rtol=1e-6,
    )
    for slope in cases.gradients(loss, student, teacher, **CONTEXT).values():
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("filling", [-np.inf, np.nan, np.inf])
@pytest.mark.parametrize(
    "name",
    [
        *(n for n in cases.CASES if cases.CASES[n]().outputs == ("logits",)),
        "ChainSoftTargets",
        "SpanSoftTargets",
    ],
)
def test_what_stands_in_padding_of_token_logits_changes_nothing(name, filling):
    loss = cases.CASES.get(name, getattr(losses, name.split()[0]))()
    # Two tags have six potentials.
    width = {"SpanSoftTargets": 2, "ChainSoftTargets": 6}.get(name, 3)
    student, teacher = (
        {"logits": cases.random(*cases.MASK.shape, width, seed=seed)}
        for seed in (1, 2)
    )
    real = cases.MASK[:, :, None] == 1
    filled = [
        {"logits": np.where(real, outputs["logits"], filling)}
        for outputs in (student, teacher)
    ]
    context = {"mask": cases.MASK, "labels": cases.MASK}
    np.testing.assert_array_equal(
        cases.call(loss, *filled, **context),
        cases.call(loss, student, teacher, **context),
    )
    (slope,) = cases.gradients(loss, *filled, **context).values()
    (expected,) = cases.gradients(loss, student, teacher, **context).values()
    np.testing.assert_allclose(slope, expected, rtol=1e-6)
    assert (slope[cases.MASK == 0] == 0).all()


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("also_student", [False, True])
@pytest.mark.parametrize(
    "name",
    ["SoftTargets", "SoftTargets shifted", "SoftCrossEntropy", "DecoupledKD"],
)
def test_a_class_that_the_teacher_rules_out(name, also_student, label):
    # Where the student rules it out too, cross-entropy is 0 times infinity.
    if also_student and name == "SoftCrossEntropy":
        pytest.skip("The student rules out no class of its own.")
    loss = cases.CASES[name]()

    def found(logit, dtype):
        outputs = (
            {"logits": np.array([[1.0, 0.0, logit if also_student else 0.5]])},
            {"logits": np.array([[2.0, 0.5, logit]])},
        )
        context = {"dtype": dtype, "labels": np.array([label])}
        (slope,) = cases.gradients(loss, *outputs, **context).values()
        return cases.call(loss, *outputs, **context), slope

    values, slope = found(-np.inf, "float32")
    expected, expected_slope = found(-1000.0, "float64")
    np.testing.assert_allclose(values, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-4, atol=1e-6)


def test_soft_targets_of_a_class_ruled_out_by_hand():
    values = cases.call(
        losses.SoftTargets(2.0),
        {"logits": np.array([[1.0, 0.0, 0.0]])},
        {"logits": np.array([[2.0, 1.0, -np.inf]])},
    )
    # In float64, over the two classes that are left.
    p, q = np.exp([1.0, 0.5]), np.exp([0.5, 0.0, 0.0])
    p, q = p / p.sum(), (q / q.sum())[:2]
    np.testing.assert_allclose(values, [4 * np.sum(p * np.log(p / q))], 1e-6)


def test_a_teacher_that_leaves_one_class():
    # Among the others nothing is left to compare.
    values = cases.call(
        losses.DecoupledKD(1.0),
        {"logits": np.zeros((1, 3))},
        {"logits": np.array([[5.0, -np.inf, -np.inf]])},
        labels=[0],
    )
    np.testing.assert_allclose(values, [np.log(3)], rtol=1e-6)


@every_loss
def test_a_row_of_weight_zero_is_one_that_is_not_there(name):
    loss = cases.CASES[name]()
    weights, rows = np.array([1.0, 0.0, 2.0, 0.5], "float32"), [0, 2, 3]

    def weighted(student, teacher, weights, mask, labels):
        context = {
            "sample_weight": weights,
            "mask": mask,
            "labels": labels,
        }
        values = cases.call(loss, student, teacher, **context)
        slopes = cases.gradients(
            loss, student, teacher, weights=weights, **context
        )
        return float(weighted_mean(values, weights)), slopes

    without = [
        {output: values[rows] for output, values in outputs.items()}
        for outputs in (STUDENT, TEACHER)
    ]
    value, slopes = weighted(
        STUDENT, TEACHER, weights, cases.MASK, cases.LABELS
    )
    expected, expected_slopes = weighted(
        *without, weights[rows], cases.MASK[rows], cases.LABELS[rows]
    )
    assert value == pytest.approx(expected, rel=1e-5)
    for output, slope in slopes.items():
        np.testing.assert_array_equal(slope[1], 0.0)
        np.testing.assert_allclose(
            slope[rows], expected_slopes[output], rtol=1e-4, atol=1e-6
        )


@every_loss
@pytest.mark.parametrize("filling", [-np.inf, np.nan])
def test_what_stands_in_a_row_of_weight_zero_changes_nothing(name, filling):
    loss = cases.CASES[name]()
    weights = np.array([1.0, 0.0, 2.0, 0.5], "float32")
    context = {**CONTEXT, "sample_weight": weights}
    filled = {output: values.copy() for output, values in TEACHER.items()}
    for values in filled.values():
        values[1] = filling
    (value, slopes), (expected, expected_slopes) = (
        (
            weighted_mean(
                cases.call(loss, STUDENT, teacher, **context), weights
            ),
            cases.gradients(loss, STUDENT, teacher, weights=weights, **context),
        )
        for teacher in (filled, TEACHER)
    )
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    for output, slope in slopes.items():
        np.testing.assert_allclose(
            slope, expected_slopes[output], rtol=1e-5, atol=1e-7
        )


@every_loss
def test_a_model_with_itself(name):
    loss = cases.CASES[name]()
    # Where two different layers are compared, they are made the same.
    model = {
        output: STUDENT[output.replace("/2", "/1").replace("/0", "/1")]
        for output in STUDENT
    }
    context = {"mask": cases.MASK, "labels": model["logits"].argmax(-1)}
    values = cases.call(loss, model, model, **context)
    slopes = cases.gradients(loss, model, model, **context)
    lowest = 0.0
    if name.startswith("SoftCrossEntropy"):
        divergence = losses.SoftTargets(loss.temperature)
        lowest = cases.call(loss, model, model, **context) - cases.call(
            divergence, model, model, **context
        )
        assert (lowest > 0).all()
    if name == "Contrastive":
        lowest = values
        other = cases.call(loss, STUDENT, TEACHER, **context)
        assert other.mean() > 3 * values.mean()
    else:
        for slope in slopes.values():
            np.testing.assert_allclose(slope, 0.0, atol=1e-5)
    np.testing.assert_allclose(values, lowest, atol=2e-5)
    assert cases.call(loss, STUDENT, TEACHER, **CONTEXT).max() > 1e-3


@every_loss
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_finite_and_is_computed_in_float32(name, dtype):
    loss = cases.CASES[name]()
    # The square of 300 is above the largest float16.
    student = {
        output: values if "prob" in output else 100.0 * values
        for output, values in STUDENT.items()
    }
    values = cases.call(loss, student, TEACHER, dtype, **CONTEXT)
    assert values.dtype == "float32"
    assert np.isfinite(values).all()
    rounded = [
        {
            output: keras.ops.convert_to_numpy(
                keras.ops.cast(keras.ops.cast(values, dtype), "float32")
            )
            for output, values in outputs.items()
        }
        for outputs in (student, TEACHER)
    ]
    np.testing.assert_allclose(
        values, cases.call(loss, *rounded, **CONTEXT), rtol=1e-6
    )
    # Gradients come in half precision; of the products of states they are
    # cubes.
    slopes = cases.gradients(loss, STUDENT, TEACHER, dtype, **CONTEXT)
    expected = cases.gradients(loss, STUDENT, TEACHER, **CONTEXT)
    for output, slope in slopes.items():
        np.testing.assert_allclose(
            slope.astype("float32"),
            expected[output],
            rtol=0.1,
            atol=0.05 * np.abs(expected[output]).max(),
        )


@every_loss
def test_configuration_round_trip(name):
    loss = cases.CASES[name]()
    loss.weight, loss.name = 0.7, "another"
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert (again.weight, again.name) == (0.7, "another")
    np.testing.assert_array_equal(
        cases.call(again, STUDENT, TEACHER, **CONTEXT),
        cases.call(loss, STUDENT, TEACHER, **CONTEXT),
    )
    assert again.student_outputs == loss.student_outputs
    assert again.teacher_outputs == loss.teacher_outputs


@every_loss
def test_in_a_graph_that_knows_neither_rows_nor_length(name):
    loss = cases.CASES[name]()

    def specification(output, values):
        shape = list(values.shape)
        for axis in (0, *cases.LENGTH_AXES.get(output.split("/")[0], ())):
            shape[axis] = None
        return tf.TensorSpec(shape, "float32")

    def read(names, outputs):
        return {output: np.float32(outputs[output]) for output in names}

    student = read(loss.student_outputs, STUDENT)
    teacher = read(loss.teacher_outputs, TEACHER)
    weights = np.array([1.0, 0.0, 2.0, 0.5], "float32")

    @tf.function(
        input_signature=[
            {o: specification(o, v) for o, v in student.items()},
            {o: specification(o, v) for o, v in teacher.items()},
            tf.TensorSpec([None, None], "int32"),
            tf.TensorSpec([None], "int32"),
            tf.TensorSpec([None], "float32"),
        ]
    )
    def compiled(student, teacher, mask, labels, sample_weight):
        with tf.GradientTape() as tape:
            tape.watch(student)
            values = loss(
                student,
                teacher,
                mask=mask,
                labels=labels,
                sample_weight=sample_weight,
            )
        return values, tape.gradient(values, student)

    values, slopes = compiled(
        student, teacher, cases.MASK, cases.LABELS, weights
    )
    context = {**CONTEXT, "sample_weight": weights}
    np.testing.assert_allclose(
        values,
        cases.call(loss, student, teacher, **context),
        rtol=1e-5,
        atol=1e-7,
    )
    expected = cases.gradients(loss, student, teacher, **context)
    for output, slope in slopes.items():
        np.testing.assert_allclose(
            tf.convert_to_tensor(slope), expected[output], atol=1e-5
        )


@pytest.mark.parametrize(
    "name",
    [
        "SoftTargets",
        "SoftCrossEntropy",
        "SigmoidSoftTargets",
        "DecoupledKD",
    ],
)
def test_the_gradient_does_not_shrink_with_the_temperature(name):
    make = getattr(losses, name)

    def norm(temperature, **options):
        (slope,) = cases.gradients(
            make(temperature, **options), STUDENT, TEACHER, **CONTEXT
        ).values()
        return np.linalg.norm(slope)

    assert 0.4 * norm(1.0) < norm(100.0) < 2.5 * norm(1.0)
    # Without the factor it is gone.
    plain = norm(100.0, scale_by_temperature_squared=False)
    assert plain == pytest.approx(norm(100.0) / 100.0**2, rel=1e-3)


@every_loss
def test_outputs_that_do_not_fit_are_refused(name):
    loss = cases.CASES[name]()
    # Another number of heads and of classes, and a text of another length.
    teacher = cases.everything(length=cases.LENGTH + 1, seed=2)
    teacher["logits"] = np.zeros((cases.ROWS, cases.CLASSES + 1))
    teacher["pooled"] = np.zeros((cases.ROWS, 2, 2, 2))
    if name == "RelationalAngle":
        teacher["hidden_states/1"] = teacher["pooled"]
    with pytest.raises(ValueError, match="Received: ") as error:
        cases.call(loss, STUDENT, teacher, **CONTEXT)
    assert f"Loss '{loss.name}'" in str(error.value)


@every_loss
def test_missing_outputs_are_named(name):
    loss = cases.CASES[name]()
    with pytest.raises(ValueError, match="of the teacher.*Missing: "):
        cases.call(loss, STUDENT, {}, **CONTEXT)

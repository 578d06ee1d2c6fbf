"""The losses of TextBrewer 0.2.1, up to the scale that each test states.

TextBrewer averages over the tokens of a batch, and here the mean of each text
comes first: the same, if a text counts by its tokens.
"""

import keras
import numpy as np
import pytest

from keras_kd import losses
from keras_kd.losses.loss_context import LossContext
from tests.losses import cases
from tests.losses.cases import weighted_mean

torch = pytest.importorskip("torch", reason="TextBrewer is made of PyTorch")
textbrewer_losses = pytest.importorskip(
    "textbrewer.losses", reason="the losses of TextBrewer are the reference"
)

STUDENT, TEACHER = cases.everything(seed=1), cases.everything(seed=2)
COUNTS = cases.MASK.sum(axis=1)
LAYER = [(1, 1)]


def theirs(name, student, teacher, **options):
    """The value of a loss of TextBrewer, and its slope; in float64."""
    student = torch.tensor(student, requires_grad=True)
    value = getattr(textbrewer_losses, name)(
        student, torch.tensor(teacher), **options
    )
    value.backward()
    return float(value.detach()), student.grad.numpy()


def check(loss, name, output, weights, scale=1.0, mask=cases.MASK, **options):
    """Asserts that their value and slope are `scale` times ours."""
    context = {} if mask is None else {"mask": mask}
    if mask is not None:
        options["mask"] = torch.tensor(mask)
    value, slope = theirs(name, STUDENT[output], TEACHER[output], **options)
    weights = np.float64(weights)
    ours = cases.call(loss, STUDENT, TEACHER, "float64", **context)
    assert scale * np.average(ours, weights=weights) == pytest.approx(
        value, rel=1e-9
    )
    slopes = cases.gradients(
        loss, STUDENT, TEACHER, "float64", weights=weights, **context
    )
    np.testing.assert_allclose(
        scale * slopes[output], slope, rtol=1e-7, atol=1e-12
    )


ROWS = np.ones(cases.ROWS)


def test_soft_cross_entropy():
    check(
        losses.SoftCrossEntropy(8.0, scale_by_temperature_squared=False),
        "kd_ce_loss",
        "logits",
        ROWS,
        mask=None,
        temperature=8.0,
    )


def test_squared_distance_of_logits():
    # Theirs is the mean over classes, of logits over T.
    check(
        losses.LogitsMSE(),
        "kd_mse_loss",
        "logits",
        ROWS,
        scale=1 / (cases.CLASSES * 4.0**2),
        mask=None,
        temperature=4.0,
    )


def test_squared_distance_of_states():
    check(
        losses.HiddenStateMSE(LAYER), "hid_mse_loss", "hidden_states/1", COUNTS
    )


def test_cosine_of_states():
    check(
        losses.HiddenStateCosine(LAYER), "cos_loss", "hidden_states/1", COUNTS
    )


def test_patient_knowledge():
    check(losses.PatientKnowledge(LAYER), "pkd_loss", "hidden_states/1", ROWS)


def test_squared_distance_of_attention():
    check(
        losses.AttentionMSE(LAYER),
        "att_mse_loss",
        "attention_scores/1",
        COUNTS**2,
    )


def test_divergence_of_attention():
    # Their scores hold the mask already, and theirs is the cross-entropy: the
    # divergence and the teacher's entropy.
    hidden = 1e4 * (cases.MASK[:, None, None, :] - 1)
    student, teacher = (
        outputs["attention_scores/1"] + hidden for outputs in (STUDENT, TEACHER)
    )
    mask = torch.tensor(cases.MASK)
    value, slope = theirs("att_ce_loss", student, teacher, mask=mask)
    entropy, _ = theirs("att_ce_loss", teacher, teacher, mask=mask)
    loss = losses.AttentionKL(LAYER)
    context = {"mask": cases.MASK}
    ours = cases.call(loss, STUDENT, TEACHER, "float64", **context)
    assert np.average(ours, weights=COUNTS) == pytest.approx(
        value - entropy, rel=1e-9
    )
    (ours,) = cases.gradients(
        loss,
        STUDENT,
        TEACHER,
        "float64",
        weights=np.float64(COUNTS),
        **context,
    ).values()
    np.testing.assert_allclose(ours, slope, rtol=1e-7, atol=1e-12)


def twice(name, layers, mask):
    """Their losses on two layers of each model; the value alone."""
    return float(
        getattr(textbrewer_losses, name)(
            *(
                [torch.tensor(outputs[f"hidden_states/{i}"]) for i in layers]
                for outputs in (STUDENT, TEACHER)
            ),
            mask=None if mask is None else torch.tensor(mask),
        )
    )


@pytest.mark.parametrize("masked", [True, False])
def test_neuron_selectivity(masked):
    mask = cases.MASK if masked else None
    ours = cases.call(
        losses.NeuronSelectivity(LAYER, normalize=False),
        STUDENT,
        TEACHER,
        "float64",
        mask=mask,
    )
    # With a mask theirs is divided by the padded length, not by the width.
    scale = (cases.WIDTH / cases.LENGTH) ** 2 if masked else 1.0
    weights = COUNTS**2 if masked else None
    assert scale * np.average(ours, weights=weights) == pytest.approx(
        twice("mmd_loss", (1, 1), mask), rel=1e-9
    )


@pytest.mark.parametrize("masked", [True, False])
def test_flows(masked):
    mask = cases.MASK if masked else None
    ours = cases.call(
        losses.FlowMatching([(0, 0), (2, 2)]),
        STUDENT,
        TEACHER,
        "float64",
        mask=mask,
    )
    assert ours.mean() == pytest.approx(
        twice("fsp_loss", (0, 2), mask), rel=1e-9
    )


@pytest.mark.parametrize(
    ("builder", "arguments", "ours"),
    [
        (
            "flsw_temperature_scheduler_builder",
            (1.5, 2.0),
            losses.FocalTemperature(4.0, beta=1.5, gamma=2.0),
        ),
        (
            "cwsm_temperature_scheduler_builder",
            (0.7,),
            losses.ConfidenceTemperature(4.0, beta=0.7),
        ),
    ],
)
def test_temperatures_of_examples(builder, arguments, ours):
    schedulers = pytest.importorskip("textbrewer.schedulers")
    logits = STUDENT["logits"], TEACHER["logits"]
    expected = getattr(schedulers, builder)(*arguments)(
        *map(torch.tensor, logits), 4.0
    ).numpy()
    assert expected.std() > 0.05
    np.testing.assert_allclose(
        ours.at(*(keras.ops.cast(z, "float64") for z in logits), LossContext()),
        expected,
        rtol=1e-9,
    )
    # The loss at these temperatures.
    value, slope = theirs(
        "kd_ce_loss", *logits, temperature=torch.tensor(expected)
    )
    loss = losses.SoftCrossEntropy(ours, scale_by_temperature_squared=False)
    values = cases.call(loss, STUDENT, TEACHER, "float64")
    assert float(weighted_mean(values)) == pytest.approx(value, rel=1e-9)
    (slopes,) = cases.gradients(
        loss, STUDENT, TEACHER, "float64", weights=ROWS
    ).values()
    np.testing.assert_allclose(slopes, slope, rtol=1e-7)


def test_probability_shift():
    utils = pytest.importorskip("textbrewer.distiller_utils")
    logits = TEACHER["logits"]
    assert (logits.argmax(-1) != cases.LABELS).any()
    expected = utils.probability_shift_(
        torch.tensor(logits), torch.tensor(cases.LABELS, dtype=torch.long)
    )
    np.testing.assert_array_equal(
        losses.probability_shift(logits, cases.LABELS), expected.numpy()
    )

"""The losses of torchdistill, up to the scale that each test states.

It has no decoupled distillation and no masks; its attention transfer reads maps
of features, and its CRD a memory of negatives, which nothing here does.
"""

import numpy as np
import pytest

from keras_kd import losses
from keras_kd.losses.flow_matching import flow
from tests.losses import cases

torch = pytest.importorskip("torch", reason="torchdistill is made of PyTorch")
torchdistill = pytest.importorskip(
    "torchdistill.losses.mid_level",
    reason="the losses of torchdistill are the reference",
)

STUDENT, TEACHER = cases.everything(seed=1), cases.everything(seed=2)
LAYER = [(1, 1)]
# What a loss is told to read, in the words of its class.
MODULES = {"student_module_path": "it", "student_module_io": "output"}
MODULES |= {"teacher_module_path": "it", "teacher_module_io": "output"}
OUTPUTS = {"student_output_path": "it", "teacher_output_path": "it"}


def theirs(loss, student, teacher, targets=None):
    """The value of a loss of torchdistill, and its slope; in float64."""
    student = torch.tensor(student, requires_grad=True)
    value = loss(
        {"it": {"output": student}},
        {"it": {"output": torch.tensor(teacher)}},
        targets=targets,
    )
    value.backward()
    return float(value.detach()), student.grad.numpy()


def check(ours, theirs_of, output, scale=1.0):
    """Asserts that their value and slope are `scale` times our mean's."""
    value, slope = theirs(theirs_of, STUDENT[output], TEACHER[output])
    values = cases.call(ours, STUDENT, TEACHER, "float64")
    assert scale * values.mean() == pytest.approx(value, rel=1e-9)
    slopes = cases.gradients(
        ours, STUDENT, TEACHER, "float64", weights=np.ones(cases.ROWS)
    )
    np.testing.assert_allclose(
        scale * slopes[output], slope, rtol=1e-7, atol=1e-12
    )


def test_divergence_of_logits():
    # Alone theirs has no T^2.
    check(
        losses.SoftTargets(4.0, scale_by_temperature_squared=False),
        torchdistill.KDLoss(**MODULES, temperature=4.0, beta=1.0),
        "logits",
    )


def test_divergence_of_logits_beside_labels():
    # With labels it has, as ours by default.
    labels = torch.tensor(cases.LABELS, dtype=torch.long)
    loss = torchdistill.KDLoss(**MODULES, temperature=4.0, alpha=0.3)
    logits = STUDENT["logits"], TEACHER["logits"]
    value, _ = theirs(loss, *logits, targets=labels)
    hard = torch.nn.functional.cross_entropy(torch.tensor(logits[0]), labels)
    soft = cases.call(losses.SoftTargets(4.0), STUDENT, TEACHER, "float64")
    assert 0.3 * float(hard) + 0.7 * soft.mean() == pytest.approx(
        value, rel=1e-9
    )


@pytest.mark.parametrize("output", ["logits", "hidden_states/1"])
def test_squared_distance(output):
    # PyTorch's own, which torchdistill wraps: the mean over classes too.
    ours, scale = losses.HiddenStateMSE(LAYER), 1.0
    if output == "logits":
        ours, scale = losses.LogitsMSE(), 1 / cases.CLASSES
    place = {"module_path": "it", "io": "output"}
    wrapped = torchdistill.SimpleLossWrapper(
        torch.nn.MSELoss(),
        input={"is_from_teacher": False, **place},
        target={"is_from_teacher": True, **place},
    )
    check(ours, wrapped, output, scale)


@pytest.mark.parametrize("output", ["pooled", "logits"])
def test_relational_distance(output):
    # Theirs is the mean over all pairs, rows with themselves among them.
    rows = cases.ROWS
    check(
        losses.RelationalDistance(output),
        torchdistill.RKDLoss(
            **OUTPUTS, dist_factor=1.0, angle_factor=0.0, reduction="mean"
        ),
        output,
        scale=(rows - 1) / rows,
    )


@pytest.mark.parametrize("output", ["pooled", "logits"])
def test_relational_angle(output):
    # Theirs is the mean over all triples, those with a row twice among them.
    rows = cases.ROWS
    check(
        losses.RelationalAngle(output),
        torchdistill.RKDLoss(
            **OUTPUTS, dist_factor=0.0, angle_factor=1.0, reduction="mean"
        ),
        output,
        scale=(rows - 1) * (rows - 2) / rows**2,
    )


def real(outputs, name, row):
    """The states of a row's tokens, without padding."""
    return outputs[name][row][cases.MASK[row] == 1]


def test_neuron_selectivity():
    # Their correlation congruence of a batch's rows, here of a text's tokens:
    # the length of the difference, not its mean square over pairs and width.
    loss = torchdistill.CCKDLoss(
        "it", "it", {"type": "bilinear"}, reduction="sum"
    )
    ours = cases.call(
        losses.NeuronSelectivity(LAYER, normalize=False),
        STUDENT,
        TEACHER,
        "float64",
        mask=cases.MASK,
    )
    for row in range(cases.ROWS):
        states = [
            real(outputs, "hidden_states/1", row)
            for outputs in (STUDENT, TEACHER)
        ]
        value, _ = theirs(loss, *states)
        scale = 1 / (len(states[0]) * cases.WIDTH)
        assert ours[row] == pytest.approx((scale * value) ** 2, rel=1e-9)


def test_patient_knowledge():
    # Theirs is the distance, of which ours is the square.
    loss = torchdistill.FTLoss(p=2, paraphraser_path="it", translator_path="it")
    ours = cases.call(
        losses.PatientKnowledge(LAYER), STUDENT, TEACHER, "float64"
    )
    for row in range(cases.ROWS):
        value, _ = theirs(
            loss,
            *(
                outputs["hidden_states/1"][[row], 0]
                for outputs in (STUDENT, TEACHER)
            ),
        )
        assert ours[row] == pytest.approx(value**2, rel=1e-9)


def test_flows():
    # The matrices are the same; theirs adds up the lengths of the columns of
    # their difference, and ours is its mean square.
    names = "hidden_states/0", "hidden_states/2"
    ours = cases.call(
        losses.FlowMatching([(0, 0), (2, 2)]),
        STUDENT,
        TEACHER,
        "float64",
        mask=cases.MASK,
    )
    points = {
        f"{model}_{point}": {"io": "output", "path": name}
        for model in ("student", "teacher")
        for point, name in zip(("first", "second"), names)
    }
    loss = torchdistill.FSPLoss({"pair": points})
    for row in range(cases.ROWS):
        flows, maps = [], []
        for outputs in (STUDENT, TEACHER):
            states = [real(outputs, name, row)[None] for name in names]
            flows.append(np.asarray(flow(*states))[0])
            # Their maps: [batch, features, height, width].
            of_torch = [
                torch.tensor(one).transpose(1, 2)[:, :, None] for one in states
            ]
            np.testing.assert_allclose(
                flows[-1], loss.compute_fsp_matrix(*of_torch)[0], rtol=1e-9
            )
            maps.append(
                {name: {"output": one} for name, one in zip(names, of_torch)}
            )
        difference = flows[0] - flows[1]
        columns = np.sqrt((difference**2).sum(axis=0))
        assert columns.sum() == pytest.approx(float(loss(*maps)), rel=1e-9)
        assert (columns**2).sum() / cases.WIDTH**2 == pytest.approx(
            ours[row], rel=1e-9
        )

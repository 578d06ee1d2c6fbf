"""Several teachers as one: their logits, and the layers of them all."""

import keras
import numpy as np
from keras import ops

from keras_kd import batch
from keras_kd.teachers.teacher import Teacher

# Of adding one teacher; more of them would hardly move the weights.
ROUNDS = 20


class TeacherEnsemble(Teacher):
    """Several teachers that teach as one, with the weighted mean of logits.

    $$z = \\sum_k w_k z_k, \\quad \\sum_k w_k = 1$$

    The mean is one of logits, not of probabilities: it is the same thing for
    classes, several labels and numbers, it does not depend on a temperature,
    and any loss can read it. Its softmax is the weighted *geometric* mean of
    the teachers' probabilities: a class that one teacher finds impossible
    stays unlikely, and a teacher that is surer than the others counts for
    more.

    `model` is one Functional model that runs them all. It is labelled with,
    cached, run live (`Distiller(student, teacher=ensemble.model)`), saved and
    converted as that of any teacher. `layer_outputs` and the losses on layers
    count the teachers' blocks one after the other: behind a first teacher of 6,
    `hidden_states/7` is the first block of the second.

    Args:
        teachers: List of `Teacher`; they read the same tokens, and give the
            same classes in the same order.
        weights: A number of 0 or more for each; only their shares count. By
            default all count the same. See `pick_weights`.

    Raises:
        ValueError: Less than two teachers, other tokens or classes, or weights
            that can't be.

    Example:

    ```python
    ensemble = TeacherEnsemble.open(["first", "second"], weights=[2, 1])
    targets = ensemble.label(rows, "rows/targets")
    ```

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a
    Neural Network", section 1, where the mean is arithmetic or geometric.
    """

    def __init__(self, teachers, weights=None):
        teachers = list(teachers)
        if len(teachers) < 2:
            raise ValueError(
                f"An ensemble needs two teachers or more, not {len(teachers)}."
            )
        if weights is None:
            weights = [1.0] * len(teachers)
        shares = np.asarray(weights, "float64")
        if (
            shares.shape != (len(teachers),)
            or (shares < 0).any()
            or not 0 < shares.sum() < np.inf
        ):
            raise ValueError(
                f"`weights` must be {len(teachers)} numbers, one for each "
                f"teacher, none below 0 and not all 0. Received: {weights}."
            )
        _check_equal(
            "tokens (the hash of their tokenizer)",
            [teacher.tokenizer.fingerprint for teacher in teachers],
        )
        labels = [one.labels for one in teachers if one.labels is not None]
        _check_equal("classes in their order", labels)
        self.teachers = teachers
        self.weights = [float(share) for share in shares / shares.sum()]
        super().__init__(
            _weighted_mean([one.model for one in teachers], self.weights),
            teachers[0].tokenizer,
            labels[0] if labels else None,
        )

    @classmethod
    def open(cls, folders, weights=None, allow_pickle=False):
        """Opens each teacher's folder, as `Teacher.open` does.

        Args:
            folders: List of folders or hub names, each with a head.
            weights: As in the class.
            allow_pickle: Whether a `pytorch_model.bin` may be read.
        """
        teachers = [Teacher.open(f, allow_pickle=allow_pickle) for f in folders]
        return cls(teachers, weights)

    @property
    def fingerprint(self):
        """Hashes of all teachers and their tokenizer, and the weights."""
        return {
            **super().fingerprint,
            "teachers": [one.fingerprint["weights"] for one in self.teachers],
            "teacher_weights": self.weights,
        }


def pick_weights(logits, score, rounds=ROUNDS):
    """Weights for teachers, by what their mean scores on validation rows.

    The best teacher comes first. Then, round by round, the one is added, also
    once more, with which the mean scores best; the best mean of all rounds
    gives the weights, so that they score no less than the best teacher alone.
    A teacher that never helps gets 0.

    Args:
        logits: List with the logits of each teacher, arrays of one shape.
        score: Function of logits; higher is better. It may give a tuple, whose
            further numbers decide between equal ones.
        rounds: How often one is added.

    Returns:
        List of numbers that add up to 1.

    Example:

    >>> right, wrong = np.array([[0.0, 4.0]]), np.array([[2.0, 0.0]])
    >>> pick_weights([wrong, right], lambda logits: -abs(logits[0, 1] - 3.0))
    [0.25, 0.75]

    Source: Caruana et al. 2004, "Ensemble Selection from Libraries of Models".
    """
    logits = [np.asarray(one, "float64") for one in logits]
    counts, total, best = np.zeros(len(logits)), 0.0, None
    for number in range(1, rounds + 1):
        scores = [score((total + one) / number) for one in logits]
        chosen = max(range(len(logits)), key=scores.__getitem__)
        counts[chosen] += 1
        total = total + logits[chosen]
        if best is None or scores[chosen] > best:
            best, kept = scores[chosen], counts / number
    return kept.tolist()


def _weighted_mean(models, weights):
    """A model of models, whose logits are the weighted mean of theirs."""
    names = [sorted(batch.named_outputs(model.output)) for model in models]
    _check_equal("names of outputs", names)
    inputs = {}
    for model in models:
        for one in model.inputs:
            inputs.setdefault(
                one.name,
                keras.Input(one.shape[1:], dtype=one.dtype, name=one.name),
            )
    given = [
        # Of one name, or they could not be in one model.
        keras.Model(model.input, model.output, name=f"teacher_{number}")
        for number, model in enumerate(models)
    ]
    given = [
        batch.named_outputs(one(batch.select_inputs(one, inputs)))
        for one in given
    ]
    outputs = {}
    for name in names[0]:
        _check_equal(f"shapes of '{name}'", [one[name].shape for one in given])
        # All at once: Keras then calls the teachers in their order.
        every = ops.stack([one[name] for one in given], axis=-1)
        outputs[name] = ops.sum(every * np.array(weights, every.dtype), axis=-1)
    if names[0] == [batch.LOGITS]:
        (outputs,) = outputs.values()
    return keras.Model(inputs, outputs, name="teachers")


def _check_equal(what, values):
    """Refuses teachers that differ in what they have to share."""
    if any(value != values[0] for value in values):
        raise ValueError(
            f"The teachers of an ensemble must have the same {what}. Received: "
            f"{values}. Distil from those that agree, or fine-tune them anew "
            "on the same data."
        )

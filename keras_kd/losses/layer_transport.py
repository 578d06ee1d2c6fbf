"""Many-to-many layers: what each learns from is found by optimal transport."""

import math

import keras
from keras import ops

from keras_kd.losses.attention_mse import attention_distance
from keras_kd.losses.hidden_state_mse import hidden_state_distance
from keras_kd.losses.layer_loss import check_same_shape
from keras_kd.losses.projected_loss import ProjectedLoss

DISTANCES = {
    "hidden_states": hidden_state_distance,
    "attention_scores": attention_distance,
    "attention_probabilities": attention_distance,
}
REGULARIZATION = 0.003
ITERATIONS = 150
COOLING = 0.9  # Of the entropy, from one iteration to the next.
RELAXATION = 1.5  # How far beyond a sum that is right the next step goes.


def transport_plan(costs, regularization=REGULARIZATION, iterations=ITERATIONS):
    """How much of each student layer is matched with each teacher layer.

    Sinkhorn's iterations, in log space, with more entropy at first: with
    little from the start they would take thousands. The plan has no gradient:
    that of the regularised cost is the plan itself.

    Args:
        costs: `[batch, student layers, teacher layers]`.
        regularization: Share of the mean cost that entropy is worth. Small, it
            nears the cheapest plan, and takes more iterations.
        iterations: How often sums of rows and columns are put right.

    Returns:
        As `costs`: each student layer sums to 1 / student layers, and each
        teacher layer, once converged, to 1 / teacher layers.

    Source: Schmitzer 2019, "Stabilized Sparse Scaling Algorithms for Entropy
    Regularized Transport Problems", for the entropy that falls; Thibault et
    al. 2021, "Overrelaxed Sinkhorn-Knopp Algorithm for Regularized Optimal
    Transport".
    """
    costs = ops.stop_gradient(costs)
    mean = ops.mean(costs, axis=(1, 2), keepdims=True)
    highest = ops.max(costs, axis=(1, 2), keepdims=True)
    # Where nothing costs anything, any plan will do.
    entropy = ops.where(mean > 0, regularization * mean, ops.ones_like(mean))
    share, teacher_share = (
        -math.log(size) for size in (costs.shape[1], costs.shape[2])
    )

    def of_students(of_teachers, entropy):
        return entropy * (
            share
            - ops.logsumexp(
                (of_teachers - costs) / entropy, axis=2, keepdims=True
            )
        )

    def improve(iteration, of_teachers):
        heat = COOLING ** ops.cast(iteration, costs.dtype)
        now = ops.maximum(highest * heat, entropy)
        right = now * (
            teacher_share
            - ops.logsumexp(
                (of_students(of_teachers, now) - costs) / now,
                axis=1,
                keepdims=True,
            )
        )
        return of_teachers + RELAXATION * (right - of_teachers)

    of_teachers = ops.fori_loop(
        0, iterations, improve, ops.zeros_like(costs[:, :1])
    )
    plan = ops.softmax((of_teachers - costs) / entropy, axis=2)
    return ops.stop_gradient(plan / costs.shape[1])


@keras.saving.register_keras_serializable(package="keras_kd")
class LayerTransport(ProjectedLoss):
    """Finds out by itself which layer learns from which (BERT-EMD).

    No map of layers is to be chosen: every layer of the student may learn from
    every layer of the teacher, from several by parts, at the lowest total cost
    (the earth mover's distance), for each text anew.

    $$L = \\sum_{m, n} P_{mn} C_{mn}, \\quad
      P = \\arg\\min_{P \\ge 0} \\sum_{m, n} P_{mn} C_{mn}, \\quad
      \\sum_n P_{mn} = \\frac{1}{M}, \\ \\sum_m P_{mn} = \\frac{1}{N}$$

    with the costs $C_{mn}$ of `HiddenStateMSE` or `AttentionMSE` between layer
    $m$ of $M$ and layer $n$ of $N$. The plan $P$ comes from Sinkhorn's
    iterations with a little entropy, which spreads it slightly: the cost is
    within 1% of the lowest, over 4 x 12 and 6 x 12 layers with even, growing
    and skewed costs (`tests/losses/test_layer_transport.py`).

    | input | shape | from |
    |---|---|---|
    | `hidden_states/m` | `[batch, length, width]` | student |
    | `hidden_states/n` | `[batch, length, teacher_dim]` | teacher |

    or `attention_scores/m` and `/n`, or `attention_probabilities/m` and `/n`,
    `[batch, heads, length, length]`. It is $M N$ costs, where a map of layers
    has $M$. A dense layer each, where widths differ, serves all of the
    teacher's layers.

    Source: Li et al. 2020, "BERT-EMD: Many-to-Many Layer Mapping for BERT
    Compression with Earth Mover's Distance", equations 3 to 8; its weights of
    layers, which follow their costs, are left out: all count alike. Cuturi
    2013, "Sinkhorn Distances".

    Args:
        student_layers: List of layers of the student.
        teacher_layers: List of layers of the teacher.
        on: `"hidden_states"`, `"attention_scores"` or
            `"attention_probabilities"`.
        regularization: Share of the mean cost that entropy is worth.
        projection: `"linear"`, `"relu"` or `"tanh"`: the activation of the
            dense layers.
        teacher_dim: Width of the teacher's states; needed only where they come
            from the cache.
        weight: Number or schedule that multiplies the loss.
        name: Defaults to `"layer_transport"`.

    Raises:
        ValueError: There are no layers, `on` is another word,
            `regularization` is not above 0, or the layers can't be compared.

    Example:

    >>> loss = LayerTransport(student_layers=[1], teacher_layers=[1, 2])
    >>> values = loss({"hidden_states/1": [[[1.0]]]},
    ...               {"hidden_states/1": [[[2.0]]],
    ...                "hidden_states/2": [[[4.0]]]})
    >>> [round(float(value), 3) for value in values]
    [5.0]
    """

    def __init__(
        self,
        student_layers,
        teacher_layers,
        on="hidden_states",
        regularization=REGULARIZATION,
        projection="linear",
        teacher_dim=None,
        weight=1.0,
        name="layer_transport",
    ):
        super().__init__(projection, teacher_dim, weight, name)
        if on not in DISTANCES:
            raise ValueError(
                f"`on` must be one of {list(DISTANCES)}. Received: {on!r}."
            )
        if not 0 < regularization < float("inf"):
            raise ValueError(
                "`regularization` must be above 0. Received: "
                f"{regularization}. Near 0 the plan is the cheapest one."
            )
        for role, layers in (
            ("student", student_layers),
            ("teacher", teacher_layers),
        ):
            if not isinstance(layers, (list, tuple, range)) or not layers:
                raise ValueError(
                    f"`{role}_layers` must be a list of layers, 0 being the "
                    f"embeddings. Received: {layers!r}. Give for example "
                    "[1, 2, 3]."
                )
        self.student_layers = list(student_layers)
        self.teacher_layers = list(teacher_layers)
        self.on = on
        self.projects = on == "hidden_states"
        self.regularization = regularization

    @property
    def student_outputs(self):
        return tuple(f"{self.on}/{layer}" for layer in self.student_layers)

    @property
    def teacher_outputs(self):
        return tuple(f"{self.on}/{layer}" for layer in self.teacher_layers)

    @property
    def compared_outputs(self):
        # All of the teacher's layers are of one width.
        first = self.teacher_outputs[0]
        return [(student, first) for student in self.student_outputs]

    def costs(self, student, teacher, mask):
        """`[batch, student layers, teacher layers]`: what each pair costs."""
        distance = DISTANCES[self.on]
        rows = []
        for names in self.compared_outputs:
            states = self.project(student[names[0]], *names)
            for name in self.teacher_outputs:
                check_same_shape(
                    self.name,
                    (names[0], name),
                    states,
                    teacher[name],
                    self.projects,
                )
            rows.append(
                ops.stack(
                    [
                        distance(states, teacher[name], mask)
                        for name in self.teacher_outputs
                    ],
                    axis=-1,
                )
            )
        return ops.stack(rows, axis=1)

    def per_example(self, student, teacher, context):
        costs = self.costs(student, teacher, context.mask)
        plan = transport_plan(costs, self.regularization)
        return ops.sum(plan * costs, axis=(1, 2))

    def get_config(self):
        return {
            **super().get_config(),
            "student_layers": self.student_layers,
            "teacher_layers": self.teacher_layers,
            "on": self.on,
            "regularization": self.regularization,
        }

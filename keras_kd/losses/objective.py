"""What a Distiller minimises: all its losses, each a sum over rows."""

from keras import ops

from keras_kd import batch
from keras_kd.losses.distillation_loss import check_weight
from keras_kd.losses.distillation_loss import weighted_sums
from keras_kd.losses.hard_labels import label_weights
from keras_kd.losses.hard_labels import labels_of
from keras_kd.losses.hard_labels import per_example
from keras_kd.schedules import value_at

HARD_LABELS = "hard_labels"


class Objective:
    """The hard-label loss and the distillation losses of a `Distiller`.

    Each is `sum(w * v) / sum(w)` over the rows of a batch. The two sums are
    given apart, so that the parts of a batch, on other devices or in other
    micro-batches, can be added up before they are divided.

    $$L = \\sum_l \\lambda_l(t) \\frac{\\sum_i w_{l,i} v_{l,i}}
      {\\sum_i w_{l,i}}$$

    Args:
        losses: List of `keras_kd.losses.DistillationLoss`.
        hard_label_weight: Number or schedule that multiplies the loss on
            labels.
        dtype: Type of the sums.

    Raises:
        ValueError: Two losses have the same name, or a weight is negative.
    """

    def __init__(self, losses, hard_label_weight, dtype="float32"):
        names = [loss.name for loss in losses]
        if len({HARD_LABELS, *names}) != len(names) + 1:
            raise ValueError(
                "Each loss needs a name of its own, other than "
                f"'{HARD_LABELS}'. Received: {names}. Give `name=` to a loss."
            )
        check_weight("`hard_label_weight`", hard_label_weight)
        self.losses_by_name = dict(zip(names, losses))
        self.hard_label_weight = hard_label_weight
        self.hard_label_loss = None
        self.dtype = dtype

    @property
    def names(self):
        """The names of all losses."""
        return [HARD_LABELS, *self.losses_by_name]

    @property
    def settings(self):
        """Everything that may be a schedule, by name."""
        return {
            f"the weight of {HARD_LABELS}": self.hard_label_weight,
            **{
                f"{key} of {name}": value
                for name, loss in self.losses_by_name.items()
                for key, value in vars(loss).items()
            },
        }

    def row_weights(self, targets, sample_weight, with_teacher=True):
        """The row weights of each loss that there are targets for.

        Args:
            targets: Dictionary of the contract of a batch.
            sample_weight: `[batch]`, or `None`.
            with_teacher: Whether there are outputs of the teacher. Without
                them the losses that read any are left out.

        Returns:
            Dictionary from names to `[batch]` weights; `None` where all rows
            count alike.
        """
        weights = {}
        if self.hard_label_loss is not None and batch.LABELS in targets:
            weights[HARD_LABELS] = label_weights(targets, sample_weight)
        for name, loss in self.losses_by_name.items():
            if with_teacher or not loss.teacher_outputs:
                weights[name] = sample_weight
        return weights

    def student_outputs(self):
        """Names of the student's outputs that the losses read."""
        losses = self.losses_by_name.values()
        return [name for loss in losses for name in loss.student_outputs]

    def teacher_outputs(self):
        """Names of the teacher's outputs that the losses read."""
        losses = self.losses_by_name.values()
        return [name for loss in losses for name in loss.teacher_outputs]

    def matched_outputs(self):
        """Names of the outputs that both models must have equally wide."""
        losses = self.losses_by_name.values()
        free = {n for one in losses if not one.same_width for n in one.outputs}
        return {batch.LOGITS, *self.student_outputs()} - free

    def sums(
        self,
        x,
        targets,
        outputs,
        predictions,
        sample_weight,
        step,
        with_teacher,
    ):
        """`{name: (sum(w * v), sum(w))}` over the rows of a batch.

        Args:
            x: Inputs of the batch.
            targets: Its targets, with the teacher's outputs.
            outputs: The student's outputs by name, with what layers give.
            predictions: What the loss on labels reads.
            sample_weight: `[batch]`, or `None`.
            step: Step of the optimizer, for schedules.
            with_teacher: As for `row_weights`.
        """
        mask = x.get(batch.PADDING_MASK) if isinstance(x, dict) else None
        labels = None
        if batch.LABELS in targets:
            labels = labels_of(targets, sample_weight)
        sums = {}
        for name, weights in self.row_weights(
            targets, sample_weight, with_teacher
        ).items():
            if name == HARD_LABELS:
                values = per_example(self.hard_label_loss, labels, predictions)
            else:
                values = self.losses_by_name[name](
                    outputs,
                    targets.get(batch.TEACHER, {}),
                    mask=mask,
                    token_mask=targets.get(batch.TOKEN_MASK),
                    step=step,
                    sample_weight=sample_weight,
                    labels=labels,
                    label_weight=targets.get(batch.LABEL_WEIGHT),
                )
            sums[name] = tuple(
                ops.cast(part, self.dtype)
                for part in weighted_sums(values, weights)
            )
        return sums

    def total(self, values, step):
        """The weighted sum of the losses' means, by name, at a step."""
        total = ops.zeros((), self.dtype)
        for name, value in values.items():
            weight = (
                self.hard_label_weight
                if name == HARD_LABELS
                else self.losses_by_name[name].weight
            )
            total = total + value * ops.cast(value_at(weight, step), self.dtype)
        return total

"""What a loss may read beside the outputs of student and teacher."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LossContext:
    """The rest of a batch, as a distillation loss sees it.

    Attributes:
        mask: `[batch, length]`, 1 on real tokens; `None` where the inputs have
            no padding.
        step: The optimizer's step, for schedules.
        sample_weight: `[batch]`, or `None` where all rows count alike. The
            mean over the batch is weighted by it anyway: it is for losses that
            compare the rows of a batch with one another.
        labels: The hard labels, 0 where a row has none; or `None`.
        label_weight: `[batch]`, 0 where a row has no label; or `None`.
    """

    mask: object = None
    step: object = 0
    sample_weight: object = None
    labels: object = None
    label_weight: object = None

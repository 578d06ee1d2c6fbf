"""What a loss may read beside the outputs of student and teacher."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LossContext:
    """The rest of a batch, as a distillation loss sees it.

    Attributes:
        mask: `[batch, length]`, 1 on real tokens; `None` where the inputs have
            no padding.
        token_mask: `[batch, length]`, 1 on the tokens whose logits count, in
            tasks of tokens: the first piece of each word, or the text that
            an answer may stand in. `None` where all real tokens do.
        step: The optimizer's step, for schedules.
        sample_weight: `[batch]`, or `None` where all rows count alike. The
            mean over the batch is weighted by it anyway: it is for losses that
            compare the rows of a batch with one another.
        labels: The hard labels, 0 where a row has none; or `None`.
        label_weight: `[batch]`, 0 where a row has no label; or `None`.
    """

    mask: object = None
    token_mask: object = None
    step: object = 0
    sample_weight: object = None
    labels: object = None
    label_weight: object = None

    @property
    def logits_mask(self):
        """The mask of logits for each token: of those that count."""
        return self.mask if self.token_mask is None else self.token_mask

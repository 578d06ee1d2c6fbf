"""How far a student is from its teacher, for either side's logits."""

import numpy as np


def divergence(student_logits, teacher_logits):
    """The mean Kullback-Leibler divergence of the rows, in float64.

    Args:
        student_logits: `[rows, classes]` array.
        teacher_logits: `[rows, classes]` array.
    """
    student, teacher = (
        _log_softmax(np.asarray(logits, "float64"))
        for logits in (student_logits, teacher_logits)
    )
    return float((np.exp(teacher) * (teacher - student)).sum(-1).mean())


def _log_softmax(logits):
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

"""What a comparison comes to: verdicts, agreement, and what to beware of."""

import numpy as np

from keras_kd.evaluation.regression_scores import prediction_sample
from keras_kd.evaluation.result import arm_title
from keras_kd.evaluation.result import arm_values
from keras_kd.evaluation.result import retention
from keras_kd.evaluation.significance import paired_bootstrap
from keras_kd.evaluation.significance import verdict

STUDENT_ARMS = ("alone", "distilled_labelled", "distilled", "control")
# Under what name each is compared with the student alone.
COMPARISONS = {
    "distilled": "comparison",
    "distilled_labelled": "comparison_labelled",
    "control": "control",
}
# A student that is no further above a trivial answer has learned nothing yet.
CLEARLY_BETTER = 0.02
CORRELATIONS = ("pearson", "spearman", "mcc")


def kept_arm(arms):
    """The arm whose student a run keeps; `None` where there is none."""
    return next((arm for arm in ("distilled", "alone") if arm in arms), None)


def judge(task, logits, references, result):
    """The comparisons that the trained arms allow.

    Args:
        task: The task.
        logits: The test logits of each arm, a list with one entry a seed.
        references: What the task scores the test rows by.
        result: The result so far, with its `arms`.

    Returns:
        Entries for the result: `comparison`, `comparison_labelled`, `control`,
        `agreement` and `retention`, each where its arms were trained, and the
        `predictions` of a regression.
    """
    answers = {
        arm: np.stack([task.comparable(one, references) for one in seeds])
        for arm, seeds in logits.items()
    }
    judgement = {}
    for arm, name in COMPARISONS.items():
        if {arm, "alone"} <= set(answers):
            interval = paired_bootstrap(
                answers["alone"],
                answers[arm],
                metric=task.bootstrap_metric,
                labels=references if task.bootstrap_metric else None,
            )
            judgement[name] = {
                **interval.to_dict(),
                "verdict": verdict(interval),
                "split": "test",
            }
    if "teacher" in logits:
        (teacher,) = logits["teacher"]
        students = [arm for arm in STUDENT_ARMS if arm in logits]
        judgement["agreement"] = {
            arm: float(
                np.mean(
                    [
                        task.agreement(teacher, one, references)
                        for one in logits[arm]
                    ]
                )
            )
            for arm in students
        }
        judgement["retention"] = {
            arm: retention(result, arm) for arm in students
        }
    if task.name == "regression":
        first = {arm: seeds[0] for arm, seeds in logits.items()}
        judgement["predictions"] = prediction_sample(references, first)
    return judgement


def runtime_warnings(task, moved):
    """Says what labelling in another runtime than Keras has changed.

    Args:
        task: The task.
        moved: From `Comparison.what_the_runtime_moves`; `None` for Keras.
    """
    if moved is None:
        return []
    how = task.agreement_title.replace("teacher", "Keras")
    return [
        f"The teacher labelled, and was scored on test, in {moved['runtime']}. "
        f"On {moved['rows']} validation rows it {how}: {moved['agreement']:.2%}"
        f"; mean divergence {moved['divergence']:.2g}."
    ]


def score_warnings(task, references, result):
    """Says where the scores leave little to be read from a comparison."""
    scores = {
        arm: np.mean(arm_values(result, arm, task.primary_metric))
        for arm in result["arms"]
    }
    # The control is to learn nothing.
    students = {
        arm: scores[arm]
        for arm in STUDENT_ARMS
        if arm in scores and arm != "control"
    }
    warnings = []
    if {"teacher", "alone"} <= set(scores):
        teacher, alone = scores["teacher"], scores["alone"]
        if alone >= teacher:
            warnings.append(
                f"The teacher ({teacher:.3f}) is no better than the student "
                f"alone ({alone:.3f}): there is little to learn from it. Train "
                "a better teacher."
            )
    for name, weight in result.get("teachers", ()):
        weights = result["configuration"]["teacher_weights"]
        if not weight and weights == "validation":
            warnings.append(
                f"The teacher '{name}' has the weight 0: the others score no "
                "better with it on validation. Leave it out, and labelling "
                "takes less time."
            )
    trivial = task.trivial_score(references)
    margin = CLEARLY_BETTER
    if task.primary_metric in CORRELATIONS:
        # That of numbers drawn at random is 1 / sqrt(rows) off 0, as a rule.
        margin = max(margin, 2 / len(references) ** 0.5)
    poor = {
        arm: score
        for arm, score in students.items()
        if score < trivial + margin
    }
    if poor:
        named = ", ".join(
            f"{arm_title(arm)} {score:.3f}" for arm, score in poor.items()
        )
        warnings.append(
            "Not clearly better than answers that ignore the text "
            f"({trivial:.3f}): {named}. Train for more steps, or on more rows, "
            "before anything is read from this comparison."
        )
    return warnings

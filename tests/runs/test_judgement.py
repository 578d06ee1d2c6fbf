"""What a comparison's scores leave to be read from it."""

import numpy as np
import pytest

from keras_kd.runs.judgement import score_warnings
from keras_kd.tasks.text_classification import TextClassification
from keras_kd.tasks.text_regression import TextRegression

TASK = TextClassification(["no", "yes"])
LABELS = np.array([0, 1, 1, 1, 0])  # To say `yes` always is right in 0.6.


def result(**arms):
    return {
        "primary_metric": "accuracy",
        "arms": {
            arm: {"seeds": [{"scores": {"accuracy": one}} for one in scores]}
            for arm, scores in arms.items()
        },
    }


def test_good_scores_need_no_word():
    good = result(teacher=[0.9], alone=[0.7], distilled=[0.8], control=[0.5])
    assert score_warnings(TASK, LABELS, good) == []


def test_teacher_that_is_no_better():
    (warning,) = score_warnings(
        TASK, LABELS, result(teacher=[0.7], alone=[0.7, 0.72])
    )
    assert warning.startswith("The teacher (0.700) is no better than the stud")


def test_teacher_that_is_not_heard():
    good = result(teacher=[0.9], alone=[0.7])
    good["teachers"] = [("one", 0.75), ("two", 0.25), ("three", 0.0)]
    # Nobody measured what weights that were given leave out.
    good["configuration"] = {"teacher_weights": [3.0, 1.0, 0.0]}
    assert score_warnings(TASK, LABELS, good) == []
    good["configuration"] = {"teacher_weights": "validation"}
    (warning,) = score_warnings(TASK, LABELS, good)
    assert warning.startswith("The teacher 'three' has the weight 0: the oth")


@pytest.mark.parametrize(
    "arms, named",
    [
        ({"alone": [0.8], "distilled": [0.4, 0.6]}, "student distilled 0.500"),
        ({"alone": [0.61], "distilled": [0.8]}, "student alone 0.610"),
        (
            {"alone": [0.6], "distilled": [0.6]},
            "student alone 0.600, student distilled 0.600",
        ),
    ],
)
def test_students_that_have_learned_nothing(arms, named):
    (warning,) = score_warnings(TASK, LABELS, result(**arms))
    assert warning.startswith(
        "Not clearly better than answers that ignore the text (0.600): "
        f"{named}. Train for more steps"
    )


def test_a_correlation_that_chance_gives_too():
    task = TextRegression()
    numbers = np.linspace(0, 5, 100)

    def warned(score):
        one = {"seeds": [{"scores": {"pearson": score}}]}
        given = {"primary_metric": "pearson", "arms": {"alone": one}}
        return score_warnings(task, numbers, given)

    assert warned(0.25) == []
    (warning,) = warned(0.19)
    assert "ignore the text (0.000): student alone 0.190" in warning

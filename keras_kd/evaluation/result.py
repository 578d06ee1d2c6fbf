"""Reading the plain dictionary that a run's result is; see `report`."""

import dataclasses
import math

import numpy as np

from keras_kd.evaluation.metrics import check_primary_metric

ARM_TITLES = {
    "teacher": "teacher",
    "alone": "student alone",
    "distilled": "student distilled",
    "distilled_labelled": "student distilled, labelled rows",
    "control": "control, shuffled targets",
}
AGREEMENT_TITLE = "agrees with teacher"


def check_result(result: dict) -> None:
    """Checks that there is something to report.

    Args:
        result: The result of a run.

    Raises:
        ValueError: The result has no arm, an arm without seeds, or a primary
            metric of which less is better.
    """
    check_primary_metric(primary_metric(result))
    arms = result.get("arms") or {}
    if not arms or not all(arm.get("seeds") for arm in arms.values()):
        received = {
            name: len(arm.get("seeds", ())) for name, arm in arms.items()
        }
        raise ValueError(
            "A result needs at least one arm, and each arm at least one seed. "
            f"Received arms with these numbers of seeds: {received}. Leave an "
            "arm out of the result until one of its runs has ended."
        )


def arm_title(arm: str) -> str:
    """What an arm is called in tables and plots."""
    return ARM_TITLES.get(arm, arm.replace("_", " "))


def primary_metric(result: dict) -> str:
    """The entry of `scores` that models are compared by."""
    return result.get("primary_metric", "accuracy")


def compared_split(result: dict) -> str:
    """The part of the data that the scores are of."""
    return (result.get("comparison") or {}).get("split", "test")


def agreement_title(result: dict) -> str:
    """What the agreement with the teacher is called."""
    return result.get("agreement_title", AGREEMENT_TITLE)


def arm_values(result: dict, arm: str, key: str) -> list[float]:
    """An entry of each seed of an arm, such as its `steps` or `accuracy`.

    Args:
        result: The result of a run.
        arm: Name of the arm; one that is missing has no values.
        key: An entry of the seed, or of its `scores`.

    Returns:
        The values of the seeds that have one.
    """
    seeds = result["arms"].get(arm, {}).get("seeds", ())
    values = [seed.get(key, seed.get("scores", {}).get(key)) for seed in seeds]
    return [value for value in values if value is not None]


def arm_mean(result: dict, arm: str, key: str) -> float | None:
    """A value that the result holds by arm, such as `agreement`.

    A number instead of a dictionary is the distilled student's; a list is
    averaged.

    Args:
        result: The result of a run.
        arm: Name of the arm.
        key: An entry of the result.
    """
    value = result.get(key)
    if isinstance(value, dict):
        value = value.get(arm)
    elif arm != "distilled":
        value = None
    return None if value is None else float(np.mean(value))


def retention(result: dict, arm: str) -> float | None:
    """An arm's score as a share of the teacher's.

    Args:
        result: The result of a run. What it gives as `retention` counts;
            otherwise it is worked out from the scores.
        arm: Name of the arm.
    """
    given = arm_mean(result, arm, "retention")
    if given is not None or arm == "teacher":
        return given
    teacher = arm_values(result, "teacher", primary_metric(result))
    own = arm_values(result, arm, primary_metric(result))
    if not teacher or not own or np.mean(teacher) <= 0:
        return None
    return float(np.mean(own) / np.mean(teacher))


def plain(value):
    """What JSON can hold: NumPy becomes Python, NaN and infinity `None`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)

"""What is searched, how, and for how long."""

import dataclasses
from dataclasses import dataclass
from dataclasses import field

from keras_kd.configuration import ConfigurationError
from keras_kd.tuning.pareto import OBJECTIVES

ALGORITHMS = ("hyperband", "bayesian", "random")
TRIALS = 20


@dataclass
class Search:
    """The settings of a search, beside those of the run that it changes.

    Args:
        tune: List of settings to search, with ranges of their own or without;
            see `keras_kd.tuning.ranges.read_ranges`.
        algorithm: One of `ALGORITHMS`.
        trials: Students that are trained; by default 20, and one sweep of
            Hyperband.
        objectives: Some of `"score"`, `"latency"` and `"size"`, with the score
            among them. The search goes by the validation score; several
            objectives mark the trials that no other beats in all of them.
        seed: Seed of all trials, and of the search itself.

    Raises:
        ConfigurationError: A value out of its range.

    Example:

    >>> Search(["temperature", "width=16,32"], algorithm="random").trials
    20
    """

    tune: list = field(
        default_factory=lambda: ["temperature", "alpha", "learning_rate"]
    )
    algorithm: str = "bayesian"
    trials: int | None = None
    objectives: list = field(default_factory=lambda: ["score"])
    seed: int = 1000

    def __post_init__(self):
        if self.algorithm not in ALGORITHMS:
            _refuse("algorithm", self.algorithm, f"one of {list(ALGORITHMS)}")
        if self.trials is None and self.algorithm != "hyperband":
            self.trials = TRIALS
        if self.trials is not None and self.trials < 1:
            _refuse("trials", self.trials, "1 or more")
        objectives = self.objectives
        if "score" not in objectives or set(objectives) - set(OBJECTIVES):
            which = f"score, and perhaps others of {list(OBJECTIVES)}"
            _refuse("objectives", objectives, which)
        if not 0 <= self.seed < 2**32 - 1:
            _refuse("search_seed", self.seed, "0 or more, and below 2**32 - 1")

    def to_dict(self):
        """All settings, for JSON."""
        return dataclasses.asdict(self)


def _refuse(name, received, allowed):
    raise ConfigurationError(
        f"`{name}` must be {allowed}. Received: {received!r}."
    )

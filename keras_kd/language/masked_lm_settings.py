"""Everything that decides how a language model is distilled."""

import dataclasses
import math
from dataclasses import dataclass
from dataclasses import field
from typing import Optional

from keras_kd.configuration import ConfigurationError
from keras_kd.configuration.setting_flags import flag_of
from keras_kd.language.text_parts import TEST_HELP
from keras_kd.language.text_parts import TEST_TEXTS
from keras_kd.language.text_parts import VALIDATION_HELP
from keras_kd.language.text_parts import VALIDATION_TEXTS


def _setting(default, text):
    return field(default=default, metadata={"help": text})


@dataclass
class MaskedLMSettings:
    """The settings of `MaskedLMDistillation`; each is a flag of the recipe.

    Raises:
        ConfigurationError: A value out of its range.

    Example:

    >>> settings = MaskedLMSettings(
    ...     data="text.txt", teacher="bert/", student_layers=[0, 2, 5]
    ... )
    >>> settings.alpha_ce, settings.temperature
    (5.0, 2.0)

    Source: the weights and rates are those of the code of Sanh et al. 2019,
    "DistilBERT".
    """

    # === Text ===
    data: str = _setting(None, "texts, one a line, or a column called text")
    texts: Optional[int] = _setting(None, "texts to train on (default: all)")
    validation_texts: int = _setting(VALIDATION_TEXTS, VALIDATION_HELP)
    test_texts: int = _setting(TEST_TEXTS, TEST_HELP)
    max_length: int = _setting(128, "tokens of a window")
    tokenized_data: Optional[str] = _setting(
        None, "folder of the tokens, used again (default: in the run)"
    )
    token_counts: Optional[str] = _setting(
        None, "file of the token counts, used again (default: in the run)"
    )
    overwrite: bool = _setting(
        False, "make tokens and counts anew where others stand"
    )

    # === Masks ===
    mask_share: float = _setting(0.15, "share of the tokens that are told")
    mask_masked: float = _setting(0.8, "share of these that are hidden")
    mask_random: float = _setting(0.1, "share of these that are replaced")
    mask_smoothing: float = _setting(
        0.7, "how much more often rare tokens are told; 0: all alike"
    )

    # === Models ===
    teacher: str = _setting(None, "masked (or causal) language model")
    student_layers: Optional[list[int]] = _setting(
        None, "layers of the teacher, from 0, that the student begins as"
    )
    student: Optional[str] = _setting(
        None, "a Hugging Face folder that the student begins as instead"
    )
    width: Optional[int] = _setting(None, "of a narrower student")
    heads: Optional[int] = _setting(None, "of a narrower student")
    intermediate: Optional[int] = _setting(None, "of a narrower student")
    allow_pickle: bool = _setting(
        False, "read a pytorch_model.bin, which may run code when it is read"
    )

    # === Losses ===
    alpha_ce: float = _setting(
        5.0, "weight of the teacher's probabilities (soft targets)"
    )
    alpha_mlm: Optional[float] = _setting(
        None, "weight of the masked words themselves (default: 2)"
    )
    alpha_cos: float = _setting(
        1.0, "weight of the directions of the last hidden states"
    )
    alpha_clm: Optional[float] = _setting(
        None, "weight of the next words, of causal models (default: 2)"
    )
    temperature: float = _setting(2.0, "temperature of the soft targets")
    cache_top_k: int = _setting(
        0, "keep the teacher's best k words of each mask on disk, and all "
        "others as one; 0: the teacher runs live"
    )  # fmt: skip
    cache_masks: int = _setting(
        4, "with --cache-top-k, masks of each window, taken in turn"
    )
    cache_limit: float = _setting(
        20.0, "GB that the cache may take; else the teacher runs live"
    )

    # === Training ===
    epochs: float = _setting(3.0, "how often all windows are seen")
    steps: Optional[int] = _setting(None, "optimizer steps instead")
    evaluate_every: Optional[int] = _setting(
        None, "steps between two checkpoints (default: an epoch)"
    )
    batch_size: int = _setting(32, "windows a batch")
    accumulation_steps: int = _setting(
        1, "micro-batches that a batch is computed in, to save memory"
    )
    learning_rate: float = _setting(5e-4, "peak of the learning rate")
    warmup: float = _setting(0.05, "share of the steps in which it rises")
    group_by_length: bool = _setting(
        True, "put windows of like length into a batch"
    )
    seed: int = _setting(0, "seed of order, masks and dropout")

    def __post_init__(self):
        for name in ("data", "teacher"):
            if getattr(self, name) is None:
                _refuse(name, None, "given")
        if (self.student_layers is None) == (self.student is None):
            _refuse(
                "student_layers", self.student_layers,
                "given, or --student instead of it",
            )  # fmt: skip
        sizes = (self.width, self.heads, self.intermediate)
        if self.student is not None and any(sizes):
            _refuse("width", self.width, "left out with --student")
        for name in (
            "alpha_ce", "alpha_mlm", "alpha_cos", "alpha_clm",
            "mask_smoothing", "cache_top_k", "cache_limit",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                _refuse(name, value, "0 or more, and finite")
        for name in (
            "temperature", "epochs", "steps", "batch_size", "learning_rate",
            "evaluate_every", "validation_texts", "test_texts", "texts",
            "cache_masks", "max_length", "accumulation_steps", "width",
            "heads", "intermediate",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                _refuse(name, value, "above 0 and finite")
        if not 0 <= self.seed < 2**32:
            _refuse("seed", self.seed, "0 or more, and below 2**32")
        for name in ("mask_share", "mask_masked", "mask_random"):
            if not 0 <= getattr(self, name) <= 1:
                _refuse(name, getattr(self, name), "from 0 to 1")
        if not self.mask_share:
            _refuse("mask_share", self.mask_share, "above 0")
        if self.mask_masked + self.mask_random > 1:
            _refuse(
                "mask_random", self.mask_random,
                f"at most {1 - self.mask_masked:g}: with --mask-masked "
                f"{self.mask_masked} it would be more than all",
            )  # fmt: skip
        if not 0 <= self.warmup < 1:
            _refuse("warmup", self.warmup, "0 or more and below 1")
        if self.cache_top_k and self.alpha_cos:
            _refuse(
                "cache_top_k", self.cache_top_k,
                "0 where --alpha-cos is not: hidden states are not kept on "
                "disk, and the teacher has to run live for them",
            )  # fmt: skip

    def to_dict(self):
        """All settings, the defaults included."""
        return dataclasses.asdict(self)


def _refuse(name, value, expected):
    raise ConfigurationError(
        f"{flag_of(name)} must be {expected}. Received: {value!r}."
    )

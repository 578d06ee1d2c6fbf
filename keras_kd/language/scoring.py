"""How well a language model tells the tokens of a held-out text."""

import math

from keras_kd.data.language_batches import evaluation_language_batches
from keras_kd.distiller import Distiller
from keras_kd.losses.token_accuracy import TokenAccuracy
from keras_kd.losses.token_cross_entropy import TokenCrossEntropy


class LanguageScorer:
    """Scores a model, always with the same masks.

    Args:
        model: The teacher, or a student.
        models: `keras_kd.language.language_models.LanguageModels`.
        masking: `keras_kd.data.masking.TokenMasking`; `None` of causal models.

    Attributes:
        asked: The model that gives logits at the places it is asked about.
    """

    def __init__(self, model, models, masking):
        self.model, self.asked = model, models.asked(model)
        self._models, self._masking = models, masking
        self._distiller = Distiller(self.asked)
        self._distiller.compile(
            metrics=[
                TokenAccuracy(name="accuracy"),
                TokenCrossEntropy(name="cross_entropy"),
            ]
        )

    def accuracy_and_loss(self, rows):
        """The share of tokens it tells, and its mean cross-entropy."""
        make = self._models.batches_of(rows, self.asked, self._masking)
        logs = self._distiller.evaluate(
            evaluation_language_batches(rows, make), verbose=0, return_dict=True
        )
        return logs["accuracy"], logs["cross_entropy"]

    def scores(self, rows):
        """Perplexity and accuracy, and the model's size: a dictionary."""
        accuracy, loss = self.accuracy_and_loss(rows)
        return {
            "perplexity": math.exp(loss),
            "accuracy": accuracy,
            "parameters": self.model.count_params(),
        }

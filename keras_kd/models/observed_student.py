"""A student as it is trained: seen into, rounded, and faster."""

import contextlib

import keras

from keras_kd import batch
from keras_kd.models.layer_outputs import observe
from keras_kd.models.weight_quantization import WeightQuantization


class ObservedStudent:
    """Runs a student, with what losses read of its layers.

    A plain object, because Keras tracks, and saves, every model that is an
    attribute of another one: the student is to be there once.

    Args:
        student: Functional `keras.Model`.
        outputs: Names of `keras_kd.models.layer_outputs` that it is to give.
        quantization: One of `WEIGHT_QUANTIZATIONS` to run with rounded
            weights; `None` for the weights as they are.

    Raises:
        ValueError: A name that it has not, or nothing that could be rounded.
    """

    def __init__(self, student, outputs, quantization=None):
        self.student = student
        self._observed = self._run = observe(student, outputs)
        self._rounding = None
        if quantization is not None:
            self._rounding = WeightQuantization(student, quantization)

    @property
    def symbolic_outputs(self):
        """What it gives by name, as symbolic tensors."""
        return batch.named_outputs(self._observed.output)

    @property
    def penalties(self):
        """What the student's layers have added to the loss."""
        rounded = self._rounding.penalties if self._rounding else []
        return [*self.student.losses, *rounded]

    def choose_layers(self, jit_compile):
        """Has layers computed by whatever is fastest to train.

        Args:
            jit_compile: Whether XLA compiles them: then they stay as they are.
        """
        self._run = self._observed
        if keras.config.backend() == "tensorflow" and not jit_compile:
            from keras_kd.models.for_training import for_training

            self._run = for_training(self._observed)

    def __call__(self, inputs, training=None, with_layers=True):
        """The outputs; of the student alone, if not `with_layers`."""
        model = self._run if with_layers else self.student
        inputs = batch.select_inputs(model, inputs)
        if self._rounding is None:
            return model(inputs, training=training)
        return self._rounding.run(lambda: model(inputs, training=training))

    def deployed_weights(self):
        """Context in which the student's weights are those of its file."""
        if self._rounding is None:
            return contextlib.nullcontext()
        return self._rounding.applied()

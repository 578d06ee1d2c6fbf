"""A teacher that runs beside its student."""

import keras
from keras import ops

from keras_kd import batch
from keras_kd.models.inference_encoder import for_inference
from keras_kd.models.layer_outputs import observe


class LiveTeacher:
    """A model's outputs, and those of its layers, that nothing is learned in.

    A plain object, because Keras tracks, and saves, every model that is an
    attribute of another one.

    Args:
        model: Functional `keras.Model`.
        outputs: Names of `keras_kd.models.layer_outputs` that it is to give.
    """

    def __init__(self, model, outputs):
        self.model = model
        self._observed = observe(for_inference(model), outputs)

    @property
    def symbolic_outputs(self):
        """What it gives by name, as symbolic tensors."""
        return batch.named_outputs(self._observed.output)

    def outputs(self, x, targets):
        """What it gives of a batch, by name.

        Args:
            x: The student's inputs, which it reads where there are no others.
            targets: Dictionary of the contract of a batch.
        """
        inputs = targets.get(batch.TEACHER_INPUTS, x)
        inputs = batch.select_inputs(self._observed, inputs, is_teacher=True)
        outputs = self._observed(inputs, training=False)
        return keras.tree.map_structure(
            ops.stop_gradient, batch.named_outputs(outputs)
        )

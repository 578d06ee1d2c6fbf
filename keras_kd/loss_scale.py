"""Gradients of students in float16, which underflow unless they are scaled."""

import keras


def with_loss_scale(optimizer, student):
    """The optimizer, which scales the loss where the student needs it.

    Keras looks at the type of the model that is compiled, a Distiller's own,
    which is not that of a student that was built before.

    Args:
        optimizer: As in `compile`: an object, a name or a configuration.
        student: `keras.Model` whose layers say what they compute in.

    Returns:
        A `keras.optimizers.Optimizer`; a `LossScaleOptimizer` if a layer
        computes in float16.
    """
    optimizer = keras.optimizers.get(optimizer)
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    float16 = any(
        layer.compute_dtype == "float16" for layer in student._flatten_layers()
    )
    if float16 and not scales:
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer

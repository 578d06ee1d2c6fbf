"""Students that begin as another one."""

from pathlib import Path

import keras

from keras_kd.models.pretrained import load_pretrained


def start_from(student, path):
    """Copies the weights of a saved model, layer by layer.

    What has the same name and the same shapes is copied, all else is left as
    it is: a student that was taught by a general teacher gets a fresh head for
    its task. Of a longer position table the first rows are copied.

    Args:
        student: The student; changed in place.
        path: A `.keras` file, or a Hugging Face folder, of whose model the
            layers below the head are copied: of a language model of the same
            shape, for example.

    Returns:
        Names of the student's layers that were left as they are.

    Raises:
        ValueError: No layer could be copied.

    Example:

    ```python
    fresh = start_from(student, "tinybert/student.keras")
    ```
    """
    import keras_hub

    given = {layer.name: layer.get_weights() for layer in _load(path).layers}
    own = {layer.name: layer for layer in student.layers if layer.weights}
    left = []
    for name, layer in own.items():
        weights = given.get(name, [])
        if isinstance(layer, keras_hub.layers.PositionEmbedding):
            weights = [table[: layer.sequence_length] for table in weights]
        if [w.shape for w in weights] == [w.shape for w in layer.weights]:
            layer.set_weights(weights)
        else:
            left.append(name)
    if len(left) == len(own):
        raise ValueError(
            f"No layer of the student has the name and the shapes of one in "
            f"'{path}'. Received: {sorted(own)} of the student and "
            f"{sorted(name for name, ws in given.items() if ws)} there. Give "
            "the student the same kind and sizes."
        )
    return left


def _load(path):
    if Path(path).is_dir():
        return load_pretrained(path, task_head=None)
    return keras.saving.load_model(path, compile=False)

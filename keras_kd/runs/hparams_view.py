"""What TensorBoard's HParams view shows of a search or of a study."""

from keras_kd.atomic_files import folder_aside

FOLDER = "hparams"


def write_hparams(folder, settings, metrics):
    """Writes the settings and scores of one training for the HParams view.

    `tensorboard --logdir` of a folder above several of them shows a table,
    and how scores and settings hang together.

    Args:
        folder: Folder of the training; the events go into `hparams` in it,
            and replace earlier ones.
        settings: Dictionary of numbers, strings and booleans.
        metrics: Dictionary of numbers.
    """
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    with folder_aside(folder / FOLDER) as temporary:
        writer = tf.summary.create_file_writer(str(temporary))
        with writer.as_default():
            api.hparams(settings, trial_id=folder.name)
            for name, value in metrics.items():
                tf.summary.scalar(name, value, step=0)
        writer.close()

"""The teacher's best words for masks that are kept, where there is room."""

from pathlib import Path

from keras_kd import batch
from keras_kd.data.fixed_masks import count_masks
from keras_kd.data.fixed_masks import fixed_batches_of
from keras_kd.data.fixed_masks import fixed_masks
from keras_kd.inference import keras_runtime
from keras_kd.progress import progress_bar
from keras_kd.teachers.cache import TeacherTargets
from keras_kd.teachers.teacher import weights_hash
from keras_kd.teachers.top_k import TOP_K_OUTPUTS
from keras_kd.teachers.top_k import cache_bytes
from keras_kd.teachers.top_k import top_k_teacher


def kept_targets(folder, teacher, rows, masking, settings, made_of, say):
    """Masks of all rows, and the teacher's best words for them, on disk.

    Args:
        folder: Folder of both.
        teacher: Model of `keras_kd.models.masked_lm.at_positions`.
        rows: `Rows` of `keras_kd.data.text_windows`.
        masking: `keras_kd.data.masking.TokenMasking`.
        settings: `keras_kd.language.masked_lm_settings.MaskedLMSettings`.
        made_of: Dictionary of what rows and masking are made of.
        say: Function that is told what happens.

    Returns:
        `(masked rows, TeacherTargets)`; `None` where they would take more than
        the settings' limit.
    """
    count = settings.cache_masks
    size = cache_bytes(count_masks(rows, masking) * count, settings.cache_top_k)
    if size > settings.cache_limit * 1e9:
        say(
            f"The teacher runs live: its best {settings.cache_top_k} words for "
            f"{count} masks of each window would take {size / 1e9:.1f} GB, "
            f"above --cache-limit {settings.cache_limit:g}."
        )
        return None
    folder = Path(folder)
    masked = fixed_masks(
        folder / "masks", rows, masking, count, settings.seed, made_of
    )
    fingerprint = {
        "weights": weights_hash(teacher),
        "k": settings.cache_top_k,
        "temperature": settings.temperature,
    }
    targets = TeacherTargets(
        folder / "targets", fingerprint, TOP_K_OUTPUTS, batch.MASK_POSITIONS
    )
    missing = len(targets.missing(masked))
    if missing:
        say(f"The teacher labels {missing} masked windows ...")
        model = top_k_teacher(
            teacher, settings.cache_top_k, settings.temperature
        )
        with progress_bar("labelling", missing) as advance:
            targets.label(keras_runtime(model), masked, progress=advance)
    return masked, targets


def kept_batches(kept, model, rows):
    """What makes batches of kept targets, for `data.language_batches`.

    Args:
        kept: What `kept_targets` gives.
        model: The student, asked at positions.
        rows: The rows without masks.
    """
    masked, targets = kept
    return fixed_batches_of(masked, targets, model, len(rows))

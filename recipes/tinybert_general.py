"""TinyBERT's general stage: a small BERT learns layers on raw text."""

from pathlib import Path

from keras_kd.commands.guard import load_keras
from keras_kd.configuration import ConfigurationError
from keras_kd.setting_flags import resolve_settings
from keras_kd.text_parts import text_parts


def teach_general(options, layers):
    """Teaches a student the layers of a teacher on raw text; resumable.

    Args:
        options: Parsed options: `data` is a file of texts, `texts` how many
            are trained on, `run` the folder; `validation_texts` and
            `test_texts` are kept from it. All else is in the settings.
        layers: Names of the losses between layers.
    """
    for name in ("data", "run"):
        if getattr(options, name) is None:
            raise ConfigurationError(f"--{name} is needed.")
    settings = resolve_settings(options)
    load_keras()
    import keras

    from keras_kd.atomic_files import write_aside
    from keras_kd.data.pipeline import evaluation_batches
    from keras_kd.data.pipeline import training_batches
    from keras_kd.data.tokenization import Tokenizer
    from keras_kd.distiller import Distiller
    from keras_kd.layer_distillation import layer_losses
    from keras_kd.models.huggingface_folder import resolve_folder
    from keras_kd.models.pretrained import load_pretrained
    from keras_kd.models.students import build_student
    from keras_kd.progress import TrainingProgress
    from keras_kd.raw_text import read_windows
    from keras_kd.training import STATE_SECONDS
    from keras_kd.training import adamw
    from keras_kd.training import train_unit

    folder = resolve_folder(settings.teacher)
    tokenizer = Tokenizer.from_folder(folder)
    rows, _ = read_windows(
        options.data,
        text_parts(options.texts, options.validation_texts, options.test_texts),
        tokenizer,
        settings.max_length,
        Path(options.run) / "tokens",
    )
    keras.utils.set_random_seed(settings.seeds[0])
    # Layers alone are matched: a head of the teacher has no say.
    teacher = load_pretrained(folder, task_head=None)
    student = build_student(
        settings.student,
        tokenizer.vocabulary_size,
        2,  # The head has no meaning yet.
        settings.layers,
        settings.width,
        dropout=settings.dropout,
        heads=settings.heads,
        intermediate=settings.intermediate,
    )
    distiller = Distiller(
        student,
        teacher,
        layer_losses(
            settings.layer_losses or layers,
            student,
            teacher,
            settings.layer_map,
            settings.layer_weight,
            settings.relation_heads,
        ),
    )
    distiller.compile(adamw(settings.learning_rate, settings.steps))

    def score():
        batches = evaluation_batches(
            rows["validation"], student, teacher=teacher
        )
        return -distiller.evaluate(batches, verbose=0, return_dict=True)["loss"]

    result = train_unit(
        Path(options.run) / "unit",
        distiller,
        lambda step: training_batches(
            rows["train"],
            student,
            settings.batch_size,
            settings.seeds[0],
            start_step=step,
            teacher=teacher,
        ),
        score,
        settings.steps,
        settings.evaluate_every,
        callbacks=[TrainingProgress("general stage", settings.steps, print)],
        state_seconds=STATE_SECONDS,
    )
    path = Path(options.run) / "student.keras"
    with write_aside(path) as temporary:
        student.save(temporary)
    print(
        f"Loss between the layers, on texts that were not trained on: "
        f"{-result['history'][0]['validation']:.4f} at step "
        f"{result['history'][0]['step']}, {-result['best_score']:.4f} at step "
        f"{result['best_step']} ({result['seconds']:.0f} s).\nStudent: {path}"
    )

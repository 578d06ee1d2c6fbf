"""TinyBERT's general stage: a small BERT learns layers on raw text."""

import json
from pathlib import Path

from keras_kd.commands.guard import load_keras
from keras_kd.configuration import Configuration
from keras_kd.configuration import ConfigurationError
from keras_kd.configuration.setting_flags import flag_of
from keras_kd.configuration.setting_flags import resolve_settings
from keras_kd.language.text_parts import text_parts

# What the stage goes by. It has neither labels nor arms, and one seed.
SETTINGS = (
    "teacher", "max_length", "student", "layers", "teacher_layers", "width",
    "heads", "intermediate", "convolution", "dropout", "layer_losses",
    "layer_map", "layer_weight", "relation_heads", "learning_rate", "steps",
    "evaluate_every", "batch_size", "accumulation_steps", "seeds",
)  # fmt: skip


def teach_general(options):
    """Teaches a student the layers of a teacher on raw text; resumable.

    Args:
        options: Parsed options: `data` is a file of texts, `texts` how many
            are trained on, `run` the folder; `validation_texts` and
            `test_texts` are kept from it. All else is in the settings.

    Raises:
        ConfigurationError: An option that the stage does not know, or a run
            with other settings in the folder.
    """
    settings = resolve_settings(options)
    if options.print_config:
        print(json.dumps(settings.to_dict(), indent=2, ensure_ascii=False))
        return
    check_options(options, settings)
    load_keras()
    import keras

    from keras_kd.atomic_files import write_aside
    from keras_kd.data.pipeline import evaluation_batches
    from keras_kd.data.pipeline import training_batches
    from keras_kd.data.tokenization import Tokenizer
    from keras_kd.distiller import Distiller
    from keras_kd.language.raw_text import read_windows
    from keras_kd.models.huggingface_folder import resolve_folder
    from keras_kd.models.pretrained import load_pretrained
    from keras_kd.models.students import build_student
    from keras_kd.runs.layer_distillation import layer_losses
    from keras_kd.runs.run_folder import RunFolder
    from keras_kd.runs.student_start import student_of_teacher
    from keras_kd.runs.teacher_checks import check_length
    from keras_kd.runs.training import adamw
    from keras_kd.runs.training import train_unit
    from keras_kd.teachers.teacher import Teacher
    from keras_kd.teachers.teacher import weights_hash

    run_folder = RunFolder(options.run)
    run_folder.hold_to_settings(
        {
            **{name: getattr(settings, name) for name in SETTINGS},
            "texts": options.texts,
        }
    )
    folder = resolve_folder(settings.teachers[0])
    # Layers alone are matched: a head of the teacher has no say.
    teacher = load_pretrained(folder, task_head=None)
    check_length(teacher, settings.max_length)
    run_folder.hold_to("teacher", {"weights": weights_hash(teacher)})
    tokenizer = Tokenizer.from_folder(folder)
    rows, _ = read_windows(
        run_folder,
        options.data,
        text_parts(options.texts, options.validation_texts, options.test_texts),
        tokenizer,
        settings.max_length,
    )
    keras.utils.set_random_seed(settings.seeds[0])
    if settings.teacher_layers is not None:
        student = student_of_teacher(
            settings, Teacher(teacher, tokenizer), rows["train"]
        )
    else:
        student = build_student(
            settings.student,
            tokenizer.vocabulary_size,
            2,  # The head has no meaning yet.
            settings.layers,
            settings.width,
            dropout=settings.dropout,
            heads=settings.heads,
            intermediate=settings.intermediate,
            convolution=settings.convolution,
        )
    distiller = Distiller(
        student,
        teacher,
        layer_losses(
            settings.layer_losses,
            student,
            teacher,
            settings.layer_map,
            settings.layer_weight,
            settings.relation_heads,
        ),
    )
    distiller.compile(
        adamw(settings.learning_rate, settings.steps),
        accumulation_steps=settings.accumulation_steps,
    )

    def score():
        batches = evaluation_batches(
            rows["validation"], student, teacher=teacher
        )
        return -distiller.evaluate(batches, verbose=0, return_dict=True)["loss"]

    result = train_unit(
        run_folder.unit("general"),
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
        "general stage",
    )
    path = run_folder.folder / "student.keras"
    with write_aside(path) as temporary:
        student.save(temporary)
    print(
        f"Loss between the layers, on texts that were not trained on: "
        f"{-result['history'][0]['validation']:.4f} at step "
        f"{result['history'][0]['step']}, {-result['best_score']:.4f} at step "
        f"{result['best_step']} ({result['seconds']:.0f} s).\nStudent: {path}"
    )


def check_options(options, settings):
    """Refuses what the general stage would ignore.

    Args:
        options: Parsed options.
        settings: The `Configuration` that they give.

    Raises:
        ConfigurationError: Such an option, or one that is missing.
    """
    for name in ("data", "run"):
        if getattr(options, name) is None:
            raise ConfigurationError(f"--{name} is needed.")
    if not Path(options.data).is_file():
        raise ConfigurationError(
            "--data must be a file of texts, one a line, with --stage general. "
            f"Received: '{options.data}'."
        )
    usual = Configuration.from_dict(options.default_settings).to_dict()
    given = [
        flag_of(name)
        for name, value in settings.to_dict().items()
        if name not in SETTINGS and value != usual[name]
    ]
    given += [
        flag_of(name)
        for name in ("mode", "tune", "study")
        if getattr(options, name) is not None
    ]
    if given:
        raise ConfigurationError(
            "--stage general reads raw text, and trains one student on layers "
            f"alone. Received: {', '.join(given)}, which it has no use for. "
            "Leave it out, or give it with --stage both."
        )
    if len(settings.teachers) > 1 or len(settings.seeds) > 1:
        raise ConfigurationError(
            "--stage general has one teacher and one seed. Received: --teacher "
            f"{' '.join(settings.teachers)} and --seeds "
            f"{' '.join(map(str, settings.seeds))}."
        )

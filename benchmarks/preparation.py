"""What all sides of a comparison read: rows, a teacher, its targets."""

import json
import time
from pathlib import Path

import numpy as np

from keras_kd.atomic_files import write_json

TEXT_COLUMNS = ("text", "sentence", "review")
FILES = ("train.csv", "train.tsv", "train.jsonl")
LABELS = ("negative", "positive")
HEAD_SCALE = 20.0
LITERT_FILE = "teacher.tflite"


def find_source(data):
    """The file of texts: as given, in a folder, or the one that is shipped.

    Args:
        data: A file, a folder with a `train.csv`, `.tsv` or `.jsonl` (also
            `.gz`), or `None`.
    """
    from recipes.quickstart import DATA
    from recipes.recipe import find_file

    if data is None:
        return DATA
    return Path(data) if Path(data).is_file() else find_file(data, FILES)


def prepare(setting):
    """Writes rows, teacher and targets into `setting["folder"]`, once.

    A teacher's folder without a classification head gets one: that both sides
    then read the same folder is what makes them comparable.

    Args:
        setting: Dictionary with `folder`, `teacher`, `source`, `rows` (the
            most of them), `length` (the most tokens of a row) and `threads`.

    Returns:
        The job `describe`, which gives the numbers and lengths of the rows,
        the teacher's and what its conversion to LiteRT took.
    """
    from keras_kd.data.rows import write_rows
    from keras_kd.export.litert import convert_teacher
    from keras_kd.tasks.text_classification import TextClassification
    from keras_kd.teachers.cache import TeacherTargets
    from keras_kd.teachers.teacher import Teacher

    folder = Path(setting["folder"])
    source = write_classifier(setting["teacher"], folder / "teacher")
    teacher = Teacher.open(folder / "teacher")
    examples = sample(setting["source"], setting["rows"])
    task = TextClassification(list(LABELS))
    rows = write_rows(
        folder / "rows",
        task.featurize(examples, teacher.tokenizer, setting["length"]),
        {"source": str(setting["source"])},
    )
    start = time.perf_counter()
    convert_teacher(teacher.model, folder / LITERT_FILE)
    conversion = time.perf_counter() - start
    # Whose targets they are makes no difference to a step's time.
    runtime = converted_teacher(setting)
    targets = TeacherTargets(folder / "targets", teacher.fingerprint)
    targets.label(runtime, rows)
    np.save(folder / "targets.npy", targets.lookup(rows.keys())["logits"])
    lengths = rows.lengths("token_ids")
    description = {
        "rows": len(rows),
        "distinct_rows": len(np.unique(rows.keys())),
        "mean_length": float(lengths.mean()),
        "longest": int(lengths.max()),
        "teacher": source,
        "parameters": int(teacher.model.count_params()),
        "outputs": int(teacher.model.output.shape[-1]),
        "vocabulary_size": int(teacher.tokenizer.vocabulary_size),
        "conversion_seconds": conversion,
    }
    write_json(folder / "description.json", description)
    return {"describe": lambda: description}


def converted_teacher(setting):
    """The runtime of the converted teacher, as a run labels with it."""
    from keras_kd.export.litert import litert_runtime

    return litert_runtime(
        Path(setting["folder"]) / LITERT_FILE, setting["threads"]
    )


def sample(source, count, seed=0):
    """Some examples of a file, without labels, in a random order.

    Raises:
        DataError: The file can't be read, or has no column of texts.
    """
    from keras_kd.data.errors import DataError
    from keras_kd.data.sources import read_examples

    for column in TEXT_COLUMNS:
        try:
            examples = list(read_examples(source, text=column, label=None))
            break
        except DataError as error:
            reason = error
    else:
        raise DataError(
            f"{source} has none of the columns {list(TEXT_COLUMNS)}: {reason}"
        )
    examples = [e for e in examples if e.fields[0].strip()]
    order = np.random.default_rng(seed).permutation(len(examples))
    return [examples[index] for index in order[:count]]


def write_classifier(source, folder):
    """Writes a Hugging Face folder with a head for two classes.

    Args:
        source: A folder of Hugging Face or a name on its hub, with or without
            such a head; with one, it is copied as it is.
        folder: Where to.

    Returns:
        The name of the model.
    """
    import keras
    from safetensors.numpy import save_file

    from keras_kd.data.tokenization import Tokenizer
    from keras_kd.models.huggingface_folder import read_config
    from keras_kd.models.huggingface_folder import resolve_folder
    from keras_kd.models.pretrained import MissingHead
    from keras_kd.models.pretrained import load_pretrained
    from keras_kd.models.pretrained import state_dict

    keras.utils.set_random_seed(0)
    source = resolve_folder(source)
    config = read_config(source)
    try:
        model = load_pretrained(source)
    except MissingHead:
        model = load_pretrained(source, num_outputs=len(LABELS), pooling="cls")
        # Of the size of a trained one, so that a difference is seen.
        kernel = model.get_layer("logits").kernel
        kernel.assign(kernel * HEAD_SCALE)
        config["id2label"] = dict(enumerate(LABELS))
        config["label2id"] = {name: i for i, name in enumerate(LABELS)}
    folder = Path(folder)
    folder.mkdir(parents=True)
    save_file(
        state_dict(model, config, "sequence"),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "config.json").write_text(json.dumps(config))
    Tokenizer.from_folder(source).save(folder)
    return str(config.get("_name_or_path") or source.name)

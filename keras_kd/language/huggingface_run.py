"""A distilled language model as a folder that transformers reads."""

from pathlib import Path

import keras
import numpy as np

from keras_kd import batch
from keras_kd.atomic_files import read_json
from keras_kd.configuration import ConfigurationError
from keras_kd.data.batches import gather_inputs
from keras_kd.data.token_shards import open_token_shards
from keras_kd.data.tokenization import Tokenizer
from keras_kd.evaluation.tables import text_table
from keras_kd.language.masked_lm_distillation import ARMS
from keras_kd.language.masked_lm_distillation import RESULTS_FILE
from keras_kd.language.report import card_of
from keras_kd.language.report import columns_of
from keras_kd.models.huggingface_export import config_of
from keras_kd.models.huggingface_export import write_folder
from keras_kd.models.masked_lm import at_positions
from keras_kd.models.pretrained import load_pretrained
from keras_kd.runs.huggingface_run import FOLDER
from keras_kd.runs.huggingface_run import check_logits
from keras_kd.runs.huggingface_run import report_of
from keras_kd.runs.run_folder import SETTINGS_FILE
from keras_kd.runs.run_folder import RunFolder
from keras_kd.runs.training import STUDENT_FILE

# Each token has as many logits as there are words.
ROWS = 8


def is_language_model_run(folder):
    """Whether `recipes.masked_lm` wrote a folder."""
    folder = Path(folder)
    run = RunFolder(folder)
    return (folder / SETTINGS_FILE).is_file() and any(
        run.unit(arm).is_dir() for arm in ARMS
    )


def export_language_model(folder):
    """Writes `RUN/huggingface` of a run of `recipes.masked_lm`.

    Args:
        folder: Folder of a finished run of a masked language model.

    Returns:
        As `keras_kd.runs.huggingface_run.export_huggingface`.

    Raises:
        ConfigurationError: The run has no student, or a causal one.
        ExportError: The folder gives other logits.
    """
    folder = Path(folder)
    source = folder / ARMS["distilled"]
    if (source / STUDENT_FILE).is_file():
        raise ConfigurationError(
            "Folders of Hugging Face are written of masked language models. "
            f"Received: '{folder}', whose student is a GPT-2. Take "
            f"'{source / STUDENT_FILE}', which Keras opens."
        )
    if not (folder / RESULTS_FILE).is_file():
        raise ConfigurationError(
            f"The run in '{folder}' has no {RESULTS_FILE}: it was not "
            "finished. Start `python -m recipes.masked_lm` again with the same "
            "settings; it goes on where it stopped."
        )
    import keras_hub  # noqa: F401  Its layers are looked up by name.

    # What was trained, and not what a folder of this kind has made of it.
    student = keras.saving.load_model(
        folder / "units" / "distilled" / STUDENT_FILE, compile=False
    )
    model = load_pretrained(source, "masked_lm")
    tokenizer = Tokenizer.from_folder(source)
    settings = read_json(folder / SETTINGS_FILE)
    tokens = Path(settings["tokenized_data"] or folder / "tokens")
    rows = open_token_shards(tokens / "validation")
    rows = rows.select(np.arange(min(ROWS, len(rows))))
    inputs = gather_inputs(rows, names=batch.input_names(model))
    # Every place is asked about: masks would leave most of them out.
    ids = inputs[batch.TOKEN_IDS]
    places = np.broadcast_to(np.arange(ids.shape[1], dtype="int32"), ids.shape)
    inputs[batch.MASK_POSITIONS] = places
    results = columns_of(read_json(folder / RESULTS_FILE)["models"])
    table = "\n".join(text_table(results))
    card = card_of("distilled", settings["teacher"])
    config = config_of(model, "masked_lm", tokenizer.pad_id)
    target = folder / FOLDER
    difference = write_folder(
        target,
        model,
        config,
        "masked_lm",
        tokenizer,
        f"{card}\n```\n{table}\n```\n",
        lambda path: check_logits(
            student,
            at_positions(load_pretrained(path, "masked_lm")),
            inputs,
            target,
        ),
    )
    return report_of(target, config, len(rows), difference)

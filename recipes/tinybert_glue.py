"""TinyBERT (Jiao et al. 2020): a small BERT, first by layers, then by answers.

    python -m recipes.tinybert_glue --stage general --data texts.txt.gz \\
        --run runs/tinybert
    python -m recipes.tinybert_glue --task MRPC --stage both --augment \\
        --augment-masked-lm runs/masked_lm/model --data "$DATA/glue/MRPC" \\
        --start-from runs/tinybert/student.keras --run runs/tinybert-mrpc

`--stage general` teaches a student of 4 layers of 312 the layers of a teacher
that was not fine-tuned, on raw text, one text a line, and writes
`student.keras`, which the tasks start from. `--stage both` then teaches it a
task: the layers of the fine-tuned teacher for `--layer-steps` steps, then its
answers for `--steps`. `--stage prediction` is the second part alone. With
`--augment` the teacher also labels texts in which words are replaced. `--data`
is a folder with GLUE's `train.tsv` and `dev.tsv`; dev is the test set, and a
part of train is kept for validation: of SST-2, whose rows are phrases of one
another, whole sentences, as recipes.sst2 does. The student of MNLI is also
scored on `dev_mismatched.tsv`, where it is there. Without `--task`, `--data` is
a folder of your own, as recipes.own_data reads it.
"""

import argparse
import sys
from pathlib import Path

from keras_kd.commands.guard import guarded
from keras_kd.commands.parsers import count
from keras_kd.configuration import ConfigurationError
from keras_kd.data.example import Example
from keras_kd.data.text_files import read_lines
from keras_kd.language.text_parts import add_text_parts
from recipes.mnli import RECIPE as MNLI
from recipes.own_data import RECIPE as OWN_DATA
from recipes.recipe import Recipe
from recipes.sst2 import RECIPE as SST2
from recipes.tinybert_general import teach_general

PAIR = {"text": "sentence1", "text_pair": "sentence2"}
# Columns, and the metric that GLUE goes by.
TASKS = {
    "CoLA": {"text": 3, "label": 1, "metric": "mcc"},
    "SST-2": {"text": "sentence"},
    "MRPC": {
        "text": "#1 String",
        "text_pair": "#2 String",
        "label": "Quality",
        "metric": "f1",
    },
    "STS-B": {**PAIR, "label": "score", "task": "regression"},
    "QQP": {
        "text": "question1",
        "text_pair": "question2",
        "label": "is_duplicate",
        "metric": "f1",
    },
    "MNLI": {**PAIR, "label": "gold_label"},
    "QNLI": {"text": "question", "text_pair": "sentence"},
    "RTE": PAIR,
    "WNLI": PAIR,
}
STAGES = ("general", "prediction", "both")
# Embeddings, hidden states and attention scores, equations 7 to 10.
LAYERS = ["embedding_mse", "hidden_state_mse", "attention_mse"]
STUDENT = {
    "student": "bert",
    "layers": 4,
    "width": 312,
    "heads": 12,
    "intermediate": 1200,
    "dropout": 0.1,
    "learning_rate": 1e-4,
}


def make_recipe(task):
    """The recipe of a task of GLUE, or of data of one's own (`None`)."""
    defaults = {**STUDENT, "temperature": 1.0, "alpha": 1.0}
    if task is None:
        return Recipe(
            "tinybert_glue",
            __doc__,
            files=OWN_DATA.files,
            optional_files=OWN_DATA.optional_files,
            add_flags=add_flags,
            defaults=defaults,
        )
    dev, also_test, choose_rows = "dev.tsv", {}, None
    if task == "MNLI":
        dev = ["dev_matched.tsv", "dev.tsv"]
        also_test = MNLI.also_test
    if task == "QQP":
        choose_rows = whole_rows
    if task == "SST-2":
        choose_rows = SST2.choose_rows
        defaults["validation_rows"] = SST2.defaults["validation_rows"]
    return Recipe(
        "tinybert_glue",
        __doc__,
        files={"train": "train.tsv", "test": dev},
        columns=TASKS[task],
        also_test=also_test,
        add_flags=add_flags,
        choose_rows=choose_rows,
        defaults=defaults,
    )


def whole_rows(options, settings):
    """The rows of QQP's files; some lines of GLUE's own lack columns."""
    columns = (settings.text, settings.text_pair, settings.label)
    chosen = {}
    for part in ("train", "validation", "test"):
        source = getattr(settings, part)
        if source is None:
            continue
        lines = [line for _, line in read_lines(Path(source))]
        header = lines[0].split("\t") if lines else []
        if not set(columns) <= set(header):
            continue  # The reader of files says what is wrong with it.
        rows = [line.split("\t") for line in lines[1:]]
        whole = [row for row in rows if len(row) == len(header)]
        if len(whole) < len(rows):
            print(
                f"{len(rows) - len(whole)} lines of {source} are left out: "
                f"they have not {len(header)} columns."
            )
        first, second, label = map(header.index, columns)
        chosen[part] = [
            Example(f"{source}:{number}", (row[first], row[second]), row[label])
            for number, row in enumerate(whole)
        ]
    return chosen


def add_flags(parser):
    parser.add_argument(
        "--stage",
        choices=STAGES,
        default="both",
        help="a student for all tasks, a task's answers, or its layers and "
        "then its answers (default: both)",
    )
    parser.add_argument(
        "--texts",
        type=count,
        default=20000,
        metavar="N",
        help="texts of the general stage (default: 20000)",
    )
    add_text_parts(parser)


def main(arguments=None):
    """Runs the recipe's command line; returns the exit status."""
    peek = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    peek.add_argument("--task")
    task = peek.parse_known_args(arguments)[0].task
    recipe = make_recipe(task if task in TASKS else None)
    parser = recipe.make_parser()
    for action in parser._actions:
        if action.dest == "augment":  # Alone it is TinyBERT's way.
            action.nargs, action.const = "?", "tinybert"
        if action.dest == "task":
            action.choices = [*TASKS, *action.choices]
            action.help = "a task of GLUE; or, of data of your own, its kind"
    options = parser.parse_args(arguments)
    if task in TASKS:
        del options.task  # The setting is in the recipe's columns.
    if options.stage != "prediction":
        options.default_settings["layer_losses"] = LAYERS
    if options.stage == "both":
        options.default_settings["layer_steps"] = 1000
    return guarded(lambda options: run(recipe, options), options)


def run(recipe, options):
    """Runs a stage."""
    if options.stage == "general":
        # A narrower copy: its tasks start from the sizes of this recipe.
        if not hasattr(options, "width"):
            options.width = STUDENT["width"]
        return teach_general(options)
    if options.data is not None and options.data.endswith((".txt", ".txt.gz")):
        raise ConfigurationError(
            f"`--data` is the folder of a task. Received: {options.data}, a "
            "file of texts, which is for --stage general."
        )
    return recipe.run(options)


if __name__ == "__main__":
    sys.exit(main())

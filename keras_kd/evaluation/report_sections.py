"""The sections of a report, each a list of Markdown lines.

A section that the result has nothing for is empty, and so is left out.
"""

import json

import numpy as np

from keras_kd.evaluation import tables
from keras_kd.evaluation.metrics import METRICS
from keras_kd.evaluation.metrics import heading
from keras_kd.evaluation.metrics import metric_title
from keras_kd.evaluation.metrics import percent_factor
from keras_kd.evaluation.plots import CONFUSION_MATRIX
from keras_kd.evaluation.plots import LEARNING_CURVES
from keras_kd.evaluation.plots import PREDICTIONS
from keras_kd.evaluation.plots import SCORE_AGAINST_SIZE
from keras_kd.evaluation.result import agreement_title
from keras_kd.evaluation.result import arm_mean
from keras_kd.evaluation.result import arm_title
from keras_kd.evaluation.result import arm_values
from keras_kd.evaluation.result import compared_split
from keras_kd.evaluation.result import plain
from keras_kd.evaluation.result import primary_metric
from keras_kd.evaluation.result import retention

CLASSIFICATION = "classification"
# What the export's gates compared, by the kind of the task.
AGREEMENT_WITH_KERAS = {
    CLASSIFICATION: "same class as Keras",
    "multi_label": "same decisions as Keras",
    "regression": "correlation with Keras",
    "token_tagging": "same tags as Keras",
    "question_answering": "same places as Keras",
}


def score_columns(result: dict) -> dict[str, list[str]]:
    """The columns of the main table; those without a value are empty."""
    metric = primary_metric(result)
    factor = percent_factor(metric)
    arms = list(result["arms"])

    def cells(form, key, scale=1):
        return [
            form(np.multiply(arm_values(result, arm, key), scale))
            for arm in arms
        ]

    return {
        "model": [arm_title(arm) for arm in arms],
        heading(metric): cells(tables.spread, metric, factor),
        "of teacher's": [
            tables.percent(retention(result, arm)) for arm in arms
        ],
        agreement_title(result): [
            tables.percent(arm_mean(result, arm, "agreement")) for arm in arms
        ],
        "ECE": cells(lambda values: tables.spread(values, 3), "ece"),
        "parameters": cells(tables.whole, "parameters"),
        "zeros": cells(
            lambda shares: (
                tables.percent(np.mean(shares)) if shares.size else ""
            ),
            "zeros",
        ),
        "size": cells(tables.size, "bytes"),
        "steps": cells(tables.whole, "steps"),
        "seconds": cells(tables.whole, "seconds"),
    }


def score_section(result: dict, plots: list[str]) -> list[str]:
    """The main table, with what has to be known to read it."""
    columns = score_columns(result)
    text = f"Scores on the {compared_split(result)} rows"
    if max(len(arm["seeds"]) for arm in result["arms"].values()) > 1:
        text += ", mean ± standard deviation over the seeds"
    text += "."
    if any(columns["of teacher's"]):
        text += " \"Of teacher's\" is the score as a share of the teacher's."
    if any(columns["ECE"]):
        text += " ECE, the expected calibration error, is better when lower."
    if result.get("teachers"):
        shares = (f"{name} ({w:.3f})" for name, w in result["teachers"])
        text += (
            " The teacher is the mean of several, with their weights: "
            f"{tables.one_line(', '.join(shares))}."
        )
    majority = _first(result, "majority_accuracy")
    if majority is not None:
        text += (
            " Always naming the most frequent class would be right on "
            f"{tables.percent(majority)} of the rows."
        )
    majority = _first(result, "majority_micro_f1")
    if majority is not None:
        text += (
            " Giving every row the same labels, those that do best so, would "
            f"have a micro F1 of {tables.percent(majority)}."
        )
    table = tables.markdown_table(columns)
    image = _image(plots, SCORE_AGAINST_SIZE, "Score against size")
    return ["## Scores", "", text, "", *table, *image]


def further_section(result: dict) -> list[str]:
    """The metrics that the arms are not compared by, a line each."""
    arms = list(result["arms"])
    # The calibration error stands in the main table.
    shown = (primary_metric(result), "ece")
    columns = {"metric": []} | {arm_title(arm): [] for arm in arms}
    for metric in METRICS:
        values = {arm: arm_values(result, arm, metric) for arm in arms}
        if metric in shown or not any(values.values()):
            continue
        known = METRICS[metric]
        note = "" if known.higher_is_better else ", lower is better"
        columns["metric"].append(heading(metric) + note)
        for arm in arms:
            scaled = np.multiply(values[arm], percent_factor(metric))
            columns[arm_title(arm)].append(
                tables.spread(scaled, 2 if known.percent else 3)
            )
    if not columns["metric"]:
        return []
    text = "Other metrics of the same rows. The verdict does not look at them."
    return ["## Further scores", "", text, "", *tables.markdown_table(columns)]


def class_section(result: dict, plots: list[str]) -> list[str]:
    """Precision, recall and F1 of each class, or of each label."""
    arms = {}
    for arm in result["arms"]:
        tables_of_seeds = arm_values(result, arm, "per_class")
        if tables_of_seeds:
            arms[arm] = tables_of_seeds
    if not arms:
        return []
    last = "distilled" if "distilled" in arms else list(arms)[-1]
    # A model may find entities of a kind that others, and the labels, have not.
    names = list(
        dict.fromkeys(
            name for arm in [last, *arms] for seed in arms[arm] for name in seed
        )
    )
    none = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}

    def cells(arm, key):
        return [
            tables.spread(
                [100 * seed.get(name, none)[key] for seed in arms[arm]]
            )
            for name in names
        ]

    things = "entities" if result.get("task") == "token_tagging" else "rows"
    columns = {
        "class": names,
        things: [
            f"{arms[last][0].get(name, none)['support']:,}" for name in names
        ],
    }
    for arm in arms:
        columns[f"F1, {arm_title(arm)}"] = cells(arm, "f1")
    for key in ("precision", "recall"):
        columns[f"{key}, {arm_title(last)}"] = cells(last, key)
    text = (
        f"The same {things} class by class, in percent. Precision: how many of "
        f"the {things} that were given the class have it. Recall: how many of "
        f"the {things} that have it were found."
    )
    table = tables.markdown_table(columns)
    image = _image(plots, CONFUSION_MATRIX, "Confusion matrix")
    return ["## By class", "", text, "", *table, *image]


def prediction_section(plots: list[str]) -> list[str]:
    """The predicted numbers against the true ones."""
    image = _image(plots, PREDICTIONS, "Predictions against labels")
    if not image:
        return []
    text = (
        "A point for each row, of one seed: what was predicted, against the "
        "label. On the line both are equal."
    )
    return ["## Predictions", "", text, *image]


def training_section(plots: list[str]) -> list[str]:
    """The learning curves."""
    image = _image(plots, LEARNING_CURVES, "Learning curves")
    if not image:
        return []
    text = (
        "The validation score, by which checkpoints are picked, and the "
        "training loss, a line for each seed. The models' losses are sums of "
        "different terms: their heights can't be compared."
    )
    return ["## Training", "", text, *image]


def export_section(result: dict) -> list[str]:
    """A line for each exported file."""
    exports = result.get("exports")
    if not exports:
        return []
    metric = primary_metric(result)
    kinds = [export["kind"] for export in exports if export.get("kind")]
    kind = kinds[0] if kinds else CLASSIFICATION

    def cells(form, key):
        values = [export.get(key) for export in exports]
        return ["" if value is None else form(value) for value in values]

    columns = {
        "file": cells(str, "file"),
        "format": cells(str, "format"),
        "quantization": cells(str, "quantization"),
        "size": cells(lambda value: tables.size([value]), "bytes"),
        "compressed": cells(
            lambda value: tables.size([value]), "compressed_bytes"
        ),
        "rows compared": cells(tables.general, "rows"),
        "largest logit difference": cells(tables.general, "max_difference"),
        AGREEMENT_WITH_KERAS.get(kind, "same as Keras"): [
            # What does not say its kind was compared by class.
            tables.percent(export.get("agreement"))
            if export.get("kind", CLASSIFICATION) == kind
            else ""
            for export in exports
        ],
        "accuracy, Keras": cells(tables.percent, "accuracy_keras"),
        "accuracy, file": cells(tables.percent, "accuracy_file"),
    }
    # Tasks other than one class a row name the score that was compared.
    names = [export.get("score_name") for export in exports]
    for name in dict.fromkeys(filter(None, names)):
        factor = percent_factor(name)
        for who, key in (("Keras", "score_keras"), ("file", "score_file")):
            columns[f"{heading(name)}, {who}"] = [
                _number(export.get(key), factor)
                if export.get("score_name") == name
                else ""
                for export in exports
            ]
    scores = [export.get("scores", {}).get(metric) for export in exports]
    columns[f"{metric_title(metric)}, {compared_split(result)} rows"] = [
        _number(score, percent_factor(metric)) for score in scores
    ]
    clients = [export.get("client") for export in exports]
    if any(clients):
        for title, key in (
            ("other tokens in the client", "rows_with_other_tokens"),
            ("other decisions in the client", "other_decisions"),
        ):
            columns[title] = [
                f"{client[key]:,} of {client['rows']:,}" if client else ""
                for client in clients
            ]
        columns[f"{metric_title(metric)}, Keras on the same rows"] = [
            _number(client["score_keras"], percent_factor(metric))
            if client
            else ""
            for client in clients
        ]
    text = (
        "Each file was loaded again and run on real rows beside the Keras "
        "model before it got its name; the scores of both are on those rows."
    )
    if any(clients):
        text += (
            " MediaPipe's client, and a file that takes text, have tokenizers "
            "of their own: the test score of such a file is that on the tokens "
            "it reads; beside it stands what Keras scores on the training's."
        )
    table = tables.markdown_table(columns)
    return ["## Exported files", "", text, "", *table]


def run_time_section(result: dict) -> list[str]:
    """What one text costs, in each model and file."""
    times = result.get("run_times")
    if not times:
        return []
    columns = {
        "model": [one["model"] for one in times],
        "runtime": [one["runtime"] for one in times],
        "threads": [str(one["threads"]) for one in times],
        "tokens a row": [f"{one['tokens']:.0f}" for one in times],
        "p50 (ms)": [f"{one['p50']:.2f}" for one in times],
        "p90 (ms)": [f"{one['p90']:.2f}" for one in times],
        "times as fast": [f"{one['ratio']:.1f}" for one in times],
    }
    text = (
        f"One text at a time on this machine's CPU, {times[0]['rows']} test "
        "rows, from token ids to logits; p50 is the median over the rows, p90 "
        "the slowest tenth. A `.tflite` of fixed length computes all of it for "
        "every row."
    )
    lines = tables.markdown_table(columns)
    return ["## Run times", "", text, "", *lines]


def data_section(result: dict) -> list[str]:
    """Rows of each part, overlaps, and the labels."""
    if not result.get("data"):
        return []
    columns = {"part": [], "rows": []}
    for key, value in plain(result["data"]).items():
        entries = value if isinstance(value, dict) else {"": value}
        if key == "ids_of_repaired":
            continue  # A warning has the first of them.
        for name, entry in entries.items():
            part = f"{key}: {name}" if name else key
            columns["part"].append(part.replace("_", " "))
            columns["rows"].append(tables.general(entry))
    text = (
        "Rows of each part. An overlap is a text of one part that stands in "
        "another one too; scores on texts that were trained on are too good."
    )
    lines = ["## Data", "", text, "", *tables.markdown_table(columns)]
    if result.get("labels"):
        names = ", ".join(tables.one_line(name) for name in result["labels"])
        lines += ["", f"Labels, in the order of the logits: {names}."]
    return lines


def run_section(result: dict) -> list[str]:
    """The command, the settings, the seeds and the machine."""
    lines = []
    if result.get("command"):
        lines += ["", "The command:", "", "```sh", result["command"], "```"]
    if result.get("configuration"):
        text = json.dumps(
            plain(result["configuration"]), indent=2, ensure_ascii=False
        )
        lines += ["", "The resolved configuration:", "", "```json", text, "```"]
    seeds = [
        f"{arm_title(arm)} {', '.join(map(str, values))}"
        for arm in result["arms"]
        if (values := arm_values(result, arm, "seed"))
    ]
    if seeds:
        lines += ["", f"Seeds: {'; '.join(seeds)}."]
    if result.get("machine"):
        machine = plain(result["machine"])
        versions = machine.pop("versions", {})
        facts = [f"{key.replace('_', ' ')} {machine[key]}" for key in machine]
        facts += [f"{name} {version}" for name, version in versions.items()]
        lines += ["", f"Machine: {tables.one_line(', '.join(facts))}."]
    return ["## How it was run", *lines] if lines else []


def _image(plots, name, title):
    return ["", f"![{title}]({name})"] if name in plots else []


def _first(result, key):
    """The value of the first seed that has one; it is the same for all."""
    values = [v for arm in result["arms"] for v in arm_values(result, arm, key)]
    return values[0] if values else None


def _number(value, factor):
    """Two decimals in percent, three significant digits otherwise."""
    if value is None:
        return ""
    return f"{value * factor:.2f}" if factor == 100 else tables.general(value)

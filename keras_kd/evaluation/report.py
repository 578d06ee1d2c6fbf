"""The report of a run: Markdown for people, JSON for programs, plots.

A result is a plain dictionary; every part but `arms` may be missing:

| key | holds |
|---|---|
| `title`, `command` | strings |
| `configuration`, `machine` | dictionaries |
| `data` | counts (`train`, `validation`, `test`, ...), `overlaps` |
| `labels` | the class names |
| `primary_metric` | the entry of `scores` to compare by; `accuracy` |
| `arms` | by name (`teacher`, `alone`, `distilled`): `{"seeds": [...]}` |
| `comparison` | `Interval.to_dict()`, and `split` |
| `control` | the same for the control: a student of shuffled targets |
| `retention` | the distilled student's, or by arm; else it is worked out |
| `agreement` | agreement with the teacher, by arm |
| `exports` | a dictionary for each exported file |
| `warnings` | sentences |

An entry of `seeds` holds `seed`, `scores` (see `classification_scores`),
`steps`, `seconds`, `parameters`, `bytes` and `history`, a list of `{"step",
"loss", "validation"}`.
"""

import json
from pathlib import Path

import numpy as np

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.evaluation import tables
from keras_kd.evaluation.plots import PLOTS
from keras_kd.evaluation.plots import write_plots
from keras_kd.evaluation.result import arm_mean
from keras_kd.evaluation.result import arm_title
from keras_kd.evaluation.result import arm_values
from keras_kd.evaluation.result import check_result
from keras_kd.evaluation.result import compared_split
from keras_kd.evaluation.result import metric_title
from keras_kd.evaluation.result import percent_factor
from keras_kd.evaluation.result import plain
from keras_kd.evaluation.result import primary_metric
from keras_kd.evaluation.result import retention
from keras_kd.evaluation.significance import HELPED
from keras_kd.evaluation.significance import HURT

REPORT = "report.md"
METRICS = "metrics.json"


def write_report(folder: str | Path, result: dict) -> Path:
    """Writes `report.md`, `metrics.json` and the plots of a result.

    Each file is written aside and renamed, the report last, so that a report
    that is there refers to files that are there. Plots of an earlier report
    that this one lacks are removed. Without matplotlib the report has no
    plots, and says so.

    Args:
        folder: The run folder. It is made if it does not exist.
        result: The result; see the table of this module.

    Returns:
        The path of `report.md`.

    Raises:
        ValueError: The result has no arm, or an arm without seeds.
        OSError: The folder can't be written.
    """
    check_result(result)
    folder = Path(folder)
    warnings = list(result.get("warnings", ()))
    try:
        plots = write_plots(folder, result)
    except ImportError as error:
        plots = []
        warnings.append(str(error))
    for name in set(PLOTS) - set(plots):
        (folder / name).unlink(missing_ok=True)
    write_json(folder / METRICS, plain(result))
    title = tables.one_line(result.get("title", "Report of a run"))
    sections = [
        [f"# {title}"],
        _verdict_lines(result, emphasis="**"),
        _warning_section(warnings),
        _score_section(result, plots),
        _class_section(result, plots),
        _training_section(plots),
        _export_section(result),
        _data_section(result),
        _run_section(result),
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines)
    with write_aside(folder / REPORT) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return folder / REPORT


def console_table(result: dict) -> str:
    """The main table and the verdict as plain text for a terminal.

    Args:
        result: The result; see the table of this module.

    Raises:
        ValueError: The result has no arm, or an arm without seeds.
    """
    check_result(result)
    lines = tables.text_table(_score_columns(result))
    return "\n".join([*lines, "", *_verdict_lines(result)])


def _verdict_lines(result, emphasis=""):
    comparison, control = result.get("comparison"), result.get("control")
    if not comparison:
        return [
            "No verdict: it takes the student alone and the student distilled, "
            "trained in equal steps, and this run does not have both."
        ]
    sentence = _verdict_sentence(result, comparison, "distilled student")
    name, _, rest = sentence.partition(":")
    lines = [f"{emphasis}{name}{emphasis}:{rest}"]
    if comparison.get("provisional"):
        lines[0] += (
            " One training run of each says nothing about the next: run three "
            "seeds or more for a verdict that stands."
        )
    if control:
        sentence = _verdict_sentence(
            result, control, "student of shuffled teacher targets"
        )
        lines += ["", f"Control, which must not say {HELPED}: {sentence}"]
    return lines


def _verdict_sentence(result, comparison, student):
    factor = percent_factor(primary_metric(result))
    difference, lower, upper = (
        comparison[key] * factor for key in ("difference", "lower", "upper")
    )
    metric = metric_title(primary_metric(result))
    unit = f" points of {metric}" if factor == 100 else f" of {metric}"
    if comparison["verdict"] == HELPED:
        claim = f"scores {difference:.2f}{unit} more than"
    elif comparison["verdict"] == HURT:
        claim = f"scores {-difference:.2f}{unit} less than"
    else:
        claim = f"({difference:+.2f}{unit}) is not shown to differ from"
    basis = [f"95% interval {lower:+.2f} to {upper:+.2f}"]
    if comparison.get("seeds"):
        seeds = comparison["seeds"]
        basis.append(f"{seeds} seed{'s' if seeds > 1 else ''}")
    if comparison.get("rows"):
        basis.append(f"{comparison['rows']:,} {compared_split(result)} rows")
    provisional = " (provisional)" if comparison.get("provisional") else ""
    return (
        f"{comparison['verdict']}{provisional}: the {student} {claim} the same "
        f"student trained alone ({', '.join(basis)})."
    )


def _warning_section(warnings):
    if not warnings:
        return []
    lines = [f"- {tables.one_line(warning)}" for warning in warnings]
    return ["**Warnings:**", "", *lines]


def _score_columns(result):
    metric = primary_metric(result)
    factor = percent_factor(metric)
    arms = list(result["arms"])

    def cells(form, key, scale=1):
        return [
            form(np.multiply(arm_values(result, arm, key), scale))
            for arm in arms
        ]

    unit = " (%)" if factor == 100 else ""
    return {
        "model": [arm_title(arm) for arm in arms],
        f"{metric_title(metric)}{unit}": cells(tables.spread, metric, factor),
        "of teacher's": [
            tables.percent(retention(result, arm)) for arm in arms
        ],
        "agrees with teacher": [
            tables.percent(arm_mean(result, arm, "agreement")) for arm in arms
        ],
        "ECE": cells(lambda values: tables.spread(values, 3), "ece"),
        "parameters": cells(tables.whole, "parameters"),
        "size": cells(tables.size, "bytes"),
        "steps": cells(tables.whole, "steps"),
        "seconds": cells(tables.whole, "seconds"),
    }


def _score_section(result, plots):
    text = f"Scores on the {compared_split(result)} rows"
    if max(len(arm["seeds"]) for arm in result["arms"].values()) > 1:
        text += ", mean ± standard deviation over the seeds"
    text += (
        ". \"Of teacher's\" is the score as a share of the teacher's. ECE, the "
        "expected calibration error, is better when lower."
    )
    majority = [
        value
        for arm in result["arms"]
        for value in arm_values(result, arm, "majority_accuracy")
    ]
    if majority:
        text += (
            " Always naming the most frequent class would be right on "
            f"{tables.percent(majority[0])} of the rows."
        )
    table = tables.markdown_table(_score_columns(result))
    image = _image(plots, "score_against_size.png", "Score against size")
    return ["## Scores", "", text, "", *table, *image]


def _class_section(result, plots):
    arms = {}
    for arm in result["arms"]:
        tables_of_seeds = arm_values(result, arm, "per_class")
        if tables_of_seeds:
            arms[arm] = tables_of_seeds
    if not arms:
        return []
    last = "distilled" if "distilled" in arms else list(arms)[-1]
    names = list(arms[last][0])

    def cells(arm, key):
        return [
            tables.spread([100 * seed[name][key] for seed in arms[arm]])
            for name in names
        ]

    columns = {
        "class": names,
        "rows": [f"{arms[last][0][name]['support']:,}" for name in names],
    }
    for arm in arms:
        columns[f"F1, {arm_title(arm)}"] = cells(arm, "f1")
    for key in ("precision", "recall"):
        columns[f"{key}, {arm_title(last)}"] = cells(last, key)
    text = (
        "The same rows class by class, in percent. Precision: how many of the "
        "rows that were given the class have it. Recall: how many of the rows "
        "that have it were found."
    )
    table = tables.markdown_table(columns)
    image = _image(plots, "confusion_matrix.png", "Confusion matrix")
    return ["## By class", "", text, "", *table, *image]


def _training_section(plots):
    image = _image(plots, "learning_curves.png", "Learning curves")
    if not image:
        return []
    text = (
        "The validation score, by which checkpoints are picked, and the "
        "training loss, a line for each seed. The models' losses are sums of "
        "different terms: their heights can't be compared."
    )
    return ["## Training", "", text, *image]


def _export_section(result):
    exports = result.get("exports")
    if not exports:
        return []
    metric = primary_metric(result)

    def cells(form, key):
        values = [export.get(key) for export in exports]
        return ["" if value is None else form(value) for value in values]

    scores = [export.get("scores", {}).get(metric) for export in exports]
    columns = {
        "file": cells(str, "file"),
        "format": cells(str, "format"),
        "quantization": cells(str, "quantization"),
        "size": cells(lambda value: tables.size([value]), "bytes"),
        "rows compared": cells(tables.general, "rows"),
        "largest logit difference": cells(tables.general, "max_difference"),
        "same class as Keras": cells(tables.percent, "agreement"),
        "accuracy, Keras": cells(tables.percent, "accuracy_keras"),
        "accuracy, file": cells(tables.percent, "accuracy_file"),
        f"{metric_title(metric)}, {compared_split(result)} rows": [
            "" if score is None else f"{score * percent_factor(metric):.2f}"
            for score in scores
        ],
    }
    text = (
        "Each file was loaded again and run on real rows beside the Keras "
        "model before it got its name; both accuracies are on those rows."
    )
    table = tables.markdown_table(columns)
    return ["## Exported files", "", text, "", *table]


def _data_section(result):
    if not result.get("data"):
        return []
    columns = {"part": [], "rows": []}
    for key, value in plain(result["data"]).items():
        entries = value if isinstance(value, dict) else {"": value}
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


def _run_section(result):
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

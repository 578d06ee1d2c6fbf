"""The report of a run: Markdown for people, JSON for programs, plots.

A result is a plain dictionary; every part but `arms` may be missing:

| key | holds |
|---|---|
| `title`, `command` | strings |
| `configuration`, `machine` | dictionaries |
| `data` | counts (`train`, `validation`, `test`, ...), `overlaps` |
| `labels` | the class names, if there are classes |
| `primary_metric` | the entry of `scores` to compare by; `accuracy` |
| `teachers` | of several: pairs of a name and its weight |
| `arms` | by name (`teacher`, `alone`, `distilled`): `{"seeds": [...]}` |
| `comparison` | `Interval.to_dict()`, and `split` |
| `comparison_labelled` | the same for the student of labelled rows alone |
| `control` | the same for the control: a student of shuffled targets |
| `retention` | the distilled student's, or by arm; else it is worked out |
| `agreement` | agreement with the teacher, by arm |
| `agreement_title` | what that is called; "agrees with teacher" |
| `predictions` | of regression; see `prediction_sample` |
| `run_times` | see `keras_kd.runs.run_times`, what one text costs |
| `exports` | a dictionary for each exported file |
| `warnings` | sentences |

An entry of `seeds` holds `seed`, `scores` (see `classification_scores`,
`multi_label_scores` and `regression_scores`), `steps`, `seconds`,
`parameters`, `bytes` and `history`, a list of `{"step", "loss",
"validation"}`.
"""

from pathlib import Path

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.evaluation import report_sections
from keras_kd.evaluation import tables
from keras_kd.evaluation.metrics import metric_title
from keras_kd.evaluation.metrics import percent_factor
from keras_kd.evaluation.plots import PLOTS
from keras_kd.evaluation.plots import write_plots
from keras_kd.evaluation.result import check_result
from keras_kd.evaluation.result import compared_split
from keras_kd.evaluation.result import plain
from keras_kd.evaluation.result import primary_metric
from keras_kd.evaluation.significance import HELPED
from keras_kd.evaluation.significance import HURT

REPORT = "report.md"
METRICS = "metrics.json"

# What is compared, where it may take several rows, which are windows of it.
COMPARED = {"token_tagging": "sentences", "question_answering": "questions"}
# Of the warnings in a terminal, their heading included.
CONSOLE_LINES = 5


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
        ValueError: The result has no arm, an arm without seeds, or a primary
            metric of which less is better.
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
        report_sections.score_section(result, plots),
        report_sections.further_section(result),
        report_sections.class_section(result, plots),
        report_sections.prediction_section(plots),
        report_sections.training_section(plots),
        report_sections.export_section(result),
        report_sections.run_time_section(result),
        report_sections.data_section(result),
        report_sections.run_section(result),
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines)
    with write_aside(folder / REPORT) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return folder / REPORT


def console_table(result: dict) -> str:
    """The main table, the warnings and the verdict as text for a terminal.

    At most three warnings are written out if there are more than four.

    Args:
        result: The result; see the table of this module.

    Raises:
        ValueError: As `write_report`.
    """
    check_result(result)
    lines = tables.text_table(report_sections.score_columns(result))
    warnings = [
        f"- {tables.one_line(warning)}"
        for warning in result.get("warnings") or ()
    ]
    if len(warnings) > CONSOLE_LINES - 1:
        shown = CONSOLE_LINES - 2
        rest = f"- and {len(warnings) - shown} more, in {REPORT}"
        warnings = [*warnings[:shown], rest]
    if warnings:
        lines += ["", "Warnings:", *warnings]
    return "\n".join([*lines, "", *_verdict_lines(result)])


def _verdict_lines(result, emphasis=""):
    comparison, control = result.get("comparison"), result.get("control")
    labelled = result.get("comparison_labelled")
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
    if labelled:
        sentence = _verdict_sentence(
            result, labelled, "student distilled on the labelled rows alone"
        )
        lines += ["", sentence]
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
        rows = COMPARED.get(result.get("task"), "rows")
        basis.append(f"{comparison['rows']:,} {compared_split(result)} {rows}")
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

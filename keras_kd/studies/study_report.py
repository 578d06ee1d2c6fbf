"""The report of a study: a table, a plot, and the same for programs."""

from pathlib import Path

import numpy as np

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.evaluation import tables
from keras_kd.evaluation.metrics import heading
from keras_kd.evaluation.metrics import percent_factor
from keras_kd.evaluation.plots import COLORS
from keras_kd.evaluation.plots import OTHER_COLORS
from keras_kd.evaluation.plots import check_matplotlib
from keras_kd.evaluation.plots import make_figure
from keras_kd.evaluation.plots import save_figure
from keras_kd.evaluation.plots import tidy_axes
from keras_kd.evaluation.result import plain

REPORT = "study.md"
RESULT = "study.json"
PLOT = "study.png"
VARIED = {
    "methods": ("method",),
    "teacher": ("folder", "epochs"),
    "size": ("student", "layers", "width"),
    "temperature": ("temperature", "T^2"),
}
TITLES = {
    "methods": "Losses",
    "teacher": "Teachers",
    "size": "Sizes of the student",
    "temperature": "Temperatures",
}
WITH, WITHOUT = "distilled, with T²", "distilled, without T²"


def write_study(folder: str | Path, result: dict) -> Path:
    """Writes `study.json`, `study.md` and `study.png`.

    Args:
        folder: Folder of the study.
        result: What `keras_kd.studies.study.study` gives.

    Returns:
        The path of `study.md`.
    """
    folder = Path(folder)
    write_json(folder / RESULT, plain(result))
    done = [row for row in result["cells"] if "refused" not in row]
    plots = []
    if done:
        try:
            check_matplotlib()
            save_figure(folder / PLOT, _plot(result, done))
            plots = [f"![Scores of the students]({PLOT})"]
        except ImportError as error:
            plots = [str(error)]
    refused = [
        f"- {tables.one_line(row['cell'])}: {tables.one_line(row['refused'])}"
        for row in result["cells"]
        if "refused" in row
    ]
    settings = result["configuration"]
    sections = [
        [f"# Study: {TITLES[result['kind']]}"],
        [
            f"{settings['steps']:,} steps of {settings['batch_size']} rows for "
            f"every student, seeds {tables.one_line(settings['seeds'])}; mean "
            "± standard deviation over the seeds, on the test rows. The "
            "verdict compares with the same student trained alone."
        ],
        tables.markdown_table(study_columns(result)),
        plots,
        ["Teachers that were refused:", "", *refused] if refused else [],
        ["## Command", "", "```", result["command"], "```"]
        if result["command"]
        else [],
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines)
    with write_aside(folder / REPORT) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return folder / REPORT


def study_columns(result: dict) -> dict:
    """The columns of the study's table, for Markdown or a terminal."""
    rows = [row for row in result["cells"] if "refused" not in row]
    if not rows:
        return {"cell": [row["cell"] for row in result["cells"]]}
    metric = result["primary_metric"]
    factor = percent_factor(metric)

    def scores(key):
        return [tables.spread(np.multiply(row[key], factor)) for row in rows]

    def compared(text):
        return [
            text(row["comparison"]) if row["comparison"] else "" for row in rows
        ]

    return {
        **{
            name: [tables.general(row.get(name)) for row in rows]
            for name in VARIED[result["kind"]]
        },
        "teacher": scores("teacher_scores"),
        "alone": scores("alone_scores"),
        f"distilled, {heading(metric)}": scores("distilled_scores"),
        "difference": compared(lambda c: f"{c['difference'] * factor:+.2f}"),
        "95% interval": compared(
            lambda c: (
                f"{c['lower'] * factor:+.2f} to {c['upper'] * factor:+.2f}"
            )
        ),
        "verdict": compared(
            lambda c: c["verdict"] + " (provisional)" * bool(c["provisional"])
        ),
        "validation": scores("validation_scores"),
        "agreement": [tables.percent(row["agreement"]) for row in rows],
        "parameters": [f"{row['parameters']:,}" for row in rows],
        "steps": [f"{row['steps']:,}" for row in rows],
        "seconds": [f"{row['seconds']:,.0f}" for row in rows],
    }


def _plot(result, rows):
    """Scores of the students against what the study varies."""
    from matplotlib.ticker import NullLocator

    kind, metric = result["kind"], result["primary_metric"]
    figure, (axes,) = make_figure(7.6, 3.8)
    series = {"alone": [(row, row["alone_scores"]) for row in rows]}
    for row in rows:
        name = "distilled"
        if kind == "temperature":
            name = WITH if row["T^2"] == "with" else WITHOUT
            if row["temperature"] == 1:  # Both curves begin there.
                series.setdefault(WITHOUT, []).append(
                    (row, row["distilled_scores"])
                )
        series.setdefault(name, []).append((row, row["distilled_scores"]))
    colors = {
        "alone": COLORS["alone"],
        "distilled": COLORS["distilled"],
        WITH: COLORS["distilled"],
        WITHOUT: OTHER_COLORS[0],
    }
    places = {row["cell"]: _place(kind, row, n) for n, row in enumerate(rows)}
    for name, points in series.items():
        points = [point for point in points if point[1]]
        points.sort(key=lambda point: places[point[0]["cell"]])
        if not points:
            continue
        values = [np.multiply(p[1], percent_factor(metric)) for p in points]
        axes.errorbar(
            [places[row["cell"]] for row, _ in points],
            [np.mean(one) for one in values],
            yerr=[np.std(one, ddof=1) if len(one) > 1 else 0 for one in values],
            label=name,
            color=colors[name],
            marker="o",
            capsize=3,
            linestyle="-" if kind == "temperature" else "",
        )
    label = {
        "methods": "",
        "teacher": f"the teacher's {heading(metric)}",
        "size": "parameters",
        "temperature": "temperature",
    }[kind]
    title = f"{heading(metric)}, test rows"
    tidy_axes(axes, title[0].upper() + title[1:], label)
    if kind in ("size", "temperature"):
        axes.set_xscale("log")
        ticks = sorted(set(places.values()))
        # Sizes may lie close together: their names stand at the points.
        axes.set_xticks(
            ticks if kind == "temperature" else ticks[:: len(ticks) - 1 or 1]
        )
        axes.xaxis.set_major_formatter(
            "{x:,.0f}" if kind == "size" else "{x:g}"
        )
        axes.xaxis.set_minor_locator(NullLocator())
    if kind in ("size", "teacher"):
        for row in rows:
            axes.annotate(
                row["cell"],
                (
                    places[row["cell"]],
                    np.mean(row["distilled_scores"]) * percent_factor(metric),
                ),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7,
                parse_math=False,
            )
    if kind == "methods":
        names = [row["method"] for row in rows]
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def _place(kind, row, number):
    """Where a cell stands on the axis."""
    if kind == "methods":
        return number
    if kind == "teacher":
        # The runs of its cells have the teacher as an arm, or its number.
        return float(np.mean(row["teacher_scores"] or [number]))
    return row["parameters" if kind == "size" else "temperature"]

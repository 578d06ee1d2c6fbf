"""The plots of a report, drawn with matplotlib's object interface.

Nothing goes through `pyplot`: no window, no global state, and no backend is
chosen for the program that calls.
"""

from pathlib import Path

import numpy as np

from keras_kd.atomic_files import write_aside
from keras_kd.evaluation.metrics import heading
from keras_kd.evaluation.metrics import percent_factor
from keras_kd.evaluation.result import arm_title
from keras_kd.evaluation.result import arm_values
from keras_kd.evaluation.result import compared_split
from keras_kd.evaluation.result import primary_metric

LEARNING_CURVES = "learning_curves.png"
CONFUSION_MATRIX = "confusion_matrix.png"
PREDICTIONS = "predictions.png"
SCORE_AGAINST_SIZE = "score_against_size.png"
PLOTS = (LEARNING_CURVES, CONFUSION_MATRIX, PREDICTIONS, SCORE_AGAINST_SIZE)

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLORS = {"teacher": "#555555", "alone": "#E69F00", "distilled": "#0072B2"}
OTHER_COLORS = ("#009E73", "#CC79A7", "#56B4E9", "#D55E00")
EXPORT_MARKERS = ("^", "s", "D", "v", "P", "X")

SIDE_BY_SIDE_CLASSES = 8
NUMBERED_CLASSES = 15
NAMED_CLASSES = 40
LONGEST_NAME = 16
MARKED_POINTS = 40


def write_plots(folder: str | Path, result: dict) -> list[str]:
    """Draws every plot that the result has the numbers for.

    Args:
        folder: Where the files go, each written aside and renamed.
        result: The result of a run; see `keras_kd.evaluation.report`.

    Returns:
        The names of the files, of those in `PLOTS`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    check_matplotlib()
    figures = {
        LEARNING_CURVES: _learning_curves(result),
        CONFUSION_MATRIX: _confusion_matrix(result),
        PREDICTIONS: _predictions(result),
        SCORE_AGAINST_SIZE: _score_against_size(result),
    }
    written = []
    for name, figure in figures.items():
        if figure is not None:
            save_figure(Path(folder) / name, figure)
            written.append(name)
    return written


def check_matplotlib():
    """Raises an `ImportError` that says what to install."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Plots need matplotlib, which is not installed. Run "
            "`pip install matplotlib` and write the report again."
        ) from error


def make_figure(width, height, columns=1):
    """A figure in inches, and its axes side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    return figure, axes


def tidy_axes(axes, title, x_label):
    """Gives axes their title and label, a light grid and no frame."""
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x_label)
    axes.grid(color="#e5e5e5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def logarithmic(axes):
    """Gives axes a logarithmic x with plain numbers, and room around."""
    from matplotlib.ticker import LogLocator
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.15, y=0.2)


def save_figure(path, figure):
    """Writes a figure as .png, aside and renamed."""
    with write_aside(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png", bbox_inches="tight")


def _colors(result):
    others = [arm for arm in result["arms"] if arm not in COLORS]
    picked = {
        arm: OTHER_COLORS[index % len(OTHER_COLORS)]
        for index, arm in enumerate(others)
    }
    return COLORS | picked


def _learning_curves(result):
    metric = primary_metric(result)
    panels = {
        "validation": (f"Validation {heading(metric)}", percent_factor(metric)),
        "loss": ("Training loss", 1),
    }
    curves = {key: _curves(result, key) for key in panels}
    drawn = [key for key in panels if curves[key]]
    if not drawn:
        return None
    colors = _colors(result)
    figure, all_axes = make_figure(4.6 * len(drawn) + 1.0, 3.6, len(drawn))
    lines = {}
    for axes, key in zip(all_axes, drawn, strict=True):
        title, factor = panels[key]
        for arm, steps, values in curves[key]:
            (lines[arm_title(arm)],) = axes.plot(
                steps,
                np.multiply(values, factor),
                color=colors[arm],
                linewidth=1.5,
                alpha=0.85,
                marker="o" if len(steps) <= MARKED_POINTS else "",
                markersize=3,
            )
        tidy_axes(axes, title, "step")
        axes.set_xlim(left=0)
    figure.legend(
        lines.values(),
        lines.keys(),
        loc="outside lower center",
        ncols=len(lines),
        frameon=False,
    )
    return figure


def _curves(result, key):
    """A list of (arm, steps, values), one entry for each seed."""
    curves = []
    for arm in result["arms"]:
        for history in arm_values(result, arm, "history"):
            points = [
                (point["step"], point[key])
                for point in history
                if point.get(key) is not None and np.isfinite(point[key])
            ]
            if points:
                curves.append((arm, *zip(*points, strict=True)))
    return curves


def _confusion_matrix(result):
    counts = {}
    for arm in result["arms"]:
        matrices = arm_values(result, arm, "confusion")
        if matrices:
            counts[arm] = np.sum(matrices, axis=0)
    if not counts:
        return None
    last = "distilled" if "distilled" in counts else list(counts)[-1]
    classes = len(counts[last])
    arms = list(counts) if classes <= SIDE_BY_SIDE_CLASSES else [last]
    names = _class_names(result, classes)
    side = min(max(2.8, 0.62 * classes + 1.2), 11.0)
    figure, all_axes = make_figure(
        side * len(arms) + 1.2, side + 0.6, len(arms)
    )
    for axes, arm in zip(all_axes, arms, strict=True):
        of_class = counts[arm].sum(axis=1, keepdims=True)
        shares = 100 * counts[arm] / np.maximum(of_class, 1)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        if classes <= NUMBERED_CLASSES:
            _write_shares(axes, shares)
        axes.set_title(arm_title(arm), fontsize=11)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class" if arm == arms[0] else "")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        if classes <= NAMED_CLASSES:
            longest = max(map(len, names))
            steep = longest > 9 or (longest > 3 and classes > 3)
            # A class may be called "$": names are no formulas.
            axes.set_xticks(
                range(classes),
                names,
                rotation=45 if steep else 0,
                ha="right" if steep else "center",
                rotation_mode="anchor" if steep else "default",
                parse_math=False,
            )
            axes.set_yticks(range(classes), names, parse_math=False)
            if arm != arms[0]:
                axes.set_yticklabels([])
    bar = figure.colorbar(image, ax=all_axes, shrink=0.8, aspect=25, pad=0.02)
    bar.set_label(f"% of the true class, {compared_split(result)} rows")
    bar.outline.set_visible(False)
    return figure


def _write_shares(axes, shares):
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            f"{share:.1f}"
            if len(shares) <= SIDE_BY_SIDE_CLASSES
            else f"{share:.0f}",
            ha="center",
            va="center",
            color="white" if share > 55 else "#222222",
            fontsize=10 if len(shares) <= SIDE_BY_SIDE_CLASSES else 8,
        )


def _class_names(result, classes):
    """The names of the classes, or numbers where the font lacks a letter."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.font_manager import findfont
    from matplotlib.font_manager import get_font

    names = [str(name) for name in result.get("labels") or ()]
    font = get_font(findfont(FontProperties()))
    letters = set("".join(names))
    if len(names) != classes or not all(
        font.get_char_index(ord(letter)) for letter in letters
    ):
        return [str(index) for index in range(classes)]
    return [
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
        for name in names
    ]


def _predictions(result):
    """What each arm predicts, against the label; the line is where to be."""
    sample = result.get("predictions")
    if not sample:
        return None
    labels, arms = sample["labels"], sample["arms"]
    everything = np.concatenate([labels, *arms.values()])
    ends = everything.min(), everything.max()
    colors = _colors(result | {"arms": arms})
    figure, all_axes = make_figure(3.2 * len(arms) + 0.6, 3.4, len(arms))
    for axes, (arm, values) in zip(all_axes, arms.items(), strict=True):
        axes.plot(ends, ends, color="#999999", linewidth=1.0)
        axes.scatter(
            labels, values, s=9, color=colors[arm], alpha=0.5, linewidths=0
        )
        tidy_axes(axes, arm_title(arm), "label")
        axes.set_box_aspect(1)
        if arm == list(arms)[0]:
            axes.set_ylabel("prediction")
    return figure


def _score_against_size(result):
    metric = primary_metric(result)
    factor = percent_factor(metric)
    colors = _colors(result)
    figure, (axes,) = make_figure(7.6, 3.8)
    points = {}
    for arm in result["arms"]:
        scores = np.multiply(arm_values(result, arm, metric), factor)
        sizes = arm_values(result, arm, "bytes")
        if len(scores) and sizes:
            points[arm_title(arm)] = axes.errorbar(
                np.mean(sizes) / 1e6,
                scores.mean(),
                yerr=scores.std(ddof=1) if len(scores) > 1 else None,
                color=colors[arm],
                marker="o",
                markersize=8,
                capsize=3,
                linestyle="",
            )
    for index, export in enumerate(result.get("exports") or ()):
        score = export.get("scores", {}).get(metric)
        if score is not None and export.get("bytes"):
            kind = [export.get("format"), export.get("quantization")]
            name = "file: " + ", ".join(str(part) for part in kind if part)
            (points[name],) = axes.plot(
                export["bytes"] / 1e6,
                score * factor,
                color=colors["distilled"],
                marker=EXPORT_MARKERS[index % len(EXPORT_MARKERS)],
                markersize=8,
                markerfacecolor="none",
                linestyle="",
            )
    if not points:
        return None
    title = f"{heading(metric)}, {compared_split(result)} rows"
    tidy_axes(axes, title[0].upper() + title[1:], "size on disk (MB)")
    logarithmic(axes)
    figure.legend(
        points.values(),
        points.keys(),
        loc="outside right upper",
        frameon=False,
    )
    return figure

"""The table and the plot of `keras-kd benchmark`."""

from pathlib import Path

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.evaluation import tables
from keras_kd.evaluation.metrics import heading
from keras_kd.evaluation.metrics import percent_factor
from keras_kd.evaluation.plots import COLORS
from keras_kd.evaluation.plots import EXPORT_MARKERS
from keras_kd.evaluation.plots import OTHER_COLORS
from keras_kd.evaluation.plots import logarithmic
from keras_kd.evaluation.plots import make_figure
from keras_kd.evaluation.plots import save_figure
from keras_kd.evaluation.plots import tidy_axes

NAME = "benchmark"
MORE_COLORS = ("#000000", "#F0E442", "#7A5195")
COLORS_OF_RUNS = (
    COLORS["distilled"], COLORS["alone"], *OTHER_COLORS, *MORE_COLORS
)  # fmt: skip
KERAS = "Keras"


def write_benchmark(folder, result, say=lambda text: None):
    """Writes `benchmark.md`, `.json` and `.png`, and says the table.

    Args:
        folder: Where they go.
        result: Dictionary with `metric`, `reference` (what the ratios are
            over), `threads`, `rows`, `machine` and `measured`, a list of
            dictionaries: `name`, `of` (the reference, `"teacher"` or
            `"student"`), `runtime`, `quantization`, `threads`, `tokens`,
            `p50`, `p90`, `ratio_keras`, `ratio_same`, `bytes`, `score`.
        say: Function that is told the table.

    Returns:
        The result.
    """
    folder = Path(folder)
    columns = benchmark_columns(result)
    lines = ["# Benchmark", "", _explanation(result), ""]
    lines += tables.markdown_table(columns)
    try:
        save_figure(folder / f"{NAME}.png", _plot(result))
        lines += ["", f"![Score against latency and size]({NAME}.png)"]
    except ImportError:
        lines += ["", "There is no plot: matplotlib is not installed."]
    write_json(folder / f"{NAME}.json", result)
    with write_aside(folder / f"{NAME}.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    say("\n".join(tables.text_table(columns)))
    return result


def benchmark_columns(result):
    """The columns of the table, ratios first."""
    metric, measured = result["metric"], result["measured"]
    reference = result["reference"]

    def cells(form, key):
        return ["" if one[key] is None else form(one[key]) for one in measured]

    def ratio(value):
        return f"{value:.2f}" if value < 10 else f"{value:,.0f}"

    def score(value):
        return f"{value * percent_factor(metric):.2f}"

    return {
        "model": cells(str, "name"),
        f"times {reference} in Keras": cells(ratio, "ratio_keras"),
        f"times {reference} in the same runtime": cells(ratio, "ratio_same"),
        "tokens": cells(str, "tokens"),
        "p50 (ms)": cells("{:.3f}".format, "p50"),
        "p90 (ms)": cells("{:.3f}".format, "p90"),
        "runtime": cells(str, "runtime"),
        "weights": cells(str, "quantization"),
        "threads": cells(str, "threads"),
        "size": cells(lambda value: tables.size([value]), "bytes"),
        heading(metric): cells(score, "score"),
    }


def _explanation(result):
    of, shape = "the teacher", ""
    if result["reference"] != "teacher":
        of = result["reference"]
        shape = f"{of} is a model of that shape, with random weights. "
    machine = result["machine"]
    names = [machine.get("processor"), machine.get("system")]
    names += [f"{k} {v}" for k, v in machine.get("versions", {}).items()]
    return (
        f"One row at a time, {result['rows']} rows of each length, from token "
        "ids to the output; p50 is the median over the rows, p90 the slowest "
        "tenth. Both ratios are of the p50 at the same number of tokens: over "
        f"{of} as a compiled Keras call, and over {of} in the same runtime "
        "and quantisation (files with a smaller word table: over `dynamic`). "
        f"{shape}A file of fixed length is given shorter rows with "
        "padding. Size: of a file; of a Keras model that of its weights in "
        f"float32. Scores on the test rows. Measured on: "
        f"{tables.one_line(', '.join(filter(None, names)))}."
    )


def _plot(result):
    """The score against the latency of the longest rows, and the size."""
    longest = max(one["tokens"] for one in result["measured"])
    shown = [
        one
        for one in result["measured"]
        if one["tokens"] == longest and one["score"] is not None
    ]
    metric = result["metric"]
    colors, markers = {}, {KERAS: "o"}
    figure, axes = make_figure(10.0, 4.2, 2)
    for one in shown:
        who, how = "teacher", one["quantization"]
        if one["of"] == "student":
            who = one["name"].rpartition("/")[0] or "student"
            free = COLORS_OF_RUNS[(len(colors) - 1) % len(COLORS_OF_RUNS)]
            colors.setdefault(who, free)
        colors.setdefault(who, COLORS["teacher"])
        if one["runtime"] == KERAS:
            how = KERAS
        free = EXPORT_MARKERS[(len(markers) - 1) % len(EXPORT_MARKERS)]
        markers.setdefault(how, free)
        score = one["score"] * percent_factor(metric)
        for axis, x in zip(axes, (one["p50"], one["bytes"] / 1e6)):
            axis.plot(x, score, **_style(colors[who], markers[how], how))
    title = heading(metric)
    threads = f"{result['threads']} thread{'s'[: result['threads'] > 1]}"
    tidy_axes(
        axes[0],
        f"{title[0].upper()}{title[1:]}",
        f"ms for a text of {longest} tokens, {threads}",
    )
    tidy_axes(axes[1], "", "size (MB)")
    for axis in axes:
        logarithmic(axis)
    entries = {who: _style(color, "o", KERAS) for who, color in colors.items()}
    for how, marker in markers.items():
        entries[how] = _style("#888888", marker, how)
    for label, style in entries.items():
        axes[0].plot([], [], label=label, **style)
    figure.legend(
        loc="outside lower center",
        ncols=min(len(entries), 5),
        frameon=False,
    )
    return figure


def _style(color, marker, how):
    """Filled where Keras computes, hollow for a file."""
    return {
        "color": color,
        "marker": marker,
        "markerfacecolor": color if how == KERAS else "none",
        "markersize": 8,
        "linestyle": "",
    }

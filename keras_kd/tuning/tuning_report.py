"""The report of a search: its trials, the front, and the winner."""

from pathlib import Path

from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.evaluation import tables
from keras_kd.evaluation.metrics import heading
from keras_kd.evaluation.metrics import metric_title
from keras_kd.evaluation.metrics import percent_factor
from keras_kd.evaluation.plots import check_matplotlib
from keras_kd.evaluation.plots import make_figure
from keras_kd.evaluation.plots import save_figure
from keras_kd.evaluation.plots import tidy_axes
from keras_kd.evaluation.report import console_table
from keras_kd.evaluation.result import plain

REPORT = "tuning.md"
RESULT = "tuning.json"
PLOT = "tuning.png"
TITLES = {"latency": "one text, p50 (ms)", "size": "size of the file (MB)"}
FACTORS = {"latency": 1.0, "size": 1e-6}


def write_tuning(folder: str | Path, result: dict) -> Path:
    """Writes `tuning.json`, `tuning.md` and, with a front, `tuning.png`.

    Args:
        folder: The run folder.
        result: What `keras_kd.tuning.tune.tune` gives.

    Returns:
        The path of `tuning.md`.
    """
    folder = Path(folder)
    write_json(folder / RESULT, plain(result))
    plots = []
    others = [name for name in result["search"]["objectives"] if name in TITLES]
    if others and result["trials"]:
        try:
            check_matplotlib()
            save_figure(folder / PLOT, _plot(result, others))
            plots = ["", f"![Score against {' and '.join(others)}]({PLOT})"]
        except ImportError as error:
            plots = ["", str(error)]
    search = result["search"]
    done, front = result["trials"], result["front"]
    sections = [
        ["# Search for settings"],
        [
            f"{len(done)} trials of {search['algorithm']}, chosen by "
            f"{metric_title(result['primary_metric'])} on the validation rows. "
            f"The teacher labelled {result['teacher_calls']} rows before them. "
            + (
                "For the losses between layers it ran live in each trial."
                if result["configuration"].get("layer_losses")
                else "The trials asked it "
                f"{result['trial_teacher_calls']} times."
            ),
        ],
        _winner_lines(result),
        [
            f"## Best in {', '.join(search['objectives'])}",
            "",
            "No other trial beats one of these in all of that.",
            "",
            *tables.markdown_table(trial_columns(front, result)),
            *plots,
        ]
        if len(search["objectives"]) > 1
        else [],
        [
            "## Trials",
            "",
            *tables.markdown_table(
                trial_columns(sorted(done, key=lambda t: -t["score"]), result)
            ),
            "",
            "To train another one again: `keras-kd compare --config "
            "trials/TRIAL/config.json --arms teacher alone distilled --seeds 0 "
            "1 2 --run DIR`.",
        ],
        [
            "## Failed",
            "",
            *(
                f"- {tables.one_line(one['settings'])}: "
                f"{tables.one_line(one['message'])}"
                for one in result["failed"]
            ),
        ]
        if result["failed"]
        else [],
        ["## Command", "", "```", result["command"], "```"]
        if result["command"]
        else [],
    ]
    text = "\n\n".join("\n".join(lines) for lines in sections if lines)
    with write_aside(folder / REPORT) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return folder / REPORT


def trial_columns(trials: list, result: dict) -> dict:
    """The columns of a table of trials, for Markdown or a terminal."""
    metric = result["primary_metric"]
    factor = percent_factor(metric)
    names = dict.fromkeys(n for one in trials for n in one["settings"])
    return {
        "trial": [one["folder"] for one in trials],
        f"validation {heading(metric)}": [
            f"{one['score'] * factor:.2f}" for one in trials
        ],
        "ms a text": [f"{one['latency']:.2f}" for one in trials],
        "size": [tables.size([one["size"]]) for one in trials],
        "steps": [f"{one['steps']:,}" for one in trials],
        **{
            name: [tables.general(one["settings"].get(name)) for one in trials]
            for name in names
        },
    }


def _winner_lines(result):
    winner = result.get("winner")
    best = result["best"]
    if best is None:
        return ["No trial was completed."]
    lines = [
        "## The winner",
        "",
        "; ".join(
            f"{name} {tables.general(value)}"
            for name, value in best["settings"].items()
        ),
    ]
    if winner is None:
        return [*lines, "", "It is not trained again yet."]
    return [
        *lines,
        "",
        "Trained again with seeds that the search has not seen, and scored "
        "once on the test rows "
        f"([report]({result['winner_folder']}/report.md)):",
        "",
        "```",
        console_table(winner),
        "```",
    ]


def _plot(result, others):
    """The score against each other objective; the front is filled."""
    metric = result["primary_metric"]
    figure, all_axes = make_figure(4.6 * len(others) + 0.6, 3.6, len(others))
    front = {one["folder"] for one in result["front"]}
    for axes, name in zip(all_axes, others, strict=True):
        for one in result["trials"]:
            axes.plot(
                one[name] * FACTORS[name],
                one["score"] * percent_factor(metric),
                marker="o",
                color="#0072B2",
                markerfacecolor="#0072B2" if one["folder"] in front else "none",
                linestyle="",
            )
        tidy_axes(axes, f"Validation {heading(metric)}", TITLES[name])
    return figure

"""Numbers and tables as text, for Markdown and for the terminal."""

import numpy as np


def spread(values, digits: int = 2) -> str:
    """Mean ± sample standard deviation; nothing for no values."""
    if not len(values):
        return ""
    text = f"{np.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text


def percent(share: float | None) -> str:
    """A share of 1 in percent; nothing for `None`."""
    return "" if share is None else f"{share * 100:.2f}%"


def whole(values) -> str:
    """The mean without decimals; nothing for no values."""
    return f"{np.mean(values):,.0f}" if len(values) else ""


def size(values) -> str:
    """The mean of numbers of bytes, in MB or kB (powers of ten)."""
    if not len(values):
        return ""
    mean = float(np.mean(values))
    return f"{mean / 1e6:.2f} MB" if mean >= 1e6 else f"{mean / 1e3:.1f} kB"


def general(value) -> str:
    """Any value: whole numbers grouped, others with three digits."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def one_line(text) -> str:
    """Text without line breaks and without HTML, for Markdown."""
    return " ".join(str(text).split()).replace("<", "&lt;")


def markdown_table(columns: dict[str, list[str]]) -> list[str]:
    """The lines of a Markdown table; empty columns are left out.

    Args:
        columns: Cells by heading. The first column is set to the left, the
            others to the right.
    """
    headers, rows = _rows(columns)
    lines = [headers, ["---"] + ["---:"] * (len(headers) - 1), *rows]
    return [
        "| "
        + " | ".join(one_line(cell).replace("|", "\\|") for cell in line)
        + " |"
        for line in lines
    ]


def text_table(columns: dict[str, list[str]]) -> list[str]:
    """The lines of a table in plain text; empty columns are left out.

    Args:
        columns: As for `markdown_table`.
    """
    headers, rows = _rows(columns)
    widths = [
        max(map(len, column)) for column in zip(headers, *rows, strict=True)
    ]
    lines = []
    for row in [headers, ["-" * width for width in widths], *rows]:
        first, *others = [
            cell.rjust(width) for cell, width in zip(row, widths, strict=True)
        ]
        first = row[0].ljust(widths[0])
        lines.append("  ".join([first, *others]).rstrip())
    return lines


def _rows(columns):
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return list(columns), rows

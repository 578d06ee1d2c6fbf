"""`kill -9` at random moments, the same command again, the same weights."""

import random

import numpy as np
import pytest

from benchmarks import kill_test
from tests import tiny

QUICK = """
    --fine-tune-teacher --teacher-epochs 2 --teacher-batch-size 8
    --teacher-learning-rate 0.01 --teacher-floor 0 --max-length 8
    --student bag --width 4 --embedding-dim 4 --dropout 0.3 --batch-size 8
    --learning-rate 0.02 --steps 12 --evaluate-every 5 --seeds 0
    --arms teacher distilled
""".split()


def test_three_random_moments(tmp_path):
    files = {
        **tiny.write_data(tmp_path / "data"),
        "teacher": tiny.write_teacher(tmp_path / "teacher", scale=0.5),
    }
    found = kill_test.kill_often(
        ["distill", *(f"--{name}={file}" for name, file in files.items())]
        + QUICK,
        tmp_path,
        times=3,
        seed=random.randrange(2**31),
        phases=("fine-tuning", "labelling", "distilling"),
        export=False,
    )
    assert len(found) >= 3
    assert max(one["difference"] for one in found) <= kill_test.TOLERANCE


@pytest.mark.slow
def test_ten_random_moments(tmp_path):
    found = kill_test.kill_often(
        kill_test.make_command(tmp_path),
        tmp_path,
        times=10,
        seed=random.randrange(2**31),
    )
    assert {one["phase"] for one in found} == set(kill_test.PHASES)
    assert max(one["difference"] for one in found) <= kill_test.TOLERANCE


class TestDifference:
    @pytest.fixture
    def folders(self, tmp_path):
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            np.save(tmp_path / name / "logits.npy", [1.0, 2.0])
        return tmp_path / "one", tmp_path / "other"

    def test_other_numbers(self, folders):
        assert kill_test.farthest(*folders) == 0.0
        np.save(folders[1] / "logits.npy", [1.0, 2.5])
        assert kill_test.farthest(*folders) == 0.5

    @pytest.mark.parametrize("name", ["more.npy", ".0-1.partial.student"])
    def test_other_files(self, folders, name):
        np.save(folders[1] / "x.npy", [1.0])
        (folders[1] / "x.npy").rename(folders[1] / name)
        assert kill_test.farthest(*folders) == np.inf

    def test_weights_of_students(self, folders):
        import keras

        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        for number, folder in enumerate(folders):
            model.layers[0].bias.assign([0.0, 0.0, number * 0.25])
            model.save(folder / "student.keras")
        assert kill_test.farthest(*folders) == 0.25


def test_table_counts_by_phase():
    found = [
        {"phase": "export", "difference": 0.0},
        {"phase": "export", "difference": 0.5},
        {"phase": "tuning", "difference": 0.0},
    ]
    lines = [line.split() for line in kill_test.table(found)]
    assert ["export", "2", "1", "0.5"] in lines
    assert ["tuning", "1", "1", "0"] in lines

"""`--strategy mirrored` from the command line, on two CPU devices.

TensorFlow takes its logical devices once a process, so that this file runs
itself: each command runs in a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests import tiny_tokens

ROOT = Path(__file__).parents[2]
SETTINGS = """
    --student transformer --layers 1 --width 4 --embedding-dim 4 --dropout 0
    --max-length 8 --batch-size 12 --learning-rate 0.02 --steps 6
    --evaluate-every 3 --seeds 0 --arms teacher distilled
""".split()
COMMANDS = {
    "distill": "distill --layer-losses hidden_state_mse",
    "tune": "tune --layer-losses hidden_state_mse --tune temperature=1,4 "
    "--trials 2 --algorithm random",
    "study": "study temperature --layer-losses hidden_state_mse --values 2",
    "tagging": "distill",
    "chain": "distill --chain",
    "reading": "distill",
}


# === What is run: in the process with two devices ===


def write_transformer(folder):
    """A teacher with layers, wider than the student; it knows nothing."""
    import keras

    from keras_kd.models.transformer import transformer_student
    from keras_kd.teachers.teacher import Teacher

    keras.utils.set_random_seed(1)
    tokenizer = tiny.make_teacher(folder.with_name("tokenizer")).tokenizer
    model = transformer_student(
        tokenizer.vocabulary_size, 2, 1, 8, num_heads=2, dropout=0.0
    )
    Teacher(model, tokenizer, tiny.LABELS).save(folder)
    return str(folder)


def write_inputs(name, folder):
    """Writes data and a teacher; gives the flags that name them."""
    if name in ("tagging", "chain"):
        settings = tiny_tokens.write_tagged(folder / "data")
        teacher = tiny_tokens.write_teacher(folder / "teacher")
    elif name == "reading":
        settings = tiny_tokens.write_questions(folder / "data")
        settings["max_length"] = 16
        teacher = tiny_tokens.write_teacher(
            folder / "teacher", "question_answering"
        )
    else:
        settings = tiny.write_data(folder / "data")
        teacher = write_transformer(folder / "teacher")
    settings |= {"teacher": teacher, "teacher_floor": 0}
    settings |= {"cache": folder / "cache"}
    return [
        f"--{name.replace('_', '-')}={value}"
        for name, value in settings.items()
    ]


def main(name, folder):
    import tensorflow as tf

    from keras_kd import cli
    from keras_kd import distribution
    from keras_kd.runs import arm_training
    from keras_kd.runs.student_files import StudentFiles

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    made = []

    def by_name(name):
        devices = ["CPU:0", "CPU:1"] if name == "mirrored" else None
        strategy = distribution.strategy_by_name(name, devices)
        made.append(strategy.num_replicas_in_sync)
        return strategy

    # By itself it would take the GPUs, which a machine need not have.
    arm_training.strategy_by_name = by_name
    StudentFiles.write = lambda files, name: {
        "file": name, "format": "none",
    }  # fmt: skip
    settings = [*SETTINGS, *write_inputs(name, folder)]
    for strategy in ("none", "mirrored"):
        run = ["--run", str(folder / strategy), "--strategy", strategy]
        assert cli.main([*COMMANDS[name].split(), *settings, *run]) == 0
    (folder / "replicas.json").write_text(json.dumps(made))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))


# === Tests ===


def histories(folder):
    """The history of each training in a run folder, by its unit."""
    return {
        str(file.relative_to(folder)): json.loads(file.read_text())["history"]
        for file in sorted(folder.rglob("result.json"))
    }


def predictions(folder):
    return [np.load(file) for file in sorted(folder.rglob("test_logits.npy"))]


@pytest.mark.parametrize(
    "command",
    [
        "distill",
        pytest.param("tune", marks=pytest.mark.slow),
        pytest.param("study", marks=pytest.mark.slow),
        "tagging",
        pytest.param("chain", marks=pytest.mark.slow),
        pytest.param("reading", marks=pytest.mark.slow),
    ],
)
def test_two_replicas_train_as_one(command, tmp_path):
    done = subprocess.run(
        [sys.executable, __file__, command, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]
    # Each run asks for its strategy, and those in it too.
    replicas = json.loads((tmp_path / "replicas.json").read_text())
    assert sorted(set(replicas)) == [1, 2]
    one, two = (histories(tmp_path / name) for name in ("none", "mirrored"))
    assert set(one) == set(two) and one
    for unit, history in one.items():
        assert len(history) == 2
        for entry, other in zip(history, two[unit], strict=True):
            assert entry == pytest.approx(other, rel=1e-4, abs=1e-5)
            if "hidden_state_mse" in COMMANDS[command]:
                assert "hidden_state_mse_loss" in entry or "alone" in unit
    one, two = (predictions(tmp_path / name) for name in ("none", "mirrored"))
    assert len(one) == len(two) > 0
    for logits, others in zip(one, two):
        np.testing.assert_allclose(logits, others, atol=1e-4)

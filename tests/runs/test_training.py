"""A unit is trained once, and goes on after whatever stopped it."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.data.pipeline import training_batches
from keras_kd.data.rows import Rows
from keras_kd.data.rows import target_key
from keras_kd.data.rows import write_rows
from keras_kd.distiller import Distiller
from keras_kd.runs import training
from keras_kd.runs.arm_training import dtype_policy
from keras_kd.runs.pruning import MagnitudePruning
from keras_kd.runs.pruning import share_of_zeros
from keras_kd.runs.training import adamw
from keras_kd.runs.training import train_unit

STEPS, EVERY = 14, 5
PROJECT = Path(__file__).resolve().parents[2]


def make_rows(folder):
    """23 rows in batches of 4: the steps do not end with an epoch."""
    with contextlib.suppress(FileNotFoundError):
        return Rows.open(folder)
    generator = np.random.default_rng(0)
    return write_rows(
        folder,
        (
            {
                "example_id": f"row-{number}",
                "target_key": target_key([number]),
                "token_ids": generator.integers(1, 20, 3 + number % 4),
                "label": number % 2,
                "label_weight": 1.0,
            }
            for number in range(23)
        ),
        {},
    )


def make_distiller(
    steps=STEPS, student=None, quantization=None, loss_scale=None
):
    """Dropout and AdamW: there is much state that could be lost."""
    keras.utils.set_random_seed(3)
    optimizer = adamw(0.05, steps)
    if loss_scale is not None:
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, loss_scale)
    with dtype_policy("float32" if loss_scale is None else "mixed_float16"):
        student = make_student() if student is None else student
    distiller = Distiller(student, quantization=quantization)
    distiller.compile(
        optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return distiller


def make_student():
    inputs = {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids")
    }
    x = layers.Embedding(20, 4)(inputs["token_ids"])
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dropout(0.3)(x)
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


def train(
    folder,
    callbacks=(),
    score=None,
    steps=STEPS,
    state_seconds=0.0,
    prune=None,
    quantization=None,
    loss_scale=None,
    say=lambda line: None,
):
    """Trains a unit; by default its last weights are the best ones."""
    folder = Path(folder)
    rows = make_rows(folder.parent / "rows")
    distiller = make_distiller(
        steps, quantization=quantization, loss_scale=loss_scale
    )
    result = train_unit(
        folder,
        distiller,
        lambda step: training_batches(
            rows, distiller.student, batch_size=4, start_step=step
        ),
        score or (lambda: int(distiller.optimizer.iterations)),
        steps,
        EVERY,
        "unit",
        say,
        callbacks,
        state_seconds,
        MagnitudePruning(distiller.student, prune, 2, 8, every=3)
        if prune
        else None,
    )
    return result, distiller


class At(keras.callbacks.Callback):
    """Does something after a step."""

    def __init__(self, step, action):
        super().__init__()
        self.step = step
        self.action = action

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            self.action(self.model)


class Steps(keras.callbacks.Callback):
    """Writes down the steps that were made."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(int(self.model.optimizer.iterations))


def kill(model):
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


def weights(distiller):
    return distiller.student.get_weights()


def assert_equal_weights(received, expected, tolerance=1e-6):
    for one, other in zip(received, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def assert_same_history(received, expected, killed_at):
    """The same but for the means of the interval with the kill in it."""
    for one, other in zip(
        received["history"], expected["history"], strict=True
    ):
        if 0 < one["step"] - killed_at < EVERY:
            one = {key: one[key] for key in ("step", "validation")}
            other = {key: other[key] for key in ("step", "validation")}
        assert one == pytest.approx(other, abs=1e-6)


class Clock:
    """A clock that goes ten seconds on with every step.

    Args:
        steps: The `Steps` that were made so far.
    """

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self, steps):
        self.steps = steps

    def monotonic(self):
        return 10.0 * len(self.steps.seen)


def names(folder):
    return sorted(
        str(file.relative_to(folder)) for file in Path(folder).rglob("*")
    )


def test_steps_are_those_asked_for_and_the_last_interval_is_short(tmp_path):
    steps = Steps()
    result, distiller = train(tmp_path / "unit", [steps])
    assert int(distiller.optimizer.iterations) == STEPS
    assert steps.seen == [*range(1, 15)]
    assert [entry["step"] for entry in result["history"]] == [5, 10, 14]
    assert result["steps"] == 14
    assert result["intervals"] == 3
    assert result["best_step"] == 14
    assert all(np.isfinite(entry["loss"]) for entry in result["history"])


def test_interval_longer_than_the_training(tmp_path):
    result, distiller = train(tmp_path / "unit", steps=3)
    assert [entry["step"] for entry in result["history"]] == [3]
    assert int(distiller.optimizer.iterations) == 3


def test_batches_are_those_of_the_steps(tmp_path, monkeypatch):
    asked, original = [], training_batches

    def recording(*args, start_step, **kwargs):
        asked.append(start_step)
        return original(*args, start_step=start_step, **kwargs)

    monkeypatch.setitem(train.__globals__, "training_batches", recording)
    train(tmp_path / "unit")
    # One stream for the whole intervals, one for the short one.
    assert asked == [0, 10]


def test_best_checkpoint_is_the_one_that_is_kept(tmp_path):
    values, seen = [0.1, 0.9, 0.5], []
    scores = iter(values)

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((logs["validation"], weights(self.model)))

    result, distiller = train(
        tmp_path / "unit", [Watch()], lambda: next(scores)
    )
    assert [value for value, _ in seen] == values
    assert result["best_step"] == 10
    assert result["best_score"] == 0.9
    best = seen[1][1]
    assert_equal_weights(weights(distiller), best, tolerance=0)
    stored = keras.saving.load_model(tmp_path / "unit" / "student.keras")
    assert_equal_weights(stored.get_weights(), best, tolerance=0)
    # The weights did move afterwards.
    assert np.abs(best[0] - seen[2][1][0]).max() > 1e-4


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        # Nothing tells equal ones apart: the later one has learned more.
        ([0.5, 0.5, 0.4], 10),
        ([0.5, 0.5, 0.5], 14),
        # The lower loss does, and only among equal scores.
        ([(0.5, 0.30), (0.5, 0.31), (0.4, 0.1)], 5),
        ([(0.5, 0.31), (0.5, 0.30), (0.5, 0.32)], 10),
        ([(0.5, 0.3), (0.5, 0.3), (0.5, 0.4)], 10),
        # Not a number is worse than any number.
        ([float("nan"), -3.0, float("nan")], 10),
        ([(0.5, float("nan")), (0.5, 9.0), (0.5, float("nan"))], 10),
        ([float("nan")] * 3, 14),
    ],
)
def test_equal_scores(tmp_path, scores, best):
    given, seen = iter(scores), {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            step = int(self.model.optimizer.iterations)
            seen[step] = weights(self.model), logs.get("validation_loss")

    result, distiller = train(tmp_path / "unit", [Watch()], lambda: next(given))
    assert result["best_step"] == best
    stored = keras.saving.load_model(tmp_path / "unit" / "student.keras")
    assert_equal_weights(stored.get_weights(), seen[best][0], tolerance=0)
    assert_equal_weights(weights(distiller), seen[best][0], tolerance=0)
    score = scores[[5, 10, 14].index(best)]
    loss = score[1] if isinstance(score, tuple) else None
    assert seen[best][1] == loss
    entry = result["history"][[5, 10, 14].index(best)]
    assert entry.get("validation_loss") == loss
    if loss is not None:
        assert result["best_score"] == entry["validation"] == score[0]


def test_finished_unit_is_not_run_again(tmp_path, monkeypatch):
    result, distiller = train(tmp_path / "unit")
    before = names(tmp_path / "unit")
    assert before == ["result.json", "student.keras"]
    monkeypatch.setattr(Distiller, "fit", interrupt)
    again, other = train(tmp_path / "unit", score=interrupt)
    assert again == result
    assert_equal_weights(weights(other), weights(distiller), tolerance=0)
    assert names(tmp_path / "unit") == before


class TestSkippedSteps:
    """A loss scale that is too large at first leaves steps out."""

    def train(
        self, folder, callbacks=(), score=None, loss_scale=2.0**20, **more
    ):
        score = score or iter(range(9)).__next__
        return train(folder, callbacks, score, loss_scale=loss_scale, **more)

    @pytest.mark.parametrize("batches", [2, 5, 7])
    def test_killed_one_goes_on_exactly(self, tmp_path, batches):
        seen = []

        def stop(batch, logs):
            seen.append(batch)
            if len(seen) == batches:
                raise KeyboardInterrupt

        result, whole = self.train(tmp_path / "whole")
        assert 1 < result["skipped_steps"] < STEPS - batches
        steps = [entry["step"] for entry in result["history"]]
        assert steps == [5, 10, 14]
        with pytest.raises(KeyboardInterrupt):
            self.train(
                tmp_path / "unit",
                [keras.callbacks.LambdaCallback(on_train_batch_end=stop)],
            )
        again, killed = self.train(tmp_path / "unit")
        assert again["skipped_steps"] == result["skipped_steps"]
        assert_equal_weights(weights(killed), weights(whole), tolerance=0)
        assert [entry["step"] for entry in again["history"]] == steps

    def test_progress_comes_to_the_end(self, tmp_path):
        lines = []

        def stop(batch, logs):
            if len(lines) == 1 and batch == 1:
                raise KeyboardInterrupt

        kill = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
        with pytest.raises(KeyboardInterrupt):
            self.train(tmp_path / "unit", [kill], say=lines.append)
        self.train(tmp_path / "unit", say=lines.append)
        assert [line.split(":")[0].strip() for line in lines] == [
            "step 5/14",
            "step 10/14",
            "step 14/14",
        ]

    # At batch 10 the optimizer has made fewer steps than the 8 of pruning;
    # with the larger scale it makes fewer in all.
    @pytest.mark.parametrize("exponent", [20, 26])
    def test_student_from_before_the_end_of_pruning(self, tmp_path, exponent):
        score = iter([0.9, 0.8, 0.1]).__next__
        result, distiller = self.train(
            tmp_path / "unit",
            score=score,
            loss_scale=2.0**exponent,
            prune=0.5,
        )
        made = STEPS - result["skipped_steps"]
        assert (made < 8) == (exponent == 26)
        assert (result["best_step"], result["best_score"]) == (STEPS, 0.1)
        assert (share_of_zeros(distiller.student) == 0.5) == (made >= 8)


class TestPruned:
    def test_student_from_before_the_end_is_not_kept(self, tmp_path):
        scores = iter([0.9, 0.5, 0.4])
        result, distiller = train(
            tmp_path / "unit", score=lambda: next(scores), prune=0.5
        )
        assert (result["best_step"], result["best_score"]) == (10, 0.5)
        assert share_of_zeros(distiller.student) == 0.5

    # Before the first choice, between two, at the last, and after it.
    @pytest.mark.parametrize("step", [1, 4, 8, 9])
    def test_killed_one_goes_on_exactly(self, tmp_path, step):
        _, whole = train(tmp_path / "whole", prune=0.5)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "unit", [At(step, interrupt)], prune=0.5)
        steps = Steps()
        _, killed = train(tmp_path / "unit", [steps], prune=0.5)
        assert steps.seen[0] == step + 1
        assert_equal_weights(weights(killed), weights(whole), tolerance=0)


class TestQuantized:
    def test_student_is_scored_and_kept_as_its_file_will_be(self, tmp_path):
        seen = []

        def score():
            (table, *_) = distillers[0].student.get_weights()
            seen.append(table)
            return len(seen)

        distillers = []
        # The first callback of an epoch: the distiller is not known before.
        watch = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: distillers.append(watch.model)
        )
        train(tmp_path / "unit", [watch], score, quantization="dynamic")
        student = keras.saving.load_model(tmp_path / "unit" / "student.keras")
        np.testing.assert_array_equal(student.get_weights()[0], seen[-1])
        steps = seen[-1] / np.abs(seen[-1]).max() * 127
        np.testing.assert_allclose(steps, steps.round(), atol=1e-4)

    def test_killed_one_goes_on_exactly(self, tmp_path):
        _, whole = train(tmp_path / "whole", quantization="dynamic")
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "unit", [At(4, interrupt)], quantization="dynamic")
        steps = Steps()
        _, killed = train(tmp_path / "unit", [steps], quantization="dynamic")
        assert steps.seen[0] == 5
        assert_equal_weights(weights(killed), weights(whole), tolerance=0)


def test_killed_process_goes_on_to_the_same_weights(tmp_path):
    """`kill -9` in the middle of an interval, and the same call again."""
    # Any step but those at which there is a score.
    step = random.choice([n for n in range(1, STEPS) if n % EVERY])
    script = (
        "import sys; from tests.runs.test_training import At, kill, train; "
        f"train(sys.argv[1], [At({step}, kill)])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "unit")],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == -signal.SIGKILL, finished.stderr[-2000:]
    progress = tmp_path / "unit" / "state" / "progress.json"
    assert len(json.loads(progress.read_text())["history"]) == step // EVERY
    assert not (tmp_path / "unit" / "result.json").exists()

    steps = Steps()
    resumed, distiller = train(tmp_path / "unit", [steps])
    # Not a step is repeated.
    assert steps.seen == [*range(step + 1, STEPS + 1)]
    whole, other = train(tmp_path / "whole")
    assert_equal_weights(weights(distiller), weights(other), tolerance=0)
    assert_same_history(resumed, whole, killed_at=step)
    assert names(tmp_path / "unit") == names(tmp_path / "whole")


@pytest.mark.parametrize("killed", [False, True])
def test_unit_after_another_one_goes_on_exactly(tmp_path, killed):
    """A student is trained twice, and the kill came between the two."""
    rows = make_rows(tmp_path / "rows")

    def both(name):
        distiller = make_distiller(steps=4)
        for number in (1, 2):
            train_unit(
                tmp_path / f"{name}-{number}",
                distiller,
                lambda step: training_batches(rows, distiller.student, 4),
                lambda: int(distiller.optimizer.iterations),
                4,
                EVERY,
                "unit",
                state_seconds=0.0,
            )
            # Another one on the same student.
            student = distiller.student
            distiller = make_distiller(steps=4, student=student)
        return student.get_weights()

    expected = both("whole")
    if killed:
        both("killed")
        shutil.rmtree(tmp_path / "killed-2")
    assert_equal_weights(both("killed"), expected, tolerance=0)


def test_is_done(tmp_path):
    assert not training.is_done(tmp_path / "unit")
    train(tmp_path / "unit", steps=2)
    assert training.is_done(tmp_path / "unit")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    result, distiller = train(tmp_path_factory.mktemp("training") / "unit")
    return result, weights(distiller)


def stop_in_a_step(step):
    def stop(monkeypatch):
        return [At(step, interrupt)]

    return stop


def stop_while_writing_the_state(monkeypatch):
    saved = Distiller.save_weights

    def save_weights(self, path):
        saved(self, path)
        if int(self.optimizer.iterations) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(Distiller, "save_weights", save_weights)
    return []


def stop_while_writing_the_student(monkeypatch):
    saved, calls = keras.Model.save, []

    def save(self, path):
        saved(self, path)
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "save", save)
    return []


def stop_before_the_result(monkeypatch):
    write_json = training.write_json

    def stopping(path, value):
        if path.name == "result.json":
            raise KeyboardInterrupt
        write_json(path, value)

    monkeypatch.setattr(training, "write_json", stopping)
    return []


@pytest.mark.parametrize(
    ("stop", "intervals", "step"),
    [
        (stop_in_a_step(2), 0, 2),
        (stop_in_a_step(7), 1, 7),
        (stop_in_a_step(13), 2, 13),
        (stop_while_writing_the_state, 1, 9),
        (stop_while_writing_the_student, 1, 9),
        (stop_before_the_result, 3, 14),
    ],
    ids=[
        "first interval",
        "later interval",
        "short interval",
        "state",
        "student",
        "result",
    ],
)
def test_ctrl_c_loses_nothing(
    tmp_path, monkeypatch, uninterrupted, stop, intervals, step
):
    folder = tmp_path / "unit"
    with monkeypatch.context() as patched:
        callbacks = stop(patched)
        with pytest.raises(KeyboardInterrupt):
            train(folder, callbacks)
    assert not (folder / "result.json").exists()
    assert not [name for name in names(tmp_path) if "partial" in name]
    state = folder / "state" / "progress.json"
    done = json.loads(state.read_text())["history"] if state.exists() else []
    assert len(done) == intervals

    steps = Steps()
    result, distiller = train(folder, [steps])
    assert steps.seen == [*range(step + 1, STEPS + 1)]
    expected, expected_weights = uninterrupted
    assert_equal_weights(weights(distiller), expected_weights, tolerance=0)
    assert_same_history(result, expected, killed_at=step)
    assert names(folder) == ["result.json", "student.keras"]


def test_killed_before_any_state_was_saved(tmp_path, uninterrupted):
    folder = tmp_path / "unit"
    with pytest.raises(KeyboardInterrupt):
        train(folder, [At(13, interrupt)], state_seconds=1e9)
    assert names(folder) == ["student.keras"]
    steps = Steps()
    result, distiller = train(folder, [steps], state_seconds=1e9)
    assert steps.seen == [*range(1, 15)]
    assert_equal_weights(weights(distiller), uninterrupted[1])
    assert names(folder) == ["result.json", "student.keras"]


@pytest.mark.parametrize(
    ("state_seconds", "killed_at", "goes_on_at"),
    [
        (30.0, 4, 4),  # In the first interval, there is no student yet.
        (60.0, 9, 7),  # Between two validations, not at the one at step 5.
        (50.0, 9, 5),  # Due at a validation: with its score.
        (60.0, 12, 7),
    ],
)
def test_state_is_saved_by_the_clock(
    tmp_path, monkeypatch, uninterrupted, state_seconds, killed_at, goes_on_at
):
    # The clock stands at 10 seconds a finished step; the step that is being
    # finished counts when all callbacks have seen it.
    folder, steps = tmp_path / "unit", Steps()
    with monkeypatch.context() as patched:
        patched.setattr(training, "time", Clock(steps))
        with pytest.raises(KeyboardInterrupt):
            train(
                folder,
                [steps, At(killed_at, interrupt)],
                state_seconds=state_seconds,
            )
    state = names(folder / "state")
    assert ("student.keras" in state) == (goes_on_at >= EVERY)
    steps = Steps()
    result, distiller = train(folder, [steps], state_seconds=1e9)
    assert steps.seen == [*range(goes_on_at + 1, STEPS + 1)]
    assert_equal_weights(weights(distiller), uninterrupted[1], tolerance=0)
    assert_same_history(result, uninterrupted[0], killed_at=goes_on_at)
    assert [entry["step"] for entry in result["history"]] == [5, 10, 14]
    assert names(folder) == ["result.json", "student.keras"]


def test_seconds_are_those_of_training_alone(tmp_path, monkeypatch):
    # Every step takes a second, every state and every score takes more.
    now = [0.0]

    class Later(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            now[0] += 1.0

    def score():
        now[0] += 100.0
        return 0.5

    def save_weights(self, path):
        now[0] += 1000.0
        path.write_bytes(b"weights")

    clock = types.SimpleNamespace(
        monotonic=lambda: now[0], perf_counter=lambda: now[0]
    )
    monkeypatch.setattr(training, "time", clock)
    monkeypatch.setattr(Distiller, "save_weights", save_weights)
    result, _ = train(tmp_path / "unit", [Later()], score, state_seconds=3.0)
    assert now[0] >= 4000
    assert result["seconds"] == STEPS


def test_best_student_is_that_of_the_history_that_goes_on(
    tmp_path, monkeypatch
):
    # A machine that does not compute the same twice: the interval after the
    # last saved state, of step 7, scored 0.9 before the kill, and scores 0.2
    # after it.
    folder = tmp_path / "unit"
    steps, scores, kept = Steps(), iter([0.4, 0.9]), []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.append(weights(self.model))

    with monkeypatch.context() as patched:
        patched.setattr(training, "time", Clock(steps))
        with pytest.raises(KeyboardInterrupt):
            train(
                folder,
                [steps, Watch(), At(12, interrupt)],
                lambda: next(scores),
                state_seconds=60.0,
            )
    scores = iter([0.2, 0.3])
    result, distiller = train(folder, score=lambda: next(scores))
    assert [entry["validation"] for entry in result["history"]] == [
        0.4, 0.2, 0.3,
    ]  # fmt: skip
    assert (result["best_step"], result["best_score"]) == (5, 0.4)
    assert_equal_weights(weights(distiller), kept[0], tolerance=0)


def test_adamw_decays_kernels_alone_and_clips():
    optimizer = adamw(0.1, steps=100, weight_decay=0.5, clip=2.0)
    assert optimizer.global_clipnorm == 2.0
    kernel = keras.Variable(np.ones(3, "float32"), name="kernel")
    bias = keras.Variable(np.ones(3, "float32"), name="bias")
    gamma = keras.Variable(np.ones(3, "float32"), name="gamma")
    optimizer.build([kernel, bias, gamma])
    optimizer.iterations.assign(10)  # The peak: a tenth is the warm-up.
    optimizer.apply([np.zeros(3, "float32")] * 3)
    # Without a gradient there is the decay alone: 1 - 0.1 * 0.5.
    np.testing.assert_allclose(kernel.numpy(), 0.95, rtol=1e-6)
    np.testing.assert_array_equal(bias.numpy(), 1.0)
    np.testing.assert_array_equal(gamma.numpy(), 1.0)


@pytest.mark.parametrize(("steps", "peak"), [(1, 0), (5, 0), (20, 2)])
def test_adamw_warms_up_for_a_tenth_of_the_steps(steps, peak):
    schedule = adamw(0.4, steps)._learning_rate
    assert float(schedule(peak)) == pytest.approx(0.4)
    assert float(schedule(steps)) == 0.0

"""One unit of training: so many steps, the best checkpoint, resumable."""

import contextlib
import math
import shutil
import time
from pathlib import Path

import keras

from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import remove_leftovers
from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
from keras_kd.models.random_states import restart_random_states
from keras_kd.progress import TrainingProgress
from keras_kd.schedules import LinearWarmupDecay

STUDENT_FILE = "student.keras"
RESULT_FILE = "result.json"
STATE_FOLDER = "state"
# In a run a kill costs a minute at the most, and the disk is left in peace.
STATE_SECONDS = 60.0


def adamw(learning_rate, steps, warmup=0.1, weight_decay=0.01, clip=1.0):
    """AdamW as BERT is fine-tuned with it.

    Warm-up and linear decay, no weight decay on biases and layer norms, and
    clipping by the global norm.

    Args:
        learning_rate: The peak.
        steps: All steps of the training.
        warmup: Share of the steps in which the rate rises.
        weight_decay: Decoupled decay (Loshchilov and Hutter 2019).
        clip: Largest global norm of the gradients.
    """
    schedule = LinearWarmupDecay(
        learning_rate, steps, warmup_steps=min(int(steps * warmup), steps - 1)
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=weight_decay, global_clipnorm=clip
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def is_done(folder):
    """Whether the unit in a folder is done, so that training runs nothing."""
    return (Path(folder) / RESULT_FILE).exists()


def train_unit(
    folder,
    distiller,
    batches,
    score,
    steps,
    evaluate_every,
    title,
    say=print,
    callbacks=(),
    state_seconds=STATE_SECONDS,
    pruning=None,
):
    """Trains for `steps` steps and keeps the student that scores best.

    After every `evaluate_every` steps the student is scored on the validation
    rows; the best so far stands in the folder as `student.keras`, and the
    whole state (weights, optimizer, random state) beside it. A unit that was
    killed goes on from its last state with the very next batch, also in the
    middle of an interval; a unit that is done is not run again.

    Args:
        folder: Folder of the unit.
        distiller: Compiled `Distiller`.
        batches: Function from the first step to a `tf.data.Dataset`.
        score: Function that gives the student's validation score, higher is
            better, or a pair of it and a loss: of students that score the
            same, the one with the lower loss is kept. Where there is no loss
            to tell them apart it is the later one.
        steps: All optimizer steps.
        evaluate_every: Steps between two scores.
        title: What is trained, for the progress bar.
        say: Function that is told of each score.
        callbacks: Further Keras callbacks; they see the validation score as
            `validation` in their logs, and its loss as `validation_loss`. In
            an interval that goes on after a kill, the means in the logs are
            those of its second piece.
        state_seconds: Least seconds between two saved states: how much work a
            kill may cost; 0 saves after every step. A teacher's state is three
            times its size.
        pruning: `keras_kd.runs.pruning.MagnitudePruning` of the student.
            Students from before its end are not kept, but for the last one.

    Returns:
        Dictionary: `steps`, `skipped_steps` (those whose gradients were not
        finite in float16), `best_step`, `best_score`, `seconds` and the
        `history`, a dictionary for every score. The distiller's student has
        the best weights.
    """
    folder = Path(folder)
    if is_done(folder):
        result = read_json(folder / RESULT_FILE)
        distiller.student.load_weights(folder / STUDENT_FILE)
        return result
    evaluate_every = min(evaluate_every, steps)
    intervals = -(-steps // evaluate_every)
    # It comes first: what is scored and saved is pruned.
    before = [] if pruning is None else [pruning]
    keeper = _BestAndState(
        folder,
        score,
        evaluate_every,
        steps,
        state_seconds,
        keep_from=0 if pruning is None else pruning.end,
    )
    # A step that makes the optimizer's variables is traced twice, and tracing
    # a recurrent student takes longer than hundreds of its steps.
    strategy = getattr(distiller, "distribute_strategy", None)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        distiller.optimizer.build(distiller.trainable_variables)
    keeper.restore(distiller)
    if not keeper.done:
        # Its weights may be those of a unit before, which are read from a
        # file after a kill, and the random state is not.
        restart_random_states(distiller.student)
    progress = TrainingProgress(title, steps, say, keeper.done)
    # An epoch of `fit` is an interval.
    for first, last, length in _stretches(keeper.done, steps, evaluate_every):
        distiller.fit(
            batches(keeper.done),
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=length,
            callbacks=[*before, keeper, progress, *callbacks],
            verbose=0,
        )
    best = keeper.best()
    result = {
        "steps": steps,
        "skipped_steps": steps - distiller.steps_made,
        "intervals": intervals,
        "best_step": best["step"],
        "best_score": best["validation"],
        "seconds": round(keeper.seconds, 1),
        "history": keeper.history,
    }
    distiller.student.load_weights(folder / STUDENT_FILE)
    write_json(folder / RESULT_FILE, result)
    keeper.forget_state()
    return result


def _stretches(done, steps, every):
    """`(first epoch, last epoch, steps an epoch)` of the calls of `fit`.

    Where a kill came in the middle of an interval, its other steps come first;
    the last interval may be shorter than the others.
    """
    while done < steps:
        interval = done // every
        end = min((interval + 1) * every, steps)
        last = interval + 1
        if end - done == every:
            last = steps // every
            end = last * every
        yield interval, last, (end - done) // (last - interval)
        done = end


class _BestAndState(keras.callbacks.Callback):
    """Scores the student at the end of an interval, and saves what counts."""

    def __init__(self, folder, score, every, steps, state_seconds, keep_from=0):
        super().__init__()
        self.state_seconds = state_seconds
        self.saved_at = time.monotonic()
        self.folder = folder
        self.score = score
        self.every = every
        self.steps = steps
        self.keep_from = keep_from
        self.history = []
        self.seconds = 0.0
        # Batches, which are more than the optimizer's steps where a loss
        # scale has it leave some out.
        self.done = 0

    def restore(self, distiller):
        """Loads the last state, if there is one."""
        state = self.folder / STATE_FOLDER
        if self.folder.exists():
            remove_leftovers(self.folder)
        if not state.exists():
            return
        progress = read_json(state / "progress.json")
        distiller.load_weights(state / "state.weights.h5")
        self.history = progress["history"]
        self.seconds = progress["seconds"]
        self.done = progress["done"]
        if self.best():
            # The student beside it may be from an interval that is now
            # repeated.
            with write_aside(self.folder / STUDENT_FILE) as temporary:
                shutil.copy(state / STUDENT_FILE, temporary)

    def forget_state(self):
        """Deletes the state of a unit that is done."""
        shutil.rmtree(self.folder / STATE_FOLDER, ignore_errors=True)

    def best(self):
        """The entry of the history whose student is kept, if there is one."""
        entries = [e for e in self.history if not e.get("pruning")]
        # Of equal ones `max` gives the first.
        return max(reversed(entries), key=_rank, default=None)

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()
        self._done_before = self.done

    def on_train_batch_end(self, batch, logs=None):
        self.done = self._done_before + batch + 1
        # The state of an interval's last step has its score, too.
        inside = self.done % self.every and self.done < self.steps
        if inside and self._is_due():
            self._count_seconds()
            self._save_state()
            self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self._count_seconds()
        with self.model.deployed_weights():
            self._score(epoch, logs)
        if self._is_due():
            self._save_state()

    def _score(self, epoch, logs):
        value, loss = _pair(self.score())
        logs["validation"] = value
        if loss is not None:
            logs["validation_loss"] = loss
        entry = {
            "step": min((epoch + 1) * self.every, self.steps),
            **{name: float(number) for name, number in logs.items()},
        }
        # Pruning counts the optimizer's steps.
        unfinished = self.model.steps_made < self.keep_from
        if unfinished and entry["step"] < self.steps:
            entry["pruning"] = True
        self.history.append(entry)
        if self.best() is self.history[-1]:
            with write_aside(self.folder / STUDENT_FILE) as temporary:
                self.model.student.save(temporary)

    def _count_seconds(self):
        self.seconds += time.perf_counter() - self._start

    def _is_due(self):
        return time.monotonic() - self.saved_at >= self.state_seconds

    def _save_state(self):
        with folder_aside(self.folder / STATE_FOLDER) as temporary:
            self.model.save_weights(temporary / "state.weights.h5")
            if self.best():
                shutil.copy(self.folder / STUDENT_FILE, temporary)
            write_json(
                temporary / "progress.json",
                {
                    "history": self.history,
                    "seconds": self.seconds,
                    "done": self.done,
                },
            )
        self.saved_at = time.monotonic()


def _pair(score):
    """`(score, loss or None)` of what a score function gives."""
    if isinstance(score, tuple):
        value, loss = score
        return float(value), float(loss)
    return float(score), None


def _rank(entry):
    """What the best student has most of; NaN is worse than any number."""
    values = entry["validation"], -entry.get("validation_loss", 0.0)
    return tuple(-math.inf if math.isnan(value) else value for value in values)

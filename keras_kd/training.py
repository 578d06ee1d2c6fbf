"""One unit of training: so many steps, the best checkpoint, resumable."""

import shutil
import time
from pathlib import Path

import keras

from keras_kd.atomic_files import folder_aside
from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_aside
from keras_kd.atomic_files import write_json
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


def train_unit(
    folder,
    distiller,
    batches,
    score,
    steps,
    evaluate_every,
    callbacks=(),
    state_seconds=0.0,
):
    """Trains for `steps` steps and keeps the student that scores best.

    After every `evaluate_every` steps the student is scored on the validation
    rows; the best so far stands in the folder as `student.keras`, and the
    whole state (weights, optimizer, random state) beside it. A unit that was
    killed goes on from there with the very next batch; a unit that is done is
    not run again.

    Args:
        folder: Folder of the unit.
        distiller: Compiled `Distiller`.
        batches: Function from the first step to a `tf.data.Dataset`.
        score: Function that gives the student's validation score, higher is
            better.
        steps: All optimizer steps.
        evaluate_every: Steps between two scores.
        callbacks: Further Keras callbacks; they see the validation score as
            `validation` in their logs.
        state_seconds: Least seconds between two saved states: how much work a
            kill may cost. A teacher's state is three times its size.

    Returns:
        Dictionary: `steps`, `best_step`, `best_score`, `seconds` and the
        `history`, a dictionary for every score. The distiller's student has
        the best weights.
    """
    folder = Path(folder)
    if (folder / RESULT_FILE).exists():
        result = read_json(folder / RESULT_FILE)
        distiller.student.load_weights(folder / STUDENT_FILE)
        return result
    evaluate_every = min(evaluate_every, steps)
    intervals = -(-steps // evaluate_every)
    keeper = _BestAndState(folder, score, evaluate_every, steps, state_seconds)
    # A step that makes the optimizer's variables is traced twice, and tracing
    # a recurrent student takes longer than hundreds of its steps.
    distiller.optimizer.build(distiller.trainable_variables)
    done = keeper.restore(distiller)
    # The last interval may be shorter than the others.
    for first, last, length in _stretches(done, steps, evaluate_every):
        distiller.fit(
            batches(int(distiller.optimizer.iterations)),
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=length,
            callbacks=[keeper, *callbacks],
            verbose=0,
            shuffle=False,
        )
    best = max(keeper.history, key=lambda entry: entry["validation"])
    result = {
        "steps": steps,
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
    """`(first epoch, last epoch, steps an epoch)` of the calls of `fit`."""
    whole, rest = divmod(steps, every)
    if done < whole:
        yield done, whole, every
    if rest and done <= whole:
        yield whole, whole + 1, rest


class _BestAndState(keras.callbacks.Callback):
    """Scores the student at the end of an interval, and saves what counts."""

    def __init__(self, folder, score, every, steps, state_seconds):
        super().__init__()
        self.state_seconds = state_seconds
        self.saved_at = time.monotonic()
        self.folder = folder
        self.score = score
        self.every = every
        self.steps = steps
        self.history = []
        self.seconds = 0.0

    def restore(self, distiller):
        """Loads the last state; returns how many intervals were done."""
        state = self.folder / STATE_FOLDER
        if not state.exists():
            return 0
        progress = read_json(state / "progress.json")
        distiller.load_weights(state / "state.weights.h5")
        # The student beside it may be from an interval that is now repeated.
        with write_aside(self.folder / STUDENT_FILE) as temporary:
            shutil.copy(state / STUDENT_FILE, temporary)
        self.history = progress["history"]
        self.seconds = progress["seconds"]
        return len(self.history)

    def forget_state(self):
        """Deletes the state of a unit that is done."""
        shutil.rmtree(self.folder / STATE_FOLDER, ignore_errors=True)

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.perf_counter() - self._start
        value = float(self.score())
        earlier = [entry["validation"] for entry in self.history]
        self.history.append(
            {
                "step": min((epoch + 1) * self.every, self.steps),
                "validation": value,
                **{name: float(number) for name, number in logs.items()},
            }
        )
        logs["validation"] = value
        if value > max(earlier, default=float("-inf")):
            with write_aside(self.folder / STUDENT_FILE) as temporary:
                self.model.student.save(temporary)
        if time.monotonic() - self.saved_at < self.state_seconds:
            return
        with folder_aside(self.folder / STATE_FOLDER) as temporary:
            self.model.save_weights(temporary / "state.weights.h5")
            shutil.copy(self.folder / STUDENT_FILE, temporary)
            write_json(
                temporary / "progress.json",
                {"history": self.history, "seconds": self.seconds},
            )
        self.saved_at = time.monotonic()

"""Whether a run that was killed ends with the weights of one that was not.

A search in miniature, from a teacher that is fine-tuned to exported files, is
run to its end. Then it is run in other folders, where `kill -9` ends it at
random moments of fine-tuning, labelling, tuning, distilling and export; the
same command goes on each time. In the end all weights, targets, predictions
and exported files are compared.

    python -m benchmarks.kill_test --times 50

States are saved after every step, and shards of targets hold few rows: else
there would be nothing to go on from in so short a run.
"""

import argparse
import csv
import functools
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from keras_kd.evaluation.tables import text_table

# What the command says when a phase begins.
PHASES = {
    "fine-tuning": "Fine-tuning the teacher",
    "labelling": "The teacher labels",
    "tuning": "Trial, ",
    "distilling": "Training the student, distilled",
    "export": "Writing and verifying",
}
TOLERANCE = 1e-6
SUFFIXES = (".keras", ".npy", ".safetensors", ".tflite")
# Of the sentences that are shipped.
ROWS = 240
SETTINGS = """
    --labelled-rows 40 --validation-rows 40 --test-rows 40 --max-length 12
    --fine-tune-teacher --teacher-epochs 3 --teacher-batch-size 8
    --teacher-learning-rate 0.01 --teacher-floor 0
    --student attention --width 8 --embedding-dim 8 --dropout 0.2
    --layer-losses hidden_state_mse --layer-steps 5
    --batch-size 8 --learning-rate 0.02 --steps 12 --evaluate-every 5
    --export float32 --tune temperature=1,4 --algorithm random --trials 2
    --seeds 0 --arms teacher distilled
""".split()


def main(arguments=None):
    """Runs the command; the exit status is 1 where a run ended otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kill_test",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--times", type=int, default=50, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="keras-kd-benchmark-") as folder:
        command = make_command(Path(folder))
        found = kill_often(command, folder, options.times, options.seed)
    print("\n".join(table(found)))
    wrong = [one for one in found if one["difference"] > TOLERANCE]
    print(
        f"{len(found)} kills; the runs of {len(found) - len(wrong)} ended with "
        f"the same weights, up to {TOLERANCE:g}."
    )
    return bool(wrong)


def make_command(folder):
    """Writes a data set and a teacher; gives the command without `--run`."""
    from keras_kd.teachers.fresh import fresh_teacher
    from recipes.quickstart import DATA

    with open(DATA, encoding="utf-8", newline="") as file:
        header, *rows = itertools.islice(csv.reader(file), ROWS + 1)
    with open(folder / "train.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    texts = [row[header.index("text")] for row in rows]
    teacher = fresh_teacher(
        texts, 2, "word", 300, num_layers=1, hidden_dim=12, max_length=12
    )
    teacher.save(folder / "teacher")
    files = ["--train", folder / "train.csv", "--teacher", folder / "teacher"]
    return ["tune", *map(str, files), *SETTINGS]


def kill_often(command, folder, times, seed=0, phases=tuple(PHASES), **options):
    """Kills runs of a command at random moments, and lets them go on.

    Args:
        command: The arguments of `keras-kd`, without `--run`.
        folder: Where the run folders are made.
        times: How many kills.
        seed: Seed of the moments.
        phases: Names in `PHASES`; a run is killed once in each of them.
        **options: For `run_command`.

    Returns:
        List of a dictionary for every kill: the `phase`, the `run`, and the
        largest `difference` between that run's results and those of one that
        was not killed; infinite where there are other files.
    """
    folder, generator, found = Path(folder), random.Random(seed), []
    number = 0

    def start(name):
        run = [*command, "--run", str(folder / name)]
        return Run(run, folder / f"{name}.log", options)

    whole = start("whole")
    seconds = whole.finish()
    while len(found) < times:
        number += 1
        name = f"killed-{number}"
        killed = []
        for phase in phases[: times - len(found)]:
            moment = generator.uniform(0.0, seconds[phase])
            died_in = start(name).kill(phase, moment)
            if died_in is not None:
                killed.append({"phase": died_in, "run": name})
            else:  # Too late: the whole run was slower than this one.
                seconds[phase] /= 2
        start(name).finish()
        difference = farthest(folder / "whole", folder / name)
        found += [{**one, "difference": difference} for one in killed]
        print(
            f"{name}: {len(killed)} kills, difference {difference:.1g}; "
            f"{len(found)} of {times}",
            flush=True,
        )
    return found


def run_command(arguments, log, export=True):
    """Runs `keras-kd` in this process; what it prints goes into a file."""
    file = open(log, "a", encoding="utf-8")
    for stream in (1, 2):
        os.dup2(file.fileno(), stream)
    sys.stdout = open(1, "w", encoding="utf-8", buffering=1)

    from keras_kd import cli
    from keras_kd.runs import arm_training
    from keras_kd.runs import teaching
    from keras_kd.runs.student_files import StudentFiles
    from keras_kd.teachers.cache import TeacherTargets

    arm_training.STATE_SECONDS = teaching.STATE_SECONDS = 0.0
    TeacherTargets.label = functools.partialmethod(
        TeacherTargets.label, rows_per_shard=16
    )
    if not export:
        StudentFiles.write = lambda files, name: {
            "file": name, "format": "none",
        }  # fmt: skip
    sys.exit(cli.main(arguments))


class Run:
    """A run in a process of its own, and what it has said so far."""

    def __init__(self, arguments, log, options):
        # Each is forked from a process that has imported everything, and has
        # computed nothing: seconds less a run.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["keras_kd.tuning.tune"])
        self.log = log
        self.start = log.stat().st_size if log.exists() else 0
        self.process = context.Process(
            target=run_command, args=(arguments, str(log)), kwargs=options
        )
        self.process.start()

    def phases(self):
        """The phases that have begun, in their order."""
        if not self.log.exists():
            return []
        text = self.log.read_bytes()[self.start :].decode("utf-8", "replace")
        return [
            name
            for line in text.splitlines()
            for name, words in PHASES.items()
            if line.startswith(words)
        ]

    def finish(self):
        """Waits for the end; gives the seconds of each phase."""
        seconds, before = dict.fromkeys(PHASES, 0.0), time.monotonic()
        while self.process.is_alive():
            self.process.join(0.02)
            now = time.monotonic()
            for name in self.phases()[-1:]:
                seconds[name] += now - before
            before = now
        if self.process.exitcode:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(
                f"The run ended with {self.process.exitcode}:\n{text[-3000:]}"
            )
        return seconds

    def kill(self, phase, seconds):
        """Kills it so long after a phase began; gives the phase it was in.

        `None` where it had ended.
        """
        while phase not in self.phases() and self.process.is_alive():
            self.process.join(0.002)
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        if self.process.exitcode == 0:
            return None
        return (self.phases() or [next(iter(PHASES))])[-1]


def farthest(one, other):
    """The largest difference between the results in two run folders."""
    files = [
        {
            str(file.relative_to(folder))
            for file in folder.rglob("*")
            if file.suffix in SUFFIXES or "partial" in file.name
        }
        for folder in (one, other)
    ]
    if files[0] != files[1]:
        print("Other files:", sorted(files[0] ^ files[1]), file=sys.stderr)
        return np.inf
    return max(
        float(np.abs(a - b).max(initial=0.0)) if a.shape == b.shape else np.inf
        for name in sorted(files[0])
        for a, b in zip(_arrays(one / name), _arrays(other / name), strict=True)
    )


def _arrays(file):
    """The numbers in a file; of an exported one, those that it gives."""
    if file.suffix == ".npy":
        return [np.load(file)]
    if file.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return [
            values.astype("float64")
            for _, values in sorted(load_file(file).items())
        ]
    if file.suffix == ".tflite":
        from keras_kd.export.litert_runner import LiteRTModel

        model = LiteRTModel(file)
        shape = (4, model.length)
        inputs = {name: np.ones(shape, "int32") for name in model.input_names}
        inputs["token_ids"] = np.arange(4 * shape[1]).reshape(shape) + 1
        inputs["token_ids"] = inputs["token_ids"].astype("int32")
        return [model.predict(inputs)]
    import h5py

    arrays = []
    with zipfile.ZipFile(file) as archive:
        with archive.open("model.weights.h5") as weights:
            h5py.File(weights).visititems(
                lambda _, item: (
                    arrays.append(np.asarray(item))
                    if isinstance(item, h5py.Dataset)
                    else None
                )
            )
    return arrays


def table(found):
    """The lines of a table: kills and differences by phase."""
    by_phase = {
        phase: [one for one in found if one["phase"] == phase]
        for phase in PHASES
    }
    return text_table(
        {
            "killed during": list(by_phase),
            "kills": [str(len(kills)) for kills in by_phase.values()],
            "ended the same": [
                str(sum(one["difference"] <= TOLERANCE for one in kills))
                for kills in by_phase.values()
            ],
            "largest difference": [
                f"{max((one['difference'] for one in kills), default=0):.1g}"
                for kills in by_phase.values()
            ],
        }
    )


if __name__ == "__main__":
    sys.exit(main())

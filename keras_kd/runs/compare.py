"""Teacher, student alone and student distilled, in equal steps; a verdict."""

import time

import numpy as np

from keras_kd.atomic_files import read_json
from keras_kd.atomic_files import write_aside
from keras_kd.configuration import settings_without_effect
from keras_kd.inference import keras_runtime
from keras_kd.runs.arm_training import ArmTraining
from keras_kd.runs.judgement import STUDENT_ARMS
from keras_kd.runs.judgement import judge
from keras_kd.runs.judgement import kept_arm
from keras_kd.runs.judgement import runtime_warnings
from keras_kd.runs.judgement import score_warnings
from keras_kd.runs.pruning import share_of_zeros
from keras_kd.runs.scoring import predict
from keras_kd.runs.training import RESULT_FILE
from keras_kd.runs.training import STUDENT_FILE
from keras_kd.runs.training import is_done
from keras_kd.teachers.ensemble import TeacherEnsemble

SHOWN_LABELS = 20


class Comparison(ArmTraining):
    """Trains and scores the arms of a run, and judges between them.

    To those of `ArmTraining` comes `teacher`: it is trained on the labelled
    rows with the labels, if it has no head yet. The arguments are the same.
    """

    def test_logits(self, arm, seed=None, student=None):
        """The logits of an arm on the test rows, predicted once."""
        if arm == "teacher":
            return self._targets_of(self.targets, self.rows.test)
        path = self.run.unit(f"{arm}-{seed}") / "test_logits.npy"
        if not path.exists():
            logits = predict(
                self.task,
                keras_runtime(student),
                self.student_rows.test,
                f"testing {arm}",
            )
            with write_aside(path) as temporary:
                np.save(temporary, logits)
        return np.load(path)

    def execute(self):
        """Runs what is not done yet; returns the result for the report."""
        start = time.perf_counter()
        self.say("Reading and tokenising the data ...")
        self.prepare()
        counts = self.rows.counts
        augmented = ""
        if "augmented" in counts:
            augmented = f"{counts['augmented']} augmented, "
        self.say(
            f"{counts['train']} labelled, {counts['unlabelled']} unlabelled, "
            f"{augmented}{counts['validation']} validation and "
            f"{counts['test']} test rows"
        )
        # Now: what is wrong with them may be what ends the run.
        if self.task.labels:
            more = ", ..." if len(self.task.labels) > SHOWN_LABELS else ""
            shown = ", ".join(self.task.labels[:SHOWN_LABELS])
            self.say(f"Labels: {shown}{more}")
        unused = settings_without_effect(self.configuration)
        for warning in [*unused, *self.rows.warnings]:
            self.say(f"Warning: {warning}")
        arms = {}
        students = [a for a in self.configuration.arms if a in STUDENT_ARMS]
        # A student of its teacher's layers needs it, trained, also alone.
        of_teacher = self.configuration.teacher_layers is not None
        if of_teacher or self.configuration.arms != ["alone"]:
            self.prepare_teacher()
            self.say(
                "The teacher scores "
                f"{self.teacher_validation_score:.3f} on validation."
            )
            self.label()
        references = self.task.references(self.rows.test)
        self.logits = {}
        if "teacher" in self.configuration.arms:
            self.logits["teacher"] = [self.test_logits("teacher")]
            arms["teacher"] = {
                "seeds": [self._seed_result("teacher", references)]
            }
        for arm in students:
            self.logits[arm], results = [], []
            for seed in self.configuration.seeds:
                done = is_done(self.run.unit(f"{arm}-{seed}"))
                self.say(
                    f"Student, {arm}, seed {seed}: done before."
                    if done
                    else f"Training the student, {arm}, seed {seed} ..."
                )
                result, student = self.train_arm(arm, seed)
                self.logits[arm].append(self.test_logits(arm, seed, student))
                results.append(
                    self._seed_result(arm, references, seed, result, student)
                )
            arms[arm] = {"seeds": results}
        result = {
            "title": self._title(students),
            "configuration": self.configuration.to_dict(),
            "data": self.rows.counts,
            "labels": self.task.labels,
            "primary_metric": self.task.primary_metric,
            "task": self.task.name,
            "agreement_title": self.task.agreement_title,
            "teacher_validation_score": self.teacher_validation_score,
            "teacher_calls": self.teacher_calls,
            "arms": arms,
            "seconds": round(time.perf_counter() - start, 1),
        }
        asked = self.targets is not None
        if asked and isinstance(self.teacher, TeacherEnsemble):
            names = self.configuration.teachers
            result["teachers"] = list(zip(names, self.teacher.weights))
        result.update(judge(self.task, self.logits, references, result))
        moved = runtime_warnings(self.task, self.what_the_runtime_moves())
        result["warnings"] = [
            *self.rows.warnings,
            *moved,
            *score_warnings(self.task, references, result),
        ]
        return result

    def _title(self, students):
        if not students:
            return "The teacher"
        settings = self.configuration
        kept = kept_arm(settings.arms) or "and its teacher"
        return f"{settings.student}-{settings.layers} {kept}"

    def _seed_result(
        self, arm, references, seed=None, result=None, student=None
    ):
        model = self.teacher.model if arm == "teacher" else student
        unit = self.run.unit(
            "teacher_training" if arm == "teacher" else f"{arm}-{seed}"
        )
        if result is None and (unit / RESULT_FILE).exists():
            result = read_json(unit / RESULT_FILE)
        file = unit / STUDENT_FILE
        prunes = self.configuration.prune is not None and arm != "teacher"
        return {
            "seed": seed,
            "scores": self.task.scores(self.logits[arm][-1], references),
            **(result or {}),
            "parameters": model.count_params(),
            "zeros": share_of_zeros(model) if prunes else None,
            "bytes": file.stat().st_size if file.exists() else None,
        }

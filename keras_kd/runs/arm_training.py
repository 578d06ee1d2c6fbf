"""Training the students of a run, one arm and seed at a time."""

import contextlib
import copy

import keras
import numpy as np

from keras_kd.batch import TEACHER_INPUTS
from keras_kd.batch import input_names
from keras_kd.configuration import TASKS_OF_TOKENS
from keras_kd.data.batches import gather_inputs
from keras_kd.data.pipeline import evaluation_batches
from keras_kd.data.pipeline import training_batches
from keras_kd.distiller import Distiller
from keras_kd.distribution import strategy_by_name
from keras_kd.inference import keras_runtime
from keras_kd.losses.confidence_temperature import ConfidenceTemperature
from keras_kd.losses.focal_temperature import FocalTemperature
from keras_kd.models.start import start_from
from keras_kd.models.students import build_student
from keras_kd.runs import student_start
from keras_kd.runs.layer_distillation import layer_losses
from keras_kd.runs.pruning import MagnitudePruning
from keras_kd.runs.scoring import score
from keras_kd.runs.taught_run import TaughtRun
from keras_kd.runs.training import adamw
from keras_kd.runs.training import train_unit
from keras_kd.teachers.shuffled_targets import ShuffledTargets

EXAMPLE_TEMPERATURES = {
    "flsw": FocalTemperature,
    "cwsm": ConfidenceTemperature,
}


class ArmTraining(TaughtRun):
    """Trains students that differ in nothing but what teaches them.

    | arm | trained on | with |
    |---|---|---|
    | `alone` | the labelled rows | the labels |
    | `distilled` | labelled and unlabelled rows | soft targets, and labels |
    | `distilled_labelled` | the labelled rows | the same |
    | `control` | as `distilled` | the targets of *other* rows, no labels |

    All have the same shape, seed and number of optimizer steps, and each picks
    its checkpoint on the same validation rows. Every (arm, seed) is a unit of
    the run folder that is done once; one that was killed goes on from its last
    checkpoint.

    Args:
        configuration: `Configuration`.
        run: `keras_kd.runs.run_folder.RunFolder`.
        callbacks: Function from an arm, a seed and the unit's folder to
            further Keras callbacks.
        say: Function that is told what happens.
    """

    def __init__(
        self,
        configuration,
        run,
        callbacks=None,
        say=lambda text: None,
    ):
        super().__init__(configuration, run, say)
        self.callbacks = callbacks or (lambda arm, seed, folder: [])
        self._embeddings = None
        self.strategy = strategy_by_name(configuration.strategy)

    def with_settings(self, configuration, run):
        """The same rows, teacher and targets, for students of other settings.

        Args:
            configuration: `Configuration` that differs from this one's in how
                a student is built and trained alone.
            run: `RunFolder` of its units.

        Returns:
            One that is prepared as far as this one.
        """
        other = copy.copy(self)
        other.configuration, other.run = configuration, run
        other.teacher_calls, other._embeddings = 0, None
        return other

    def prepare(self):
        """Opens the teacher and the rows; nothing is trained yet."""
        # A student that can't be built is to fail here, not in an hour.
        of_teacher = self.configuration.teacher_layers is not None
        if not of_teacher:
            self.build_student(vocabulary_size=8, num_outputs=2)
        student_start.check_embeddings(self.configuration.embeddings)
        super().prepare()
        # So is a table that can't be had. A teacher that is yet to be
        # fine-tuned lends another one afterwards.
        self.start_of_embeddings()
        if self.configuration.embeddings == "teacher":
            self._embeddings = None
        self._logits_loss(1.0)
        if of_teacher or self.configuration.layer_losses:
            student = self.build_student(8, self.task.student_outputs)
            self._check_layer_losses(student)

    def _check_layer_losses(self, student):
        """Lets losses between layers see one row, before anything is long."""
        if not self.configuration.layer_losses:
            return
        teacher = self.teacher.model
        distiller = Distiller(student, teacher, self._layer_losses(student))
        rows = self.rows.labelled.select(np.array([0]))
        x, inputs = (
            gather_inputs(rows, names=input_names(model))
            for model in (student, teacher)
        )
        x = {name: np.minimum(values, 7) for name, values in x.items()}
        distiller.loss_sums(x, {TEACHER_INPUTS: inputs}, distiller(x), None)

    def _logits_loss(self, weight):
        """The loss on the teacher's logits, as configured."""
        configuration = self.configuration
        temperature = configuration.temperature
        if configuration.temperature_by is not None:
            kind = EXAMPLE_TEMPERATURES[configuration.temperature_by]
            temperature = kind(temperature)
        return self.task.teacher_loss(
            configuration.loss,
            temperature,
            weight,
            configuration.scale_by_temperature_squared,
            configuration.probability_shift,
        )

    def _layer_losses(self, student):
        """The losses between its layers and the teacher's, as configured."""
        return layer_losses(
            self.configuration.layer_losses or [],
            student,
            self.teacher.model,
            self.configuration.layer_map,
            self.configuration.layer_weight,
            self.configuration.relation_heads,
        )

    def build_student(self, vocabulary_size, num_outputs, embeddings=None):
        """A fresh student of the configuration's shape."""
        configuration = self.configuration
        if configuration.teacher_layers is not None:
            return student_start.student_of_teacher(
                configuration, self.teacher, self.rows.labelled
            )
        return build_student(
            configuration.student,
            vocabulary_size,
            num_outputs,
            configuration.layers,
            configuration.width,
            configuration.embedding_dim,
            configuration.dropout,
            configuration.max_length,
            embeddings=embeddings,
            heads=configuration.heads,
            intermediate=configuration.intermediate,
            convolution=configuration.convolution,
            per_token=configuration.task in TASKS_OF_TOKENS,
        )

    def start_of_embeddings(self):
        """The table that the student's embeddings start from, or `None`."""
        name = self.configuration.embeddings
        if name == "random":
            return None
        if self._embeddings is None:
            layer = self.build_student(8, 2).get_layer("token_embedding")
            self._embeddings = student_start.start_of_embeddings(
                name, self.teacher, self.tokenizer, layer.output_dim, self.say
            )
        return self._embeddings

    def train_arm(self, arm, seed):
        """Trains one student; returns the result of `train_unit`, and it."""
        configuration = self.configuration
        # Made before the seed is set: making it draws random numbers, and
        # only the first arm makes it.
        embeddings = self.start_of_embeddings()
        keras.utils.set_random_seed(seed)
        student = self._start_student(embeddings)
        rows, live, losses = self.student_rows.labelled, None, []
        targets, hard_label_weight = None, 1.0
        if arm in ("distilled", "control"):
            rows = self.student_rows.training
        if arm != "alone":
            targets = self.targets
            alpha = configuration.alpha
            hard_label_weight = 1.0 - alpha
            if arm == "control":
                targets = ShuffledTargets(targets, rows, seed)
                alpha, hard_label_weight = 1.0, 0.0
            losses = [self._logits_loss(alpha)]
        # Equal budgets: what the layers are learned in, others have too.
        steps, before = configuration.steps + configuration.layer_steps, None
        if arm.startswith("distilled") and configuration.layer_losses:
            between = self._layer_losses(student)
            if configuration.layer_steps:
                steps = configuration.steps
                before = self._train(
                    f"{arm}-{seed}-layers",
                    student,
                    rows,
                    between,
                    configuration.layer_steps,
                    teacher=self.teacher.model,
                )
            else:
                # The teacher runs anyway, and gives its logits too.
                losses, targets = [*losses, *between], None
                live = self.teacher.model
        result = self._train(
            f"{arm}-{seed}",
            student,
            rows,
            losses,
            steps,
            self.task.hard_label_loss(),
            hard_label_weight,
            targets,
            live,
            configuration.prune,
            configuration.quantization_aware,
        )
        if before is not None:
            # One axis with the arms that learn no layers.
            sums = ("steps", "skipped_steps", "seconds")
            result |= {key: result[key] + before[key] for key in sums}
            result["best_step"] += before["steps"]
            for entry in result["history"]:
                entry["step"] += before["steps"]
        return result, student

    def _start_student(self, embeddings):
        """A fresh student in its precision, under the run's strategy."""
        configuration = self.configuration
        policy = dtype_policy(configuration.precision)
        with self.strategy.scope(), policy:
            student = self.build_student(
                self.tokenizer.vocabulary_size,
                self.task.student_outputs,
                embeddings,
            )
            if configuration.start_from is not None:
                left = start_from(student, configuration.start_from)
                self.say(f"  These layers begin afresh: {left or 'none'}")
        return student

    def _train(
        self,
        unit,
        student,
        rows,
        losses,
        steps,
        hard_label_loss=None,
        hard_label_weight=0.0,
        targets=None,
        teacher=None,
        prune=None,
        quantization=None,
    ):
        """Trains a student for one unit of the run.

        Without a loss on labels it is scored by what it learns: minus its
        loss on the validation rows.
        """
        configuration = self.configuration
        folder = self.run.unit(unit)
        arm, seed, *stage = unit.split("-")
        title = ", ".join([arm, f"seed {seed}", *stage])
        with self.strategy.scope(), dtype_policy(configuration.precision):
            distiller = Distiller(
                student,
                teacher=teacher,
                losses=losses,
                hard_label_weight=hard_label_weight,
                quantization=quantization,
            )
            distiller.compile(
                adamw(configuration.learning_rate, steps),
                loss=hard_label_loss,
                metrics=self.task.metrics() if hard_label_loss else None,
                accumulation_steps=configuration.accumulation_steps,
                jit_compile=configuration.jit_compile,
                steps_per_execution=configuration.steps_per_execution,
            )
        validation = self.student_rows.validation
        runtime = keras_runtime(student)

        def validate():
            if hard_label_loss is not None:
                return score(runtime, self.task, validation)
            batches = evaluation_batches(validation, student, teacher=teacher)
            return -distiller.evaluate(batches, verbose=0, return_dict=True)[
                "loss"
            ]

        return train_unit(
            folder,
            distiller,
            lambda step: training_batches(
                rows,
                student,
                configuration.batch_size,
                seed=int(seed),
                targets=targets,
                start_step=step,
                length=configuration.max_length
                if configuration.jit_compile
                else None,
                teacher=teacher,
            ),
            validate,
            steps,
            configuration.evaluate_every,
            title,
            self.say,
            self.callbacks(arm, int(seed), folder),
            pruning=None
            if prune is None
            else MagnitudePruning(student, prune, steps // 5, 3 * steps // 5),
        )


@contextlib.contextmanager
def dtype_policy(name):
    """The precision of what is built inside."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)

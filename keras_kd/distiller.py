"""The Distiller: a Keras model that trains a student on a teacher."""

import contextlib
import warnings

import keras
from keras import ops

from keras_kd import batch
from keras_kd.loss_scale import with_loss_scale
from keras_kd.losses.distillation_loss import wide_dtype
from keras_kd.losses.hard_labels import label_weights
from keras_kd.losses.hard_labels import labels_of
from keras_kd.losses.objective import Objective
from keras_kd.model_checks import check_accumulation
from keras_kd.model_checks import check_gives_logits
from keras_kd.model_checks import check_metrics
from keras_kd.model_checks import check_reads_logits
from keras_kd.model_checks import check_same_outputs
from keras_kd.model_checks import check_schedules
from keras_kd.models.live_teacher import LiveTeacher
from keras_kd.models.observed_student import ObservedStudent
from keras_kd.models.random_states import load_random_states
from keras_kd.models.random_states import save_random_states

NO_TEACHER = (
    "The rows to evaluate come without the teacher's outputs: `loss` is not "
    "what is trained. Missing: {}. Give `targets` to `evaluation_batches`, or "
    "the Distiller a live teacher, and it is."
)


@keras.saving.register_keras_serializable(package="keras_kd")
class Distiller(keras.Model):
    """Trains a student to match a teacher, and the labels, with `fit`.

    The teacher's outputs come from the cache, as part of the batch, or from a
    live teacher; the losses see no difference. The student runs once a step,
    every loss reads the named outputs that it needs, and each is logged under
    its own name. Without a teacher and losses the Distiller trains the student
    on the labels alone: the same engine fine-tunes a teacher, trains a student
    alone and distils it, so that the three can be compared.

    The teacher is never trained, tracked, saved or changed: a checkpoint of
    the Distiller holds student, optimizer and what losses train themselves,
    such as projections. `distiller.student` is a plain Keras model, and is
    what one saves and exports.

    Losses may read any layer of either model, by the names of
    `keras_kd.models.layer_outputs`; each model still runs once a step.

    Args:
        student: Functional `keras.Model` that gives raw logits.
        teacher: A `keras.Model` with the student's number of outputs, run live
            on `y["teacher_inputs"]` (or on `x` where there are none). `None`
            when the batches carry the teacher's outputs.
        losses: List of `keras_kd.losses.DistillationLoss`.
        hard_label_weight: Number or schedule that multiplies the loss given to
            `compile`, on the rows that have a label.
        quantization: One of `WEIGHT_QUANTIZATIONS` has the student learn with
            its weights rounded as such a file has them; see
            `keras_kd.models.weight_quantization`. `None`: as they are.

    Raises:
        ValueError: Student and teacher have different numbers of outputs, a
            model gives probabilities where logits are needed, a weight is
            negative, two losses have the same name, or an unknown
            quantisation.

    Example:

    ```python
    distiller = keras_kd.Distiller(
        student, losses=[keras_kd.losses.SoftTargets(temperature=2.0)]
    )
    distiller.compile(
        optimizer=keras.optimizers.AdamW(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    distiller.fit(training_batches, validation_data=validation_batches)
    distiller.student.save("student.keras")
    ```

    Source: Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a
    Neural Network".
    """

    def __init__(
        self,
        student,
        teacher=None,
        losses=(),
        hard_label_weight=1.0,
        quantization=None,
        **kwargs,
    ):
        # The student's layers cast for themselves; weights are rounded before.
        super().__init__(autocast=False, **kwargs)
        check_gives_logits(student, "student")
        if teacher is not None:
            check_gives_logits(teacher, "teacher")
        self.student = student
        self.objective = Objective(
            list(losses),
            hard_label_weight,
            wide_dtype(keras.tree.flatten(student.output)[0]),
        )
        self.quantization = quantization
        self._observed = ObservedStudent(
            student, self.objective.student_outputs(), quantization
        )
        self._observes = True
        self._renew_joint_steps = None
        self.teacher = teacher
        own = self._observed.symbolic_outputs
        teachers = self._teacher.symbolic_outputs if teacher else {}
        self._loss_layers = [
            layer for loss in losses for layer in loss.build(own, teachers)
        ]
        self._loss_metrics = {
            name: keras.metrics.Mean(name=f"{name}_loss")
            for name in self.objective.names
        }
        self.accumulation_steps = 1
        if keras.config.backend() == "tensorflow":
            from keras_kd import distribution

            distribution.check_scope(student, self._strategy())
            if self._strategy() is not None:
                distribution.vary_seeds(student)
        self.built = True  # The student is; BackupAndRestore asks for it.

    @property
    def teacher(self):
        """The live teacher, or `None`. It is not part of a saved Distiller."""
        return self._teacher and self._teacher.model

    @teacher.setter
    def teacher(self, teacher):
        live = None
        if teacher is not None:
            check_same_outputs(
                self.student, teacher, self.objective.matched_outputs()
            )
            live = LiveTeacher(teacher, self.objective.teacher_outputs())
        self._teacher = live
        self._renew_steps()

    def __setattr__(self, name, value):
        # Before the property sees it, Keras would track the teacher.
        if name == "teacher":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _renew_steps(self):
        # Those that were compiled run the teacher before. In the middle of
        # `fit` Keras would not make others. Where it can't train, on NumPy,
        # there are none.
        if getattr(self, "train_function", None) is not None:
            self.make_train_function(force=True)
        if self.test_function is not None:
            self.make_test_function(force=True)
        if self._renew_joint_steps is not None:
            self._renew_joint_steps()

    def call_on_new_teacher(self, function):
        """Has a function called whenever another teacher is given."""
        self._renew_joint_steps = function

    @property
    def losses_by_name(self):
        """The distillation losses."""
        return self.objective.losses_by_name

    @property
    def hard_label_weight(self):
        """The weight of the loss on labels."""
        return self.objective.hard_label_weight

    @property
    def steps_made(self):
        """How many steps the optimizer has made, also under a strategy."""
        return int(ops.convert_to_numpy(self.optimizer.iterations))

    def compile(
        self,
        optimizer="adam",
        loss=None,
        metrics=None,
        jit_compile=False,
        accumulation_steps=1,
        **kwargs,
    ):
        """Configures the training.

        Args:
            optimizer: As in Keras.
            loss: The hard-label loss: a `keras.losses.Loss` on logits, or a
                function `(y_true, y_pred) -> [batch]`. `None` where no row has
                a label.
            metrics: As in Keras. Rows without a label do not count.
            jit_compile: As in Keras, but off: XLA compiles anew for every
                length of a batch, which costs more than it gains unless all
                batches are padded to one length.
            accumulation_steps: Pieces that a batch is cut into. The student
                sees them one after the other, which takes the memory of one,
                and is trained on their sum: the same step as with the whole
                batch. On TensorFlow.
            **kwargs: As in Keras, but for `loss_weights`.

        Raises:
            ValueError: `loss` expects probabilities, or leaves out a class, or
                an option can't be used with the backend or with the strategy.
        """
        check_reads_logits(loss)
        check_accumulation(accumulation_steps)
        check_schedules(self.objective.settings)
        weighted_metrics = [
            *(metrics or []),
            *(kwargs.pop("weighted_metrics", None) or []),
        ]
        logits = self.predictions(self.student.output)
        one = [x.shape[-1] for x in keras.tree.flatten(logits)] == [1]
        check_metrics(weighted_metrics, one_logit=one)
        if kwargs.pop("loss_weights", None) is not None:
            raise ValueError(
                "`loss_weights` is not an argument here. Give "
                "`hard_label_weight`, and each loss its `weight`, to the "
                "Distiller."
            )
        if self._strategy() is not None:
            from keras_kd import distribution

            distribution.check_compile(
                self._strategy(),
                optimizer,
                weighted_metrics,
                kwargs.get("steps_per_execution", 1),
                jit_compile,
            )
        with self._scope():
            if kwargs.get("auto_scale_loss", True):
                optimizer = with_loss_scale(optimizer, self.student)
            super().compile(
                optimizer=optimizer,
                weighted_metrics=weighted_metrics,
                jit_compile=jit_compile,
                **kwargs,
            )
        self.objective.hard_label_loss = loss
        self.accumulation_steps = accumulation_steps
        with self._scope():
            self._observed.choose_layers(jit_compile)

    def get_compile_config(self):
        config = super().get_compile_config()
        loss = keras.saving.serialize_keras_object(
            self.objective.hard_label_loss
        )
        if not config:
            return config
        steps = self.accumulation_steps
        return {**config, "loss": loss, "accumulation_steps": steps}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        with self._scope():
            self.optimizer.build(self.trainable_variables)

    def _strategy(self):
        # TensorFlow's, in whose scope the Distiller was made.
        return getattr(self, "_distribute_strategy", None)

    def _scope(self):
        strategy = self._strategy()
        return strategy.scope() if strategy else contextlib.nullcontext()

    def call(self, inputs, training=None):
        """The student's outputs, with those of the layers that losses read."""
        return self._observed(inputs, training, with_layers=self._observes)

    def deployed_weights(self):
        """Context in which the student's weights are those of its file.

        They are the rounded ones where the student learns with a quantisation,
        and else what they are. What is scored, or saved to be deployed, is to
        be so inside.
        """
        return self._observed.deployed_weights()

    def predictions(self, outputs):
        """The logits; the student's own outputs, where none has that name."""
        outputs = batch.named_outputs(outputs)
        if batch.LOGITS in outputs:
            return outputs[batch.LOGITS]
        return {name: outputs[name] for name in self.student.output}

    def predict(self, *args, **kwargs):
        """As in Keras: the student's own outputs."""
        with self._without_layers():
            return super().predict(*args, **kwargs)

    def predict_on_batch(self, x):
        """As in Keras: the student's own outputs."""
        with self._without_layers():
            return super().predict_on_batch(x)

    @contextlib.contextmanager
    def _without_layers(self):
        self._observes = False
        try:
            yield
        finally:
            self._observes = True

    def fit(self, x=None, *args, **kwargs):
        """As in Keras; but only arrays are shuffled by default.

        Data sets and generators come in an order of their own, and Keras
        would warn that it can't change it.
        """
        arrays = isinstance(x, (dict, list, tuple)) or hasattr(x, "shape")
        # `shuffle` is the eighth argument after `x`.
        if len(args) < 8:
            kwargs.setdefault("shuffle", arrays)
        if kwargs.get("validation_data") is not None:
            self._check_evaluation()
        return super().fit(x, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """As in Keras; refused among several workers."""
        self._check_evaluation()
        return super().evaluate(*args, **kwargs)

    def _check_evaluation(self):
        if self._strategy() is not None:
            from keras_kd import distribution

            distribution.check_evaluation(self._strategy())

    # === Losses ===

    def teacher_outputs(self, x, targets):
        """The teacher's outputs by name: cached, live, or none (empty)."""
        if batch.TEACHER in targets:
            return targets[batch.TEACHER]
        return self._teacher.outputs(x, targets) if self._teacher else {}

    def with_teacher(self, x, targets):
        """The targets with the teacher's outputs, where it has any."""
        teacher = self.teacher_outputs(x, targets)
        return {**targets, batch.TEACHER: teacher} if teacher else targets

    def loss_weights(self, targets, sample_weight, training=True):
        """The row weights of each loss, by name.

        Validation rows may come without the teacher's outputs: losses that
        read any are then left out.
        """
        has_teacher = batch.TEACHER in targets or self.teacher is not None
        return self.objective.row_weights(
            targets, sample_weight, training or has_teacher
        )

    def loss_sums(self, x, targets, y_pred, sample_weight, training=True):
        """`(sum(w * v), sum(w))` of each loss, by name."""
        targets = self.with_teacher(x, targets)
        missing = [
            name
            for name, loss in self.losses_by_name.items()
            if loss.teacher_outputs and batch.TEACHER not in targets
        ]
        if missing and not training:
            warnings.warn(NO_TEACHER.format(missing))
        return self.objective.sums(
            x,
            targets,
            batch.named_outputs(y_pred),
            self.predictions(y_pred),
            sample_weight,
            self._step(),
            training or batch.TEACHER in targets,
        )

    def total_loss(self, values):
        """The weighted sum of the losses' values, by name."""
        return self.objective.total(values, self._step())

    def learns_outputs(self):
        """Whether a loss reads what the student gives, not its layers alone."""
        own = batch.named_outputs(self.student.output)
        return (
            self.objective.hard_label_loss is not None
            or not own.keys().isdisjoint(self.objective.student_outputs())
        )

    def penalty(self):
        """The sum of the student's own losses, such as weight decay."""
        total = ops.zeros((), self.objective.dtype)
        for penalty in self._observed.penalties:
            total = total + ops.cast(ops.sum(penalty), self.objective.dtype)
        return total

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        targets = batch.split_targets(y)
        sample_weight = batch.row_weights(sample_weight)
        sums = self.loss_sums(x, targets, y_pred, sample_weight, training)
        values = {name: ops.divide_no_nan(*pair) for name, pair in sums.items()}
        counts = {name: count for name, (_, count) in sums.items()}
        self.log_losses(values, counts)
        return self.total_loss(values) + self.penalty()

    def _step(self):
        optimizer = getattr(self, "optimizer", None)  # None before `compile`.
        return 0 if optimizer is None else optimizer.iterations

    # === Logs ===

    def log_losses(self, values, counts):
        """Logs each loss's value over `counts` (the sum of weights) rows."""
        for name, value in values.items():
            self._loss_metrics[name].update_state(
                value, sample_weight=counts[name]
            )

    def log_total(self, loss, rows):
        """Logs the total of a batch of `rows` rows."""
        self._loss_tracker.update_state(loss, sample_weight=rows)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        targets = batch.split_targets(y)
        sample_weight = batch.row_weights(sample_weight)
        measured = self.loss_weights(targets, sample_weight, training=False)
        if batch.LABELS in targets and self._compile_metrics is not None:
            self._compile_metrics.update_state(
                labels_of(targets, sample_weight),
                self.predictions(y_pred),
                label_weights(targets, sample_weight),
            )
        skipped = [
            metric
            for name, metric in self._loss_metrics.items()
            if name not in measured
        ]
        if not measured:
            skipped.append(self._loss_tracker)
        if batch.LABELS not in targets:
            skipped.append(self._compile_metrics)
        # Of which nothing is measured, there is the penalty, if nothing else.
        return self._results(skipped) or {"loss": self._loss_tracker.result()}

    def _results(self, skipped=()):
        results = {}
        for metric in self.metrics:
            if any(metric is other for other in skipped):
                continue
            if metric is self._compile_metrics:
                results.update(metric.result() if metric.built else {})
            else:
                results[metric.name] = metric.result()
        return results

    def _get_metrics_result_or_logs(self, logs):
        # At the end of an epoch: the mean over all rows and replicas, without
        # what no row was measured for, which would be logged as 0.
        results = self._results()
        metrics = list(self._loss_metrics.values())
        if self._compile_metrics is not None:
            metrics += self._compile_metrics.metrics
        for metric in metrics:
            count = getattr(metric, "count", None)
            if metric.name not in logs if count is None else not count.numpy():
                results.pop(metric.name, None)
        if "loss" not in logs:  # Rows were counted, but nothing was measured.
            results.pop("loss", None)
        return results

    # === Steps ===

    def train_step(self, *args):
        if keras.config.backend() != "tensorflow":
            return super().train_step(*args)
        from keras_kd import tensorflow_step

        return tensorflow_step.train_step(self, *unpack(*args))

    def test_step(self, *args):
        if keras.config.backend() != "tensorflow":
            return super().test_step(*args)
        from keras_kd import tensorflow_step

        return tensorflow_step.test_step(self, *unpack(*args))

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Under a strategy Keras averages the first batch over the replicas, to
        # see its shapes, and fails where their parts are not of one size.
        strategy = self._strategy()
        if strategy is None:
            return super()._maybe_symbolic_build(iterator, data_batch)
        if self.optimizer.built and self._compile_metrics.built:
            return None
        for _, _, batches in iterator or ():
            data_batch = keras.tree.map_structure(
                lambda value: strategy.experimental_local_results(value)[0],
                next(batches),
            )
            break
        return super()._maybe_symbolic_build(data_batch=data_batch)

    # === Saving ===

    def save_own_variables(self, store):
        save_random_states(self.student, store)

    def load_own_variables(self, store):
        load_random_states(self.student, store)

    def get_config(self):
        weight = self.hard_label_weight
        if callable(weight):
            weight = keras.saving.serialize_keras_object(weight)
        return {
            "name": self.name,
            "student": keras.saving.serialize_keras_object(self.student),
            "losses": [
                keras.saving.serialize_keras_object(loss)
                for loss in self.losses_by_name.values()
            ],
            "hard_label_weight": weight,
            "quantization": self.quantization,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("student", "losses", "hard_label_weight"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        return cls(**config)


def unpack(data):
    """`(x, targets, sample weight)` of a batch, as the contract has them."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return x, batch.split_targets(y), batch.row_weights(sample_weight)

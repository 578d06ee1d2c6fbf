"""The Distiller: a Keras model that trains a student on a teacher."""

import keras
from keras import ops

from keras_kd import batch
from keras_kd.losses.distillation_loss import weighted_mean
from keras_kd.schedules import value_at

HARD_LABELS = "hard_labels"


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
    the Distiller holds student and optimizer. `distiller.student` is a plain
    Keras model, and is what one saves and exports.

    Args:
        student: Functional `keras.Model` that gives raw logits.
        teacher: A `keras.Model` with the student's number of outputs, run live
            on `y["teacher_inputs"]` (or on `x` where there are none). `None`
            when the batches carry the teacher's outputs.
        losses: List of `keras_kd.losses.DistillationLoss`.
        hard_label_weight: Number or schedule that multiplies the loss given to
            `compile`, on the rows that have a label.

    Raises:
        ValueError: Student and teacher have different numbers of outputs, a
            model gives probabilities where logits are needed, a weight is
            negative, or two losses have the same name.

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
        **kwargs,
    ):
        super().__init__(**kwargs)
        losses = list(losses)
        check_gives_logits(student, "student")
        if teacher is not None:
            check_gives_logits(teacher, "teacher")
            check_same_outputs(student, teacher)
        names = [loss.name for loss in losses]
        if len({HARD_LABELS, *names}) != len(names) + 1:
            raise ValueError(
                "Each loss needs a name of its own, other than "
                f"'{HARD_LABELS}'. Received: {names}. Give `name=` to a loss."
            )
        if not callable(hard_label_weight) and not hard_label_weight >= 0:
            raise ValueError(
                "`hard_label_weight` must be zero or more. Received: "
                f"{hard_label_weight}"
            )
        self.student = student
        # A closure, because Keras tracks every model that is an attribute.
        self._get_teacher = lambda: teacher
        self.losses_by_name = dict(zip(names, losses))
        self.hard_label_weight = hard_label_weight
        self._loss_metrics = {
            name: keras.metrics.Mean(name=f"{name}_loss")
            for name in [HARD_LABELS, *names]
        }
        self._hard_label_loss = None
        self.built = True  # The student is; BackupAndRestore asks for it.

    @property
    def teacher(self):
        """The live teacher, or `None`. It is not part of a saved Distiller."""
        return self._get_teacher()

    @teacher.setter
    def teacher(self, teacher):
        check_same_outputs(self.student, teacher)
        self._get_teacher = lambda: teacher

    def compile(
        self,
        optimizer="adam",
        loss=None,
        metrics=None,
        jit_compile=False,
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
            **kwargs: As in Keras, but for `loss_weights`.

        Raises:
            ValueError: `loss` expects probabilities.
        """
        check_reads_logits(loss)
        weighted_metrics = [
            *(metrics or []),
            *(kwargs.pop("weighted_metrics", None) or []),
        ]
        super().compile(
            optimizer=optimizer,
            weighted_metrics=weighted_metrics,
            jit_compile=jit_compile,
            **kwargs,
        )
        self._hard_label_loss = loss

    def get_compile_config(self):
        config = super().get_compile_config()
        loss = keras.saving.serialize_keras_object(self._hard_label_loss)
        return {**config, "loss": loss} if config else config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def call(self, inputs, training=None):
        return self.student(
            batch.select_inputs(self.student, inputs), training=training
        )

    def teacher_outputs(self, x, targets):
        """The teacher's outputs by name: cached, live, or none (empty)."""
        if batch.TEACHER in targets:
            return targets[batch.TEACHER]
        if self.teacher is None:
            return {}
        inputs = targets.get(batch.TEACHER_INPUTS, x)
        outputs = self.teacher(
            batch.select_inputs(self.teacher, inputs), training=False
        )
        return keras.tree.map_structure(
            ops.stop_gradient, batch.named_outputs(outputs)
        )

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        targets = batch.split_targets(y)
        sample_weight = batch.row_weights(sample_weight)
        step = 0 if self.optimizer is None else self.optimizer.iterations
        student = batch.named_outputs(y_pred)
        teacher = self.teacher_outputs(x, targets)
        mask = x.get(batch.PADDING_MASK) if isinstance(x, dict) else None
        total = ops.zeros(())
        if self._hard_label_loss is not None and batch.LABELS in targets:
            values = per_example(
                self._hard_label_loss, labels_of(targets), y_pred
            )
            weights = label_weights(targets, sample_weight)
            value = weighted_mean(values, weights)
            total += value * value_at(self.hard_label_weight, step)
            self._log_loss(HARD_LABELS, value, values, weights)
        # Validation rows may come without the teacher's outputs: they are
        # then scored on the labels alone.
        for name, loss in self.losses_by_name.items():
            if not teacher and not training:
                break
            values = loss(student, teacher, mask=mask, step=step)
            value = weighted_mean(values, sample_weight)
            total += value * loss.weight_at(step)
            self._log_loss(name, value, values, sample_weight)
        for penalty in self.student.losses:
            total += ops.cast(penalty, "float32")
        return total

    def _log_loss(self, name, value, values, weights):
        count = ops.shape(values)[0] if weights is None else ops.sum(weights)
        self._loss_metrics[name].update_state(value, sample_weight=count)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        targets = batch.split_targets(y)
        if batch.LABELS not in targets:
            return {
                metric.name: metric.result()
                for metric in self.metrics
                if metric is not self._compile_metrics
            }
        return super().compute_metrics(
            x,
            labels_of(targets),
            y_pred,
            label_weights(targets, batch.row_weights(sample_weight)),
        )

    def train_step(self, *args):
        if keras.config.backend() != "tensorflow":
            return super().train_step(*args)
        import tensorflow as tf

        (data,) = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        targets = batch.split_targets(y)
        teacher = self.teacher_outputs(x, targets)
        if teacher:
            targets = {**targets, batch.TEACHER: teacher}
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, targets, y_pred, sample_weight, True)
            scaled_loss = self.optimizer.scale_loss(loss)
        weights = self.trainable_weights
        gradients = tape.gradient(scaled_loss, weights)
        # An embedding's gradient is a list of rows in which a repeated token
        # stands twice; Adam and its kin would square each row by itself.
        gradients = [
            gradient if gradient is None else tf.convert_to_tensor(gradient)
            for gradient in gradients
        ]
        self.optimizer.apply(gradients, weights)
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(y_pred)[0])
        return self.compute_metrics(x, targets, y_pred, sample_weight)

    # Keras' checkpoints leave out the random states, so that a run that is
    # resumed would see other dropout masks than one that was not interrupted.

    def save_own_variables(self, store):
        for index, state in enumerate(self._random_states()):
            store[str(index)] = ops.convert_to_numpy(state)

    def load_own_variables(self, store):
        for index, state in enumerate(self._random_states()):
            state.assign(store[str(index)])

    def _random_states(self):
        return [
            variable
            for variable in self.student.non_trainable_variables
            if variable.name == "seed_generator_state"
        ]

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
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("student", "losses", "hard_label_weight"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        return cls(**config)


def labels_of(targets):
    """The labels, with 0 on rows that have none.

    Such a row may hold any value, and not all are harmless at weight 0: a
    class of -1 stops a cross-entropy, and NaN times 0 is NaN.
    """
    labels = targets[batch.LABELS]
    weight = targets.get(batch.LABEL_WEIGHT)
    if weight is None:
        return labels
    labels = ops.convert_to_tensor(labels)
    weight = ops.reshape(weight, (-1, *[1] * (len(labels.shape) - 1)))
    return ops.where(weight > 0, labels, ops.zeros_like(labels))


def label_weights(targets, sample_weight):
    """The weight of each row's hard label; `None` where all count alike."""
    weights = [
        weight
        for weight in (targets.get(batch.LABEL_WEIGHT), sample_weight)
        if weight is not None
    ]
    if not weights:
        return None
    weights = [ops.cast(weight, "float32") for weight in weights]
    return weights[0] if len(weights) == 1 else weights[0] * weights[1]


def per_example(loss, labels, predictions):
    """A Keras loss before its reduction: one value an example."""
    call = loss.call if isinstance(loss, keras.losses.Loss) else loss
    values = call(labels, ops.cast(predictions, "float32"))
    while len(values.shape) > 1:
        values = ops.mean(values, axis=-1)
    return values


def check_reads_logits(loss):
    """Refuses a loss that would take raw logits for probabilities."""
    if isinstance(loss, str):
        raise ValueError(
            "`loss` must be a loss object, which says whether it reads logits. "
            f"Received: '{loss}'. Use for example "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    reads_logits = getattr(loss, "_fn_kwargs", {}).get("from_logits", True)
    if not reads_logits:
        raise ValueError(
            f"The student gives raw logits. Received: {type(loss).__name__} "
            "with from_logits=False, which reads probabilities. Build it with "
            "from_logits=True."
        )


def check_gives_logits(model, role):
    """Refuses a model whose last layer turns logits into probabilities."""
    layers = getattr(model, "layers", None) or [None]
    activation = getattr(layers[-1], "activation", None)
    activation = getattr(activation, "__name__", None)
    if isinstance(layers[-1], keras.layers.Softmax):
        activation = "softmax"
    if activation in ("softmax", "sigmoid", "log_softmax"):
        raise ValueError(
            f"The {role} must give raw logits. Received: '{model.name}', whose "
            f"last layer '{layers[-1].name}' applies {activation}. Build it "
            "with activation=None: the losses apply it, with the temperature."
        )


def check_same_outputs(student, teacher):
    """Refuses a teacher whose outputs the student can't match."""
    shapes = [
        {
            name: output.shape[-1]
            for name, output in batch.named_outputs(model.output).items()
        }
        for model in (student, teacher)
    ]
    different = {
        name: (size, shapes[1][name])
        for name, size in shapes[0].items()
        if name in shapes[1] and shapes[1][name] != size
    }
    if different:
        raise ValueError(
            "Student and teacher must have the same number of outputs. "
            "Received (student, teacher): "
            f"{different}. Build the student with the teacher's number."
        )

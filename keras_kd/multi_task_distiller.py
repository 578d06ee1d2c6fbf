"""One student for several tasks, each with teacher and labels of its own."""

import contextlib

import keras

from keras_kd import batch
from keras_kd.loss_scale import with_loss_scale
from keras_kd.losses.distillation_loss import check_weight
from keras_kd.model_checks import check_schedules
from keras_kd.models.task_heads import join_heads
from keras_kd.schedules import value_at


class MultiTaskDistiller(keras.Model):
    """Trains students that share layers, one for each task, in the same steps.

    Two tasks on one encoder take half the place of two students, and half the
    time where both are asked. Each task has a `Distiller` of its own, with its
    teacher, losses and texts; a step reads a batch of each, and its gradient is
    the sum of theirs:

    $$L = \\sum_k w_k(t) L_k$$

    `student` is one plain Keras model with an output for each task, and is what
    one saves and exports. The state of the training is `save_weights`'s, and
    `BackupAndRestore`'s; `ModelCheckpoint` needs `save_weights_only=True`.

    Args:
        distillers: Dictionary from the names of tasks to `Distiller`s. Their
            students read the same `keras.Input`s, such as those of
            `keras_kd.with_task_heads`. What a student adds to its loss itself,
            such as weight decay, is added for each task that shares the layer.
        task_weights: Dictionary from names to numbers or schedules; 1 for a
            task that is not named.

    Raises:
        ValueError: Students of other inputs, a weight that is negative or of
            no task, or a strategy for several devices.

    Example:

    ```python
    students = keras_kd.with_task_heads(encoder, {"topic": 15, "tone": 3})
    losses = [keras_kd.SoftTargets(temperature=2.0)]
    distiller = keras_kd.MultiTaskDistiller(
        {
            name: keras_kd.Distiller(student, losses=losses)
            for name, student in students.items()
        }
    )
    distiller.compile(
        keras.optimizers.AdamW(1e-3),
        loss={name: task.hard_label_loss() for name, task in tasks.items()},
    )
    distiller.fit(
        {"topic": topic_batches, "tone": tone_batches}, steps_per_epoch=500
    )
    distiller.student.save("student.keras")
    ```

    Source: Liu et al. 2019, "Improving Multi-Task Deep Neural Networks via
    Knowledge Distillation for Natural Language Understanding"; a batch of each
    task in every step, instead of one task a step.
    """

    def __init__(self, distillers, task_weights=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if getattr(self, "_distribute_strategy", None) is not None:
            raise ValueError(
                "Several tasks are trained on one device. Received: "
                f"{type(self._distribute_strategy).__name__}. Build the "
                "students and the MultiTaskDistiller outside of its scope."
            )
        # Sorted, because a checkpoint knows the order and not the names.
        self.distillers = dict(sorted(distillers.items()))
        self.task_weights = dict(task_weights or {})
        self._check_weights()
        for distiller in self.distillers.values():
            distiller.call_on_new_teacher(self._renew_steps)
        self.student = join_heads(
            {name: one.student for name, one in self.distillers.items()}
        )
        self.built = True  # The students are.

    def _check_weights(self):
        unknown = sorted(set(self.task_weights) - set(self.distillers))
        if unknown or not self.distillers:
            raise ValueError(
                "`task_weights` must name tasks of `distillers`. Received: "
                f"{unknown}, where the tasks are {list(self.distillers)}."
            )
        for name, weight in self.task_weights.items():
            check_weight(f"`task_weights['{name}']`", weight)

    def _renew_steps(self):
        # Those that were compiled run the teachers before.
        if self.train_function is not None:
            self.make_train_function(force=True)

    @property
    def steps_made(self):
        """How many steps the optimizer has made."""
        return int(keras.ops.convert_to_numpy(self.optimizer.iterations))

    def task_weight(self, name):
        """The weight of a task at the present step."""
        return value_at(
            self.task_weights.get(name, 1.0), self.optimizer.iterations
        )

    def compile(
        self,
        optimizer="adam",
        loss=None,
        metrics=None,
        jit_compile=False,
        accumulation_steps=1,
        run_eagerly=False,
        steps_per_execution=1,
    ):
        """Configures the training, and each Distiller's.

        Args:
            optimizer: As in Keras; one for all tasks.
            loss: Dictionary from names to hard-label losses; a task that is not
                named learns from its teacher alone.
            metrics: Dictionary from names to lists of metrics.
            jit_compile, accumulation_steps: As of `Distiller.compile`.
            run_eagerly, steps_per_execution: As in Keras.

        Raises:
            ValueError: A loss or metric of no task, or what
                `Distiller.compile` refuses.
        """
        loss = self._of_tasks("`loss`", loss)
        metrics = self._of_tasks("`metrics`", metrics)
        check_schedules(
            {f"of task {name}": w for name, w in self.task_weights.items()}
        )
        optimizer = with_loss_scale(optimizer, self.student)
        execution = {
            "jit_compile": jit_compile,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
        }
        super().compile(optimizer=optimizer, **execution)
        for name, distiller in self.distillers.items():
            distiller.compile(
                self.optimizer,
                loss.get(name),
                metrics.get(name),
                accumulation_steps=accumulation_steps,
                **execution,
            )

    def _of_tasks(self, what, given):
        """A dictionary that names tasks alone; `None` names none."""
        given = {} if given is None else given
        if not isinstance(given, dict) or set(given) - set(self.distillers):
            raise ValueError(
                f"{what} must be a dictionary by the names of the tasks, "
                f"{list(self.distillers)}. Received: {given}"
            )
        return given

    def get_config(self):
        raise NotImplementedError(
            "A MultiTaskDistiller is not saved whole. Save `student`, a plain "
            "Keras model, or the state of the training with `save_weights` "
            "(`ModelCheckpoint(..., save_weights_only=True)`)."
        )

    # === Use ===

    def fit(
        self,
        x,
        validation_data=None,
        validation_freq=1,
        validation_steps=None,
        callbacks=None,
        **kwargs,
    ):
        """As in Keras, on a data set for each task.

        Args:
            x: Dictionary from names to `tf.data.Dataset`s of batches, of which
                each step takes one of each: give `steps_per_epoch` if they
                repeat, else the shortest ends the epoch. Or a generator, or
                one data set, of `(x, y, sample weights)`, each a dictionary of
                these names.
            validation_data: As `evaluate` takes it. Callbacks are not told of
                its batches.
            validation_freq: As in Keras, a number of epochs.
            validation_steps: Batches of each task.
            callbacks: As in Keras.
            **kwargs: As in Keras.
        """
        if isinstance(x, dict):
            self._check_names("`x`", x)
            from keras_kd.data.task_batches import zip_tasks

            x = zip_tasks(x)
        callbacks = keras.tree.flatten(callbacks or ())
        if validation_data is not None:
            self._check_names("`validation_data`", validation_data)
            validation = _Validation(
                self, validation_data, validation_freq, validation_steps
            )
            # First: what comes after reads its scores.
            callbacks.insert(0, validation)
        kwargs.setdefault("shuffle", False)  # It has an order of its own.
        return super().fit(x, callbacks=callbacks, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None):
        """As in Keras, on a batch of each task; gives a dictionary."""
        return super().train_on_batch(x, y, sample_weight, return_dict=True)

    def evaluate(self, x, verbose=0, **kwargs):
        """Evaluates each task on rows of its own.

        Args:
            x: Dictionary from names to data sets, or to `(x, y)` or `(x, y,
                sample weights)` of arrays.
            verbose: As in Keras.
            **kwargs: As in Keras, for every task.

        Returns:
            Dictionary of results, `<task>_<name>`, and the weighted `loss`.
        """
        self._check_names("`x`", x)
        results = {}
        for name, rows in x.items():
            rows, y, weights = keras.utils.unpack_x_y_sample_weight(rows)
            results[name] = self.distillers[name].evaluate(
                rows,
                y,
                sample_weight=weights,
                verbose=verbose,
                **{**kwargs, "return_dict": True},
            )
        loss = sum(
            self.task_weight(name) * own.get("loss", 0.0)
            for name, own in results.items()
        )
        return {"loss": float(loss), **_prefixed(results)}

    def deployed_weights(self):
        """Context in which the student's weights are those of its file.

        As of `Distiller.deployed_weights`, for tasks with a quantisation.
        """
        contexts = contextlib.ExitStack()
        for distiller in self.distillers.values():
            contexts.enter_context(distiller.deployed_weights())
        return contexts

    def predict(self, x, **kwargs):
        """As in Keras: every task's outputs of the same rows, by name."""
        with self.deployed_weights():
            return super().predict(x, **kwargs)

    def predict_on_batch(self, x):
        """As `predict`, of one batch."""
        with self.deployed_weights():
            return super().predict_on_batch(x)

    def _check_names(self, what, received):
        if set(received) != set(self.distillers):
            raise ValueError(
                f"{what} must have an entry for each of the tasks "
                f"{list(self.distillers)}. Received: {sorted(received)}"
            )

    # === Steps ===

    def call(self, inputs, training=None):
        """The outputs by task: of each one's own inputs, or all of the same."""
        if isinstance(inputs, dict) and set(inputs) == set(self.distillers):
            return {
                name: distiller(inputs[name], training=training)
                for name, distiller in self.distillers.items()
            }
        inputs = batch.select_inputs(self.student, inputs)
        return self.student(inputs, training=training)

    def learns_outputs(self):
        """Whether a loss reads what a student gives, not its layers alone."""
        return any(one.learns_outputs() for one in self.distillers.values())

    def parts(self, x, y, sample_weight):
        """`(name, Distiller, x, targets, sample weights)` of each task."""
        y, sample_weight = y or {}, sample_weight or {}
        for name, distiller in self.distillers.items():
            targets = batch.split_targets(y.get(name))
            yield name, distiller, x[name], targets, sample_weight.get(name)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        total = 0.0
        for name, distiller, *own in self.parts(x, y, sample_weight):
            own_x, targets, weight = own
            loss = distiller.compute_loss(
                own_x, targets, y_pred[name], weight, training
            )
            distiller.log_total(loss, keras.tree.flatten(own_x)[0].shape[0])
            total = total + self.task_weight(name) * loss
        return total

    def train_step(self, *args):
        if keras.config.backend() != "tensorflow":
            return super().train_step(*args)
        from keras_kd import tensorflow_step

        return tensorflow_step.train_tasks(
            self, *keras.utils.unpack_x_y_sample_weight(*args)
        )

    # === Logs ===

    @property
    def metrics(self):
        """The metrics of all tasks; Keras leaves out those of inner models."""
        metrics = [self._loss_tracker] if self.compiled else []
        for distiller in self.distillers.values():
            metrics.extend(distiller.metrics)
        return metrics

    def log_total(self, loss):
        """Logs the weighted loss of a step."""
        self._loss_tracker.update_state(loss)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        results = {
            name: distiller.compute_metrics(
                own_x, targets, y_pred[name], weight
            )
            for name, distiller, own_x, targets, weight in self.parts(
                x, y, sample_weight
            )
        }
        return {"loss": self._loss_tracker.result(), **_prefixed(results)}

    def _get_metrics_result_or_logs(self, logs):
        # At the end of an epoch, as a Distiller has it.
        results = {
            name: distiller._get_metrics_result_or_logs(
                {
                    key.removeprefix(f"{name}_"): value
                    for key, value in logs.items()
                    if key.startswith(f"{name}_")
                }
            )
            for name, distiller in self.distillers.items()
        }
        return {"loss": self._loss_tracker.result(), **_prefixed(results)}

    def _symbolic_build(self, iterator=None, data_batch=None):
        # Keras would build what this model has itself, and it has nothing.
        if data_batch is None:
            for _, _, batches in iterator or ():
                data_batch = next(iter(batches))
                break
        # First: each Distiller would build it for its own weights alone.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        data = keras.utils.unpack_x_y_sample_weight(data_batch)
        for _, distiller, *own in self.parts(*data):
            distiller._symbolic_build(data_batch=tuple(own))


class _Validation(keras.callbacks.Callback):
    """Evaluates all tasks at the end of epochs."""

    def __init__(self, distiller, data, every, steps):
        super().__init__()
        self.distiller, self.data = distiller, data
        self.every, self.steps = every, steps

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0:
            results = self.distiller.evaluate(self.data, steps=self.steps)
            logs.update({f"val_{key}": value for key, value in results.items()})


def _prefixed(results):
    """Results by task as one dictionary, `<task>_<name>`."""
    return {
        f"{name}_{key}": value
        for name, own in results.items()
        for key, value in own.items()
    }

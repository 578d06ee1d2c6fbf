"""One student for several tasks, each with teacher and labels of its own."""

import keras

from keras_kd import batch
from keras_kd.losses.distillation_loss import check_weight
from keras_kd.model_checks import computes_in_float16
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
    one saves and exports.

    Args:
        distillers: Dictionary from the names of tasks to `Distiller`s. Their
            students read the same `keras.Input`s, such as those of
            `keras_kd.with_task_heads`.
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
        self.distillers = dict(distillers)
        self.task_weights = dict(task_weights or {})
        self._check()
        self.student = join_heads(
            {name: one.student for name, one in self.distillers.items()}
        )
        self.built = True  # The students are.

    def _check(self):
        unknown = sorted(set(self.task_weights) - set(self.distillers))
        if unknown or not self.distillers:
            raise ValueError(
                "`task_weights` must name tasks of `distillers`. Received: "
                f"{unknown}, where the tasks are {sorted(self.distillers)}."
            )
        for name, weight in self.task_weights.items():
            check_weight(f"`task_weights['{name}']`", weight)

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
        **kwargs,
    ):
        """Configures the training, and each Distiller's.

        Args:
            optimizer: As in Keras; one for all tasks.
            loss: Dictionary from names to hard-label losses; a task that is not
                named learns from its teacher alone.
            metrics: Dictionary from names to lists of metrics.
            jit_compile, accumulation_steps: As of `Distiller.compile`.
            **kwargs: As in Keras.

        Raises:
            ValueError: A loss or metric of no task, or what
                `Distiller.compile` refuses.
        """
        loss, metrics = dict(loss or {}), dict(metrics or {})
        unknown = sorted({*loss, *metrics} - set(self.distillers))
        if unknown:
            raise ValueError(
                f"The tasks are {sorted(self.distillers)}. Received `loss` or "
                f"`metrics` of {unknown}."
            )
        optimizer = keras.optimizers.get(optimizer)
        if computes_in_float16(self.student) and not isinstance(
            optimizer, keras.optimizers.LossScaleOptimizer
        ):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        for name, distiller in self.distillers.items():
            distiller.compile(
                self.optimizer,
                loss.get(name),
                metrics.get(name),
                jit_compile,
                accumulation_steps,
            )

    # === Use ===

    def fit(
        self, x=None, *args, validation_data=None, callbacks=None, **kwargs
    ):
        """As in Keras, on a data set for each task.

        Args:
            x: Dictionary from names to `tf.data.Dataset`s of batches, of which
                each step takes one of each: give `steps_per_epoch` if they
                repeat, else the shortest ends the epoch. Or a generator, or
                one data set, of `(x, y, sample weights)`, each a dictionary of
                these names.
            *args: As in Keras.
            validation_data: Dictionary from names to data sets, as `evaluate`
                takes them.
            callbacks: As in Keras.
            **kwargs: As in Keras.
        """
        if isinstance(x, dict):
            self._check_names("`x`", x)
            x = _zipped(x)
            kwargs.setdefault("shuffle", False)  # They have an order already.
        callbacks = keras.tree.flatten(callbacks or ())
        if validation_data is not None:
            self._check_names("`validation_data`", validation_data)
            # First: what comes after reads its scores.
            callbacks.insert(0, _Validation(self, validation_data))
        return super().fit(x, *args, callbacks=callbacks, **kwargs)

    def evaluate(self, x, verbose=0, **kwargs):
        """Evaluates each task on rows of its own.

        Args:
            x: Dictionary from names to what `Distiller.evaluate` takes.
            verbose: As in Keras.
            **kwargs: As in Keras, for every task.

        Returns:
            Dictionary of results, `<task>_<name>`, and the weighted `loss`.
        """
        self._check_names("`x`", x)
        results = {
            name: self.distillers[name].evaluate(
                rows, verbose=verbose, **{**kwargs, "return_dict": True}
            )
            for name, rows in x.items()
        }
        logs = self._named(results)
        return {name: float(value) for name, value in logs.items()}

    def predict(self, x, **kwargs):
        """As in Keras: every task's logits of the same rows, by name."""
        return self.student.predict(
            batch.select_inputs(self.student, x), **kwargs
        )

    def _check_names(self, what, received):
        if set(received) != set(self.distillers):
            raise ValueError(
                f"{what} must have an entry for each of the tasks "
                f"{sorted(self.distillers)}. Received: {sorted(received)}"
            )

    # === Steps ===

    def call(self, inputs, training=None):
        """Each student's outputs of its own inputs, both by name."""
        return {
            name: distiller(inputs[name], training=training)
            for name, distiller in self.distillers.items()
        }

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        total = 0.0
        for name, distiller in self.distillers.items():
            own_x, outputs = x[name], y_pred[name]
            weight = (sample_weight or {}).get(name)
            loss = distiller.compute_loss(
                own_x, y[name], outputs, weight, training
            )
            distiller.log_total(loss, keras.tree.flatten(own_x)[0].shape[0])
            total = total + self.task_weight(name) * loss
        return total

    def train_step(self, *args):
        if keras.config.backend() != "tensorflow":
            return super().train_step(*args)
        from keras_kd import tensorflow_step

        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(*args)
        return self._named(
            tensorflow_step.train_tasks(self, x, y, sample_weight or {})
        )

    # === Logs ===

    @property
    def metrics(self):
        """The metrics of all tasks; Keras leaves out those of inner models."""
        return [
            metric
            for distiller in self.distillers.values()
            for metric in distiller.metrics
        ]

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self._named(
            {
                name: distiller.compute_metrics(
                    x[name],
                    y[name],
                    y_pred[name],
                    (sample_weight or {}).get(name),
                )
                for name, distiller in self.distillers.items()
            }
        )

    def _named(self, results):
        """Results by task as one dictionary, with the weighted loss."""
        total = sum(
            self.task_weight(name) * own["loss"]
            for name, own in results.items()
        )
        return {
            "loss": total,
            **{
                f"{name}_{key}": value
                for name, own in results.items()
                for key, value in own.items()
            },
        }

    def _get_metrics_result_or_logs(self, logs):
        # At the end of an epoch, as a Distiller has it.
        return self._named(
            {
                name: distiller._get_metrics_result_or_logs(
                    {
                        key.removeprefix(f"{name}_"): value
                        for key, value in logs.items()
                        if key.startswith(f"{name}_")
                    }
                )
                for name, distiller in self.distillers.items()
            }
        )

    def _symbolic_build(self, iterator=None, data_batch=None):
        if data_batch is None:
            for _, _, batches in iterator or ():
                data_batch = next(iter(batches))
                break
        # First: each Distiller would build it for its own weights alone.
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data_batch)
        for name, distiller in self.distillers.items():
            weight = (sample_weight or {}).get(name)
            distiller._symbolic_build(data_batch=(x[name], y[name], weight))


class _Validation(keras.callbacks.Callback):
    """Evaluates all tasks at the end of each epoch."""

    def __init__(self, distiller, data):
        super().__init__()
        self.distiller, self.data = distiller, data

    def on_epoch_end(self, epoch, logs=None):
        results = self.distiller.evaluate(self.data)
        logs.update({f"val_{name}": value for name, value in results.items()})


def _zipped(datasets):
    """A data set of one batch of each task, as Keras has batches."""
    import tensorflow as tf

    def turn(batches):
        parts = {
            name: keras.utils.unpack_x_y_sample_weight(one)
            for name, one in batches.items()
        }
        columns = [
            {
                name: part[place]
                for name, part in parts.items()
                if part[place] is not None
            }
            for place in range(3)
        ]
        return tuple(columns)

    return tf.data.Dataset.zip(datasets).map(turn)
